"""The scenarios: each runs commands, in turns if there are several, and returns figures with their bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from .bench import Bench
from .dataset import HOUR, MINUTE, Dataset, build, build_hours, read_at
from .outcome import Cost, Row, memory_row
from .pages import END, Mix
from .replay import ReplayServer

Scenario: TypeAlias = Callable[[Bench], Iterable[Row]]

_MEMORY_MB: Final = 450
_LATENCY: Final = 0.4
_SLOTS: Final = 6
_STEP: Final = 5 * MINUTE
#: The defaults of dlt except for Parquet and two workers: one file, gzip between the stages.
DLT_LESS_TUNED: Final = {
    "DATA_WRITER__DISABLE_COMPRESSION": "false",
    "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": "1000000",
    "SOURCES__DATA_WRITER__BUFFER_MAX_ITEMS": "5000",
}


def _plain(bench: Bench) -> Dataset:
    sessions = bench.sizes.sessions
    return bench.dataset(f"plain-{sessions}", lambda path: build(path, "plain", sessions))


def _with_changes(bench: Bench, sessions: int) -> Dataset:
    sizes = bench.sizes
    make = partial(build, mix="plain", sessions=sessions, batches=sizes.runs, changes=sizes.changes)
    return bench.dataset(f"changing-{sessions}", make)


def full(bench: Bench) -> Iterable[Row]:
    """A full sync compared with downloading only, with dlt and with the least work; and its requests."""
    downloads, syncs, parts = list[Cost](), list[Cost](), list[dict[str, float]]()
    loads, default_loads = list[Cost](), list[Cost]()
    with bench.serve(_plain(bench)) as server:
        for _ in range(bench.sizes.runs):
            downloads.append(bench.download(server))
            syncs.append(bench.full_sync(server)[0])
            parts.append(bench.parts(server))
            if bench.sizes.dlt:
                loads.append(bench.dlt(server))
        if bench.sizes.dlt:  # one run, for information
            default_loads = [bench.dlt(server, **DLT_LESS_TUNED)]
    download = bench.median("full", "download", downloads)
    sync = bench.median("full", "sync", syncs)
    least = _least(bench, parts)
    if loads:
        dlt = bench.median("full", "dlt", loads)
        plainer = bench.median("full", "dlt less tuned", default_loads)
        yield Row("full", "faster than dlt, wall", dlt.wall / sync.wall, "x", at_least=25)
        yield Row("full", "less CPU than dlt", dlt.cpu / sync.cpu, "x", at_least=12)
        yield Row(
            "full", "faster than dlt less tuned", plainer.wall / sync.wall, "x",
            note=f"Parquet and two workers, otherwise defaults; CPU {plainer.cpu / sync.cpu:.2f}x",
        )  # fmt: skip
        yield Row("full", "less memory than dlt", dlt.memory / sync.memory, "x")
        yield Row(
            "full", "dlt's CPU, times the least work", dlt.cpu / least, "x",
            note=f"no sync can do better; dlt's wall, times the least work on two cores: {2 * dlt.wall / least:.2f}x",
        )  # fmt: skip
    yield Row(
        "full", "times downloading only, wall", sync.wall / download.wall, "x", at_most=5,
        note=f"without start-up {sync.answering / download.answering:.2f}x",
    )  # fmt: skip
    yield Row(
        "full", "the least work on two cores, times downloading only", least / 2 / download.wall, "x",
        note="no sync can do better",
    )  # fmt: skip
    yield Row(
        "full",
        "CPU, times the least work",
        sync.cpu / least,
        "x",
        note="with redaction, merge, ledger and recovery",
    )
    yield _requests("full", bench.sizes.sessions, sync)


def _least(bench: Bench, parts: list[dict[str, float]]) -> float:
    """Processor seconds of the least work: the sum of the medians of its parts."""
    seconds = {name: median(run[name] for run in parts) for name in parts[0]}
    bench.figures["full"]["parts"] = seconds
    listed = ", ".join(f"{name} {spent:.2f}" for name, spent in seconds.items())
    bench.say(f"  least work: {sum(seconds.values()):.2f} s of a core: {listed}")
    return sum(seconds.values())


def memory(bench: Bench) -> Iterable[Row]:
    """Peak memory of a large full sync, and its ratio to that of a small one."""
    found = []
    for sessions in (bench.sizes.big, bench.sizes.small):
        costs = []
        with bench.serve(_with_changes(bench, sessions)) as server:
            for _ in range(bench.sizes.runs):
                warehouse = bench.fresh(_warehouse_name(sessions))  # `nothing` and `changed` use it again
                costs.append(bench.sync(server, warehouse)[0])
                bench.check(warehouse, sessions)
        found.append(bench.median("memory", f"{sessions} sessions", costs))
    big, small = found
    yield memory_row("memory", f"peak of {bench.sizes.big:,} sessions", big, _MEMORY_MB)
    yield Row(
        "memory", f"times the peak of {bench.sizes.small:,}", big.memory / small.memory, "x", at_most=1.3
    )
    yield _requests("memory", bench.sizes.big, big)


def large(bench: Bench) -> Iterable[Row]:
    """Peak memory with sessions of 50 KB on average."""
    name, sessions = "large", bench.sizes.small
    with bench.serve(bench.dataset(name, partial(build, mix="large", sessions=sessions))) as server:
        costs = [bench.full_sync(server)[0] for _ in range(bench.sizes.runs)]
    bench.forget(name)
    cost = bench.median("large", "sync", costs)
    yield memory_row("large", f"peak of {sessions:,} sessions of 50 KB", cost, _MEMORY_MB)


def nothing(bench: Bench) -> Iterable[Row]:
    """A sync into a large warehouse when nothing has changed."""
    sessions = bench.sizes.big
    with bench.serve(_with_changes(bench, sessions)) as server:
        warehouse = _filled(bench, sessions)
        moments = [END + (run + 1) * _STEP for run in range(bench.sizes.runs)]
        costs = [bench.sync(server, warehouse, moment=moment)[0] for moment in moments]
    cost = bench.median("nothing", "sync", costs)
    yield Row("nothing", f"the command, {sessions:,} in the warehouse", cost.wall, "s", at_most=1.5)


def changed(bench: Bench) -> Iterable[Row]:
    """The same number of changes, most of them to recent sessions, in a large and a small warehouse."""
    sizes = bench.sizes
    big, small = list[Cost](), list[Cost]()
    warehouses = {sessions: _filled(bench, sessions) for sessions in (sizes.big, sizes.small)}
    with (
        bench.serve(_with_changes(bench, sizes.big)) as many,
        bench.serve(_with_changes(bench, sizes.small)) as few,
    ):
        for batch in range(sizes.runs):
            big.append(bench.sync(many, warehouses[sizes.big], moment=read_at(batch))[0])
            small.append(bench.sync(few, warehouses[sizes.small], moment=read_at(batch))[0])
    of_big = bench.median("changed", f"{sizes.changes} of {sizes.big}", big)
    of_small = bench.median("changed", f"{sizes.changes} of {sizes.small}", small)
    yield Row(
        "changed", f"{sizes.changes:,} changes in {sizes.big:,} against {sizes.small:,}", of_big.wall / of_small.wall,
        "x", at_most=1.3, note=f"without start-up {of_big.answering / of_small.answering:.2f}x",
    )  # fmt: skip


def latency(bench: Bench) -> Iterable[Row]:
    """The share of the time in which all allowed requests are in flight, with slow answers.

    With pages of 1,000 the source is faster than two cores, and requests wait for the coordinator. With pages of 100 the
    coordinator waits for requests.
    """
    with bench.serve(_plain(bench)) as server:
        yield _in_flight(bench, server, "latency", at_least=85)
        yield _in_flight(bench, server, "latency, pages of 100", "--page-size", "100")


def _in_flight(
    bench: Bench, server: ReplayServer, name: str, *options: str, at_least: float | None = None
) -> Row:
    shares, costs = [], []
    for _ in range(bench.sizes.runs):
        cost, counted = bench.full_sync(server, *options, latency=_LATENCY)
        costs.append(cost)
        shares.append(counted.seconds_all_in_flight / counted.span * 100)
        if counted.most_in_flight > _SLOTS:
            raise RuntimeError(f"{counted.most_in_flight} requests were in flight at once")
    cost = bench.median("latency", name, costs)
    bench.figures["latency"][f"{name}: shares"] = shares
    least = cost.requests * _LATENCY / _SLOTS
    what = f"of the time {_SLOTS} in flight, {_LATENCY * 1000:.0f} ms each"
    note = f"{cost.wall:.2f} s; the requests alone need {least:.2f} s"
    return Row(name, what, median(shares), "%", at_least=at_least, note=note)


def hours(bench: Bench) -> Iterable[Row]:
    """Hours of traffic synced every five minutes: the size of the index, compared with one full sync."""
    name, sessions, syncs = "hours", max(200, bench.sizes.sessions // 5), bench.sizes.syncs
    with bench.serve(bench.dataset(name, partial(build_hours, sessions=sessions, hours=6))) as server:
        often, once = bench.fresh("often"), bench.fresh("once")
        step = 6 * HOUR // syncs
        many = bench.inside(server, "hours", often, END - (syncs - 1) * step, step, syncs)
        one = bench.inside(server, "hours", once, END, step, 1)
        bench.check(often, sessions)
        bench.check(once, sessions)
    bench.forget(name)
    bench.fresh("often")
    bench.fresh("once")
    bench.figures["hours"] = {"often": many, "once": one}
    size, whole = many["sizes"][-1], one["sizes"][-1]
    bench.say(f"  index: {size / 1e6:.1f} MB after {syncs} syncs, {whole / 1e6:.1f} MB after one")
    yield Row(
        "hours", f"index after {syncs} syncs, times that after one", size / whole, "x", at_most=2,
        note=f"at most {max(many['sizes']) / whole:.2f}x on the way; {median(many['seconds']):.2f} s a sync",
    )  # fmt: skip


def redaction(bench: Bench) -> Iterable[Row]:
    """The processor time of redaction, alone and with masking, as a share of the wall time of a full sync."""
    some = bench.sizes.sessions // 8
    mixes: tuple[tuple[Mix, int, float | None], ...] = (
        ("plain", bench.sizes.sessions, 10),
        ("inline", some, None),
    )
    for mix, sessions, bound in mixes:
        dataset = bench.dataset(f"{mix}-{sessions}", partial(build, mix=mix, sessions=sessions))
        timed, off, masked = [], [], []
        with bench.serve(dataset) as server:
            server.set()
            for _ in range(bench.sizes.runs):
                timed.append(bench.inside(server, "redaction", bench.fresh("redacted"), "timed"))
                off.append(bench.inside(server, "redaction", bench.fresh("unredacted"), "off"))
                masked.append(bench.inside(server, "redaction", bench.fresh("masked"), "masked"))
        if not all(run["calls"] for run in timed):
            raise RuntimeError("the sync does not call redaction.redact_page: measure what it calls instead")
        bench.figures.setdefault("redaction", {})[mix] = {"timed": timed, "off": off, "masked": masked}
        share = median(run["redaction"] / run["wall"] for run in timed) * 100
        wall, without = median(run["wall"] for run in timed), median(run["wall"] for run in off)
        yield Row(
            "redaction", f"of a full sync, {mix}", share, "%", at_most=bound,
            note=f"{wall:.2f} s with it, {without:.2f} s without",
        )  # fmt: skip
        yield Row(
            "redaction", f"with masked texts, of a full sync, {mix}", median(run["redaction"] / run["wall"] for run in masked) * 100, "%",
            note=f"{median(run['wall'] for run in masked):.2f} s",
        )  # fmt: skip
    for name in ("redacted", "unredacted", "masked"):
        bench.fresh(name)
    bench.forget(f"inline-{some}")


def mixes(bench: Bench) -> Iterable[Row]:
    """Other kinds of sessions, each of about as many bytes, compared with downloading only; for information."""
    kinds: tuple[tuple[Mix, int], ...] = (("inline", 8), ("long", 40), ("artifacts", 5))
    for mix, divisor in kinds:
        sessions = max(20, bench.sizes.sessions // divisor)
        downloads, syncs = list[Cost](), list[Cost]()
        with bench.serve(bench.dataset(f"mix-{mix}", partial(build, mix=mix, sessions=sessions))) as server:
            for _ in range(bench.sizes.runs):
                downloads.append(bench.download(server))
                syncs.append(bench.full_sync(server)[0])
        bench.forget(f"mix-{mix}")
        download = bench.median("mixes", f"{mix}, download", downloads)
        sync = bench.median("mixes", f"{mix}, sync", syncs)
        yield Row(
            "mixes", f"{sessions:,} of {mix}, times downloading", sync.wall / download.wall, "x",
            note=f"without start-up {sync.answering / download.answering:.2f}x, {sync.memory / 1e6:.0f} MB",
        )  # fmt: skip


def _requests(scenario: str, sessions: int, sync: Cost) -> Row:
    bound = sessions / 1000 * 1.25 + 20
    return Row(scenario, f"requests for {sessions:,} sessions", sync.requests, at_most=bound)


def _warehouse_name(sessions: int) -> str:
    return f"warehouse-{sessions}"


def _filled(bench: Bench, sessions: int) -> Path:
    """A warehouse with the sessions before their changes; made unless an earlier scenario has left it."""
    warehouse = bench.directory / _warehouse_name(sessions)
    if not warehouse.exists():
        with bench.serve(_with_changes(bench, sessions)) as server:
            bench.sync(server, warehouse)
        bench.check(warehouse, sessions)
    return warehouse


#: In the order in which they run: `nothing` and then `changed` use the warehouses that `memory` leaves.
SCENARIOS: Final[dict[str, Scenario]] = {
    "full": full,
    "latency": latency,
    "redaction": redaction,
    "memory": memory,
    "nothing": nothing,
    "changed": changed,
    "large": large,
    "hours": hours,
    "mixes": mixes,
}
