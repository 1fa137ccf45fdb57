"""The main job against a real server: nothing missed, exactly once in effect, never backwards, whatever happens."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from conftest import Clock, World
from selection import first
from vapi_emulator.faults import Fault
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import FaultSettings
from vapi_sessions.core import threads
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.timestamps import MINUTE, SECOND, parse
from vapi_sessions.errors import (
    ConfigurationError,
    SourceInconsistentError,
    SourceRefusedError,
    SourceUnavailableError,
    VapiSessionsError,
    WarehouseDamagedError,
    WarehouseError,
)
from vapi_sessions.operations import coordinator, sync
from vapi_sessions.operations.coordinator import Counts
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.progress import Silent
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout


def _talk(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


def _spread(world: World, count: int, *, days: float = 5, until_hours: float = 2) -> list[str]:
    """Small sessions, evenly over days, the last change hours ago."""
    start, end = world.ago(days=days), world.ago(hours=until_hours)
    step = (end - start) // count
    return world.insert(count, lambda n: (start + n * step, start + n * step + SECOND))


# -- what a sync brings


def test_the_first_sync_brings_everything(world: World) -> None:
    """Each session of a generated history is there, in its state, and all time since the oldest is claimed."""
    world.generate(250)
    summary = world.sync(concurrency=4)
    assert summary.counts.sessions_new == 250
    assert world.here() == world.there()
    assert summary.watermark == summary.bound
    assert summary.windows > 1


def _tables(world: World) -> dict[str, list[tuple[Any, ...]]]:
    columns = {t.name: [c.name for c in t.columns if not c.name.endswith("synced_at")] for t in TABLES}
    return {
        name: world.rows(f"SELECT {', '.join(names)} FROM {name} ORDER BY ALL")
        for name, names in columns.items()
    }


def test_batches_that_overlap_in_time_give_the_same_warehouse(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of several windows are stored side by side, and may show the same sessions."""
    world.generate(150)
    world.sync(concurrency=1)
    one_by_one = _tables(world)
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 20_000)
    world.warehouse = world.warehouse.with_name("overlapping")
    assert world.sync(concurrency=4, page_size=20).counts.sessions_new == 150
    assert len(list((world.warehouse / "raw").glob("*.parquet"))) > 5
    assert _tables(world) == one_by_one


def test_a_commit_that_fails_ends_the_run_and_claims_nothing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the committing thread is the run's; the next sync completes it."""
    world.generate(150)
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 20_000)
    merge, merges = Index.merge, itertools.count(1)

    def third_fails(index: Index, *given: Any) -> None:
        if next(merges) == 3:
            raise WarehouseError("The disk is full.", "Free some.")
        merge(index, *given)

    with monkeypatch.context() as failing:
        failing.setattr(Index, "merge", third_fails)
        with pytest.raises(WarehouseError, match="The disk is full"):
            world.sync(concurrency=4, page_size=20)
    assert len(world.here()) < 150
    world.sync(concurrency=4)
    assert world.here() == world.there()


def test_the_ledger_is_published_as_it_is(world: World) -> None:
    """The run that publishes is shown as it ends, with the numbers and the moment that the writer's database holds."""
    world.generate(30)

    def a_second_later() -> int:
        world.clock.forward(seconds=1)
        return world.clock.us()

    for _ in range(2):
        sync.sync(world.settings(), environment=replace(world.environment(), now=a_second_later))
    with Index(Layout(world.warehouse).index, Layout(world.warehouse).scratch) as index:
        for table in ("runs", "windows", "batches", "intervals", "parts"):
            assert world.rows(f"FROM sync.{table} ORDER BY ALL") == index.rows(
                f"FROM sync.{table} ORDER BY ALL"
            )


def test_each_change_arrives_whatever_traffic_does_meanwhile(world: World) -> None:
    """Rounds of creations, additions, completions and bulk changes: after each sync nothing is missing."""
    world.generate(100)
    world.sync()
    traffic = world.server.traffic(weights={"create": 3, "append": 5, "complete": 2, "cost": 2, "bulk": 1})
    for _ in range(3):
        traffic.steps(20)
        world.clock.forward(minutes=10)
        world.sync()
        assert world.here() == world.there()


def test_changes_during_a_sync_lose_nothing(world: World) -> None:
    """Sessions leave the windows while these are read; after one more sync nothing is missing."""
    world.generate(200)
    traffic = world.server.traffic(weights={"append": 6, "complete": 2, "cost": 2, "create": 3, "delete": 2})

    def before(request: httpx.Request) -> None:
        world.clock.forward(milliseconds=40)
        traffic.steps(2)

    world.sync(before=before, page_size=20, concurrency=1)
    quiet_since = world.clock.us()
    assert {s for s in world.there() if s[1] * 1000 < quiet_since - MINUTE} <= world.here()
    world.clock.forward(minutes=1)
    world.sync()
    assert world.there() <= world.here()
    assert {s[0] for s in world.here()} - {s[0] for s in world.there()} <= set(traffic.deleted)


def test_sessions_deleted_at_the_source_stay(world: World) -> None:
    """A sync proves no deletion, so it marks none: the rows stay, unmarked."""
    ids = _spread(world, 20)
    world.sync()
    for session_id in ids[:5]:
        world.server.store.delete(world.server.org_id, session_id)
    world.sync(full=True)
    assert world.rows("SELECT count(*), count(deleted_at), count(aged_out_at) FROM sessions") == [(20, 0, 0)]


# -- what it costs


def test_without_a_change_only_the_overlap_is_read_and_nothing_is_written(world: World) -> None:
    """The second sync asks for the lookback alone; no row, no raw file and no data file changes."""
    world.generate(150, until=world.ago(hours=1))
    world.insert(7, lambda n: (world.ago(minutes=10) + n * SECOND,) * 2)
    world.sync()
    frontier = world.sync().bound
    assert frontier is not None
    rows, files = world.tables(), world.files("raw", "parquet")
    latest = (world.warehouse / "parquet" / "latest").readlink()
    world.forget_requests()
    world.clock.forward(minutes=2)

    summary = world.sync()

    assert summary.counts.sessions_read == 7
    asked = [parse(page["updatedAtGe"]) for page in world.pages()]
    assert min(asked) >= frontier - 15 * MINUTE
    assert len(world.server.requests) <= 5
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 0)
    assert not summary.published
    assert world.tables() == rows
    assert world.files("raw", "parquet") == files
    assert (world.warehouse / "parquet" / "latest").readlink() == latest
    assert summary.watermark == summary.bound != frontier


def test_changing_ten_sessions_changes_ten(world: World) -> None:
    """Ten rows are replaced and ten observations stored; every other row stays as it was."""
    world.generate(100, until=world.ago(hours=1))
    world.sync()
    before = {row[0]: row for row in world.rows("FROM sessions")}
    raw_before = world.files("raw")
    changed = world.server.store.ids(world.server.org_id)[::10]
    world.clock.forward(hours=3)
    for session_id in changed:
        world.server.store.update(
            world.server.org_id, session_id, lambda session: session.update(name="Changed")
        )
        world.clock.forward(seconds=1)
    world.clock.forward(hours=1)

    summary = world.sync()

    assert len(changed) == 10
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 10)
    assert summary.counts.sessions_read == 10
    after = {row[0]: row for row in world.rows("FROM sessions")}
    assert {session_id for session_id in after if after[session_id] != before[session_id]} == set(changed)
    new = world.files("raw").keys() - raw_before.keys()
    assert sum(pq.read_metadata(world.warehouse / name).num_rows for name in new) == 10


def test_files_of_months_without_a_change_are_linked_not_written(world: World) -> None:
    """One session of this month changes, and none of its messages: all other files are the same ones in the new snapshot."""
    world.insert(90, lambda n: (world.ago(days=n + 1),) * 2)
    world.sync()

    def published(table: str) -> dict[str, int]:
        """File name to inode, in the newest snapshot."""
        files = (world.warehouse / "parquet" / "latest" / table).rglob("*.parquet")
        return {path.name: path.stat().st_ino for path in files}

    sessions, messages = published("sessions"), published("messages")
    newest = world.server.store.ids(world.server.org_id)[-1]
    world.server.store.update(world.server.org_id, newest, lambda session: session.update(name="Changed"))
    world.clock.forward(minutes=5)
    world.sync()
    after = published("sessions")
    assert len(sessions) >= 4
    assert len(after.items() - sessions.items()) == 1
    assert len(after) == len(sessions)
    assert published("messages") == messages


def test_nothing_is_written_again_by_a_full_reading(world: World) -> None:
    """`--full` reads every session, and finds that none has changed."""
    world.generate(100)
    world.sync()
    rows, raw = world.tables(), world.files("raw")
    summary = world.sync(full=True)
    assert summary.counts.sessions_read >= 100
    assert world.tables() == rows
    assert world.files("raw") == raw


# -- one session over time


def test_children_are_replaced_as_a_set(world: World) -> None:
    """After a shorter conversation took the place of a longer one, nothing of the longer one is left."""
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    long = [
        *_talk("Hello", "Are you there?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ]
    costs = [{"type": "session", "cost": 0.01}, {"type": "model", "model": {}, "cost": 0.02}]
    (session_id,) = world.insert(1, lambda n: (world.ago(days=1),) * 2, messages=long, costs=costs)
    world.sync()
    assert world.rows("SELECT count(*) FROM messages") == [(4,)]
    assert world.rows("SELECT result FROM tool_calls") == [("found",)]
    assert world.rows("SELECT count(*) FROM costs") == [(2,)]
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(messages=_talk("Hello"), costs=costs[:1])
    )
    world.clock.forward(minutes=1)
    world.sync()
    assert world.rows("SELECT message_index, content FROM messages") == [(0, "Hello")]
    assert world.rows("SELECT count(*) FROM tool_calls") == [(0,)]
    assert world.rows("SELECT cost_index, type FROM costs") == [(0, "session")]


def test_messages_keep_the_moment_they_were_first_seen(world: World) -> None:
    """An appended message is dated with the session's new `updatedAt`; those before it keep theirs."""
    start = world.ago(days=1)
    (session_id,) = world.insert(1, lambda n: (start, start), messages=_talk("a", "b"))
    world.sync()
    world.clock.forward(hours=1)
    resumed = world.clock.us()
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(messages=_talk("a", "b", "c"))
    )
    world.clock.forward(hours=1)
    world.sync()
    seen = world.rows("SELECT epoch_ms(first_seen_at) FROM messages ORDER BY message_index")
    assert seen == [(start // 1000,), (start // 1000,), (resumed // 1000,)]


def test_the_first_reading_of_a_session_keeps_its_date(world: World) -> None:
    """`first_synced_at` stays when a session changes, `synced_at` moves on."""
    (session_id,) = world.insert(1, lambda n: (world.ago(days=1),) * 2)
    first = world.clock.us()
    world.sync()
    world.clock.forward(hours=2)
    world.server.store.update(world.server.org_id, session_id, lambda s: s.update(name="Changed"))
    world.clock.forward(hours=1)
    second = world.clock.us()
    world.sync()
    assert world.rows("SELECT epoch_us(first_synced_at), epoch_us(synced_at) FROM sessions") == [
        (first, second)
    ]


def test_a_stale_answer_never_overwrites_a_newer_state(world: World) -> None:
    """A replica that lags shows an older state in a later request: the newer one stays."""
    start = world.ago(days=1)
    (session_id,) = world.insert(1, lambda n: (start, start), name="old", messages=_talk("a", "b"))
    (old,) = world.server.store.sessions(world.server.org_id)
    world.sync()
    world.clock.forward(hours=1)
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(name="new", messages=_talk("a", "b", "c"))
    )
    world.clock.forward(minutes=1)
    world.sync()
    rows = world.tables()
    world.server.store.delete(world.server.org_id, session_id)
    world.server.store.add(old, created_us=start, updated_us=start)
    world.clock.forward(minutes=1)
    summary = world.sync(full=True)
    assert summary.counts.sessions_read == 1
    assert world.tables() == rows
    assert world.rows("SELECT name, message_count FROM sessions") == [("new", 3)]


def test_an_older_state_that_turns_up_later_dates_messages_back(world: World) -> None:
    """The newest state stays; what the older one shows to have been said earlier gets its earlier date."""
    start = world.ago(days=1)
    (session_id,) = world.insert(1, lambda n: (start, start), messages=_talk("a", "b"))
    (old,) = world.server.store.sessions(world.server.org_id)
    world.clock.forward(hours=1)
    later = world.clock.us()
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(messages=_talk("a", "b", "c"))
    )
    world.clock.forward(minutes=1)
    world.sync()
    world.server.store.delete(world.server.org_id, session_id)
    world.server.store.add(old, created_us=start, updated_us=start)
    world.sync(full=True)
    seen = world.rows("SELECT epoch_ms(first_seen_at) FROM messages ORDER BY message_index")
    assert seen == [(start // 1000,), (start // 1000,), (later // 1000,)]


def test_a_silent_change_is_taken_and_counted(world: World) -> None:
    """A cost that is filled in without moving `updatedAt` arrives with the next full reading, and is told."""
    ids = _spread(world, 5)
    world.sync()
    world.server.store.update(world.server.org_id, ids[2], lambda s: s.update(cost=9.5), touch=False)
    world.clock.forward(hours=1)
    assert world.sync().counts.silent_changes == 0
    summary = world.sync(full=True)
    assert (summary.counts.sessions_changed, summary.counts.silent_changes) == (1, 1)
    assert world.rows(f"SELECT cost_usd FROM sessions WHERE session_id = '{ids[2]}'") == [(9.5,)]


# -- what is claimed


def test_a_change_that_shows_late_is_read_again_and_counted(world: World) -> None:
    """A write that becomes visible after the run that should have seen it is found within the lookback, and alarms."""
    ids = _spread(world, 5)
    world.sync()
    world.server.configure(commit_delay_seconds=120.0)
    world.clock.forward(hours=1)
    world.server.store.update(world.server.org_id, ids[0], lambda s: s.update(name="late"))
    world.clock.forward(seconds=60)
    assert world.sync().counts.sessions_changed == 0
    world.clock.forward(seconds=120)
    summary = world.sync()
    assert (summary.counts.sessions_changed, summary.counts.late_rows) == (1, 1)
    assert world.here() == world.there()


def test_the_settling_delay_is_not_claimed_but_read(world: World) -> None:
    """What changed a moment ago is in the warehouse, although the claim ends before it."""
    _spread(world, 5)
    world.insert(3, lambda n: (world.ago(seconds=10),) * 2)
    summary = world.sync(settle="1m")
    assert summary.bound is not None
    assert summary.bound <= world.clock.us() - MINUTE
    assert summary.watermark == summary.bound
    assert world.here() == world.there()


@pytest.mark.parametrize("skew", [-3_600.0, 3_600.0], ids=["behind", "ahead"])
def test_the_earlier_clock_bounds_the_claim(world: World, skew: float) -> None:
    """Whether the source's clock is behind ours or ahead of it, nothing later than either is claimed."""
    _spread(world, 5)
    world.server.configure(clock_skew_seconds=skew)
    bound = world.sync().bound
    earlier = world.clock.us() + int(min(skew, 0) * 1e6)
    assert bound is not None
    assert earlier - SECOND <= bound <= earlier


def test_the_date_of_a_cached_answer_is_not_the_present(world: World) -> None:
    """An answer with an `Age` header tells nothing of the source's clock: ours alone bounds the claim."""
    _spread(world, 5)
    world.server.configure(stale_cache_seconds=30 * 60.0)
    world.sync()
    world.clock.forward(minutes=20)
    bound = world.sync().bound
    assert bound is not None
    assert bound > world.clock.us() - SECOND


def test_a_gap_between_two_readings_is_closed(world: World) -> None:
    """Two ranges read by `--since` and `--until` leave a gap, which the next sync reads and nothing else does."""
    ids = _spread(world, 96, days=4, until_hours=0)
    world.sync(since="2026-02-28", until="2026-03-01")
    world.sync(since="2026-03-03")
    assert len(world.ledger()) == 2
    assert 0 < len(world.here()) < len(ids)
    world.clock.forward(hours=1)
    world.sync()
    assert len(world.ledger()) == 1
    assert world.here() == world.there()


def test_an_earlier_since_extends_the_history(world: World) -> None:
    """History begins where the first sync was told; a later sync may move that back, and is then complete from there."""
    _spread(world, 90, days=9)
    world.sync(since="2026-03-01T00:00:00Z")
    assert 0 < len(world.here()) < 90
    assert world.rows("SELECT value FROM sync.state WHERE key = 'origin_reason'") == [("since",)]
    world.sync(since="2026-02-01")
    assert world.here() == world.there()
    assert len(world.ledger()) == 1


@pytest.mark.parametrize("parameter", first(["updatedAtGe", "sortOrder", "updatedAtLt", "createdAtGe"], 2))
def test_a_source_that_ignores_a_parameter_stops_the_sync(world: World, parameter: str) -> None:
    """A proxy that drops a filter or the order would falsify the reading: it is noticed and nothing is claimed."""
    world.server.configure(ignored_parameters=frozenset({parameter}))
    _spread(world, 120)
    with pytest.raises(SourceInconsistentError):
        world.sync(page_size=10, concurrency=4)
    assert _unclaimed(world, world.there() - world.here())
    world.server.configure(ignored_parameters=frozenset())
    world.sync(page_size=50)
    assert world.here() == world.there()


@pytest.mark.parametrize(
    "switches",
    first(
        [
            {"page_cap": 30},
            {"limit0": "reject", "past_end": "reject"},
            {"gzip": True},
            {"optional_metadata": True},
            {"sub_millisecond": False},
            {"ties": "shuffled"},
            {"refuse_default_user_agents": True},
        ],
        3,
    ),
    ids=lambda switches: "+".join(switches),
)
def test_whatever_the_contract_leaves_open_the_sync_is_complete(
    world: World, switches: dict[str, Any]
) -> None:
    """Smaller pages than asked for, more metadata, compression, coarser clocks, unstable ties: all the same."""
    world.server.configure(**switches)
    world.generate(120)
    world.sync(page_size=40)
    assert world.here() == world.there()


# -- faults


@pytest.mark.parametrize(
    "fault",
    first(
        [
            Fault("429", retry_after=7),
            Fault("cut", keep=0.99),
            "reset",
            "hang",
            Fault("429"),
            "500",
            "502",
            Fault("cut", keep=0.5),
            "html",
            "empty",
            "garbage",
        ],
        3,
    ),
    ids=lambda fault: fault if isinstance(fault, str) else f"{fault.kind}-{fault.retry_after or fault.keep}",
)
def test_a_passing_fault_costs_a_retry_and_nothing_else(world: World, fault: Any) -> None:
    """Every third answer is bad: the sync ends well, the warehouse is complete, and nothing is in it twice."""
    world.server.configure(faults=FaultSettings(hang_seconds=0.01))
    _spread(world, 120)
    world.server.faults.script(*[None, None, fault] * 4)
    summary = world.sync(page_size=20)
    assert world.server.faults.scripted == 0
    assert summary.counts.sessions_new == 120
    assert world.here() == world.there()
    assert world.rows("SELECT retries FROM sync.runs") == [(4,)]


def test_a_storm_of_faults_is_weathered(world: World) -> None:
    """Of many requests side by side a third fail, each in another way: the warehouse is complete."""
    kinds = ("429", "500", "502", "cut", "reset", "html", "empty", "garbage")
    world.server.configure(faults=FaultSettings(probabilities=dict.fromkeys(kinds, 0.04), seed=3))
    world.generate(150)
    world.sync(page_size=10, concurrency=6)
    assert len({r.fault for r in world.server.requests} - {None}) >= 6
    assert world.here() == world.there()


def test_a_rate_limit_with_a_lockout_is_outlasted(world: World) -> None:
    """The recorded lockout of 21 s without `Retry-After` ends no sync, however many requests run side by side."""
    world.server.configure(faults=FaultSettings(rate_limit=5, lockout_seconds=21.0))
    _spread(world, 120)
    world.sync(page_size=10, concurrency=6)
    assert world.here() == world.there()
    assert world.clock.slept >= 21


def test_the_sources_own_waiting_time_is_kept(world: World) -> None:
    """Where a 429 says in `Retry-After` when to come back, nobody comes back earlier."""
    _spread(world, 10)
    world.server.faults.script(None, Fault("429", retry_after=40))
    world.sync()
    assert world.clock.slept >= 40
    assert [r.status for r in world.server.requests].count(429) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    first(
        [
            ("500", SourceUnavailableError),
            ("cdn403", SourceRefusedError),
            ("garbage", SourceUnavailableError),
            (Fault("429", retry_after=3_600), SourceUnavailableError),
        ],
        2,
    ),
    ids=lambda value: value.kind if isinstance(value, Fault) else getattr(value, "__name__", value),
)
def test_a_fault_that_stays_fails_the_sync_and_keeps_what_arrived(
    world: World, fault: Any, error: type[VapiSessionsError]
) -> None:
    """The pages before it are merged and published, the claim ends before it, and the next sync reads only the rest."""
    _spread(world, 120)
    requests = 0

    def before(request: httpx.Request) -> None:
        nonlocal requests
        requests += 1
        if requests == 16:
            world.server.faults.script(*[fault] * 20)

    with pytest.raises(error):
        world.sync(page_size=5, concurrency=1, before=before)
    arrived = world.here()
    assert 0 < len(arrived) < 120
    assert arrived < world.there()
    assert _unclaimed(world, world.there() - arrived)
    assert world.rows("SELECT outcome, sessions_new FROM sync.runs") == [("failed", len(arrived))]

    world.server.faults.forget_script()
    summary = world.sync(page_size=5, concurrency=1)
    assert world.here() == world.there()
    assert summary.watermark == summary.bound
    assert summary.counts.sessions_new == 120 - len(arrived)
    assert summary.counts.sessions_read <= 120 - len(arrived) + 5


def _unclaimed(world: World, missing: set[tuple[str, int, int]]) -> bool:
    """Whether no session that is missing here lies in a stretch that is claimed."""
    claimed = IntervalSet(world.ledger())
    return not any(updated * 1000 in claimed for _, updated, _ in missing)


# -- interruptions


class _InterruptedAfter(Silent):
    """A person who presses Ctrl-C after some pages."""

    def __init__(self, pages: int) -> None:
        self.left = pages

    def read(self, sessions: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("concurrency", first([4, 1]))
def test_an_interrupted_sync_keeps_what_arrived_and_goes_on(world: World, concurrency: int) -> None:
    """Ctrl-C in the middle: nothing is claimed falsely, the run is recorded, and the next sync completes it."""
    _spread(world, 120)
    with pytest.raises(KeyboardInterrupt):
        world.sync(page_size=10, concurrency=concurrency, progress=_InterruptedAfter(5))
    arrived = world.here()
    assert 0 < len(arrived) < 120
    assert _unclaimed(world, world.there() - arrived)
    assert world.rows("SELECT outcome FROM sync.runs") == [("interrupted",)]
    world.sync(page_size=10)
    assert world.here() == world.there()


class _InterruptedStart(ThreadPoolExecutor):
    """Ctrl-C while the last of several windows is being started."""

    def submit(self, work: Any, *given: Any, **named: Any) -> Any:
        if self._thread_name_prefix == "fetch" and given[0] == 2:
            raise KeyboardInterrupt
        return super().submit(work, *given, **named)


def test_an_interruption_while_windows_are_started_ends_those_that_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not read to their ends first: that could take hours."""
    _spread(world, 120)
    world.server.configure(faults=FaultSettings(latency_seconds=0.02))
    monkeypatch.setattr(threads, "ThreadPoolExecutor", _InterruptedStart)
    with pytest.raises(KeyboardInterrupt):
        world.sync(page_size=3, concurrency=4)
    assert len(world.here()) < 40


def test_a_window_left_in_the_middle_is_resumed_there(world: World) -> None:
    """The next run begins after the pages of that window that have been merged, and does not ask for them again."""
    _spread(world, 240, days=5, until_hours=24)
    with pytest.raises(KeyboardInterrupt):
        world.sync(page_size=5, concurrency=1, progress=_InterruptedAfter(25))
    arrived = len(world.here())
    world.forget_requests()
    summary = world.sync(page_size=5, concurrency=1)
    assert world.here() == world.there()
    assert summary.counts.sessions_read == 240 - arrived
    assert any("createdAtGe" in page for page in world.pages()[:1])
    assert world.rows("SELECT count(*) FROM sync.windows WHERE verdict = 'open'") == [(0,)]


def test_what_was_fetched_and_not_merged_is_merged_without_a_download(world: World) -> None:
    """A raw file that the ledger does not know: its rows and its claim count, and nothing of it is asked for again."""
    ids = _spread(world, 100)
    world.sync()
    kept = world.warehouse.with_name("index-before")
    shutil.copy2(world.warehouse / "index.duckdb", kept)
    world.clock.forward(days=1)
    for session_id in ids[::10]:
        world.server.store.update(world.server.org_id, session_id, lambda s: s.update(name="Changed"))
    world.clock.forward(days=1)
    done = world.sync()
    rows, raw = world.tables(), world.files("raw")
    shutil.copy2(kept, world.warehouse / "index.duckdb")
    world.clock.forward(minutes=1)

    summary = world.sync()

    assert summary.recovered_files == 1
    assert summary.counts == Counts()
    assert summary.watermark is not None
    assert done.watermark is not None
    assert summary.watermark > done.watermark
    assert world.tables() == rows
    assert world.files("raw") == raw


def test_a_raw_file_that_a_dead_process_left_half_written_goes(world: World) -> None:
    """What bears a temporary name counts for nothing, and the next run clears it away."""
    _spread(world, 10)
    world.sync()
    half_written = world.warehouse / "raw" / ".000000000009-a-run-that-died.parquet.tmp"
    half_written.write_bytes(b"PAR1")
    world.sync()
    assert not half_written.exists()
    assert world.here() == world.there()


# -- the database is derived


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A warehouse of several raw files: sessions that were seen growing, and that changed silently."""
    clock = Clock()
    with EmulatorServer(clock=clock) as server:
        world = World(server, tmp_path_factory.mktemp("history") / "warehouse", clock)
        world.generate(150, until=world.ago(hours=1))
        world.sync()
        traffic = server.traffic(late_cost_moves_updated_at=False)
        for _ in range(3):
            traffic.steps(25)
            clock.forward(hours=1)
            world.sync(full=True)
        yield world


@pytest.fixture
def grown(history: World, tmp_path: Path) -> World:
    """A copy of it, of one's own."""
    shutil.copytree(history.warehouse, tmp_path / "warehouse", symlinks=True)
    return World(history.server, tmp_path / "warehouse", history.clock)


def _rename_raw(world: World, *, reverse: bool) -> None:
    raw = world.warehouse / "raw"
    for n, path in enumerate(sorted(raw.iterdir(), reverse=reverse)):
        path.rename(raw / f"{n:03d}.parquet")


def test_a_rebuild_derives_an_equal_warehouse(grown: World) -> None:
    """From `raw/` alone all five tables come out as they were, in a new index; nothing is put aside."""
    rows, ledger = grown.tables(), grown.ledger()
    assert len(grown.files("raw")) >= 4
    there = {path.name for path in grown.warehouse.iterdir()}
    _, sessions = grown.rebuild()
    assert {path.name for path in grown.warehouse.iterdir()} == there
    assert sessions == len(rows["sessions"])
    assert grown.tables() == rows
    assert len(IntervalSet(grown.ledger()) - IntervalSet(ledger)) == 0


def test_the_order_of_raw_files_does_not_matter(grown: World) -> None:
    """Renamed into the reverse order, the files still make the same five tables."""
    rows = grown.tables()
    _rename_raw(grown, reverse=True)
    grown.rebuild()
    assert grown.tables() == rows


def test_a_rebuilt_warehouse_is_synced_on(grown: World) -> None:
    """The sync after a rebuild, even from nothing but `raw/`, finds every row known."""
    rows = grown.tables()
    (grown.warehouse / "index.duckdb").unlink()
    shutil.rmtree(grown.warehouse / "parquet")
    grown.rebuild()
    summary = grown.sync(full=True)
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 0)
    assert grown.tables() == rows


@pytest.mark.parametrize("reverse", first([True, False]), ids=["reversed", "as written"])
def test_after_a_rebuild_later_requests_still_win(world: World, reverse: bool) -> None:
    """Requests go on being numbered after those in `raw/`: a silent change read after the rebuild is taken."""
    ids = _spread(world, 5)

    def change_silently(name: str) -> None:
        for session_id in ids:
            world.server.store.update(
                world.server.org_id, session_id, lambda s: s.update(name=name), touch=False
            )
        world.clock.forward(hours=1)

    for name in ("a", "b", "c"):
        change_silently(name)
        world.sync(full=True)
    _rename_raw(world, reverse=reverse)
    world.rebuild()
    change_silently("d")
    world.sync(full=True)
    assert world.rows("SELECT DISTINCT name FROM sessions") == [("d",)]


def test_a_session_that_appears_before_the_oldest_one_meanwhile_is_the_oldest(world: World) -> None:
    """Created in the past, between asking for the oldest and counting what is before it: no contradiction of the source."""
    world.insert(5, lambda n: (world.ago(hours=5 - n),) * 2)
    asked: list[httpx.Request] = []

    def before(request: httpx.Request) -> None:
        asked.append(request)
        if len(asked) == 2:
            world.insert(1, lambda n: (world.ago(hours=9),) * 2)

    world.sync(before=before)
    assert world.here() == world.there()
    assert world.ledger()[0][0] == world.ago(hours=9)


@pytest.mark.parametrize("left", first([1, 0]))
def test_a_rebuild_refuses_to_lose_what_missing_files_held(grown: World, left: int) -> None:
    """The database is whole, and would be replaced by less; putting the files back helps, and so does giving them up."""
    files = sorted((grown.warehouse / "raw").iterdir())
    before = grown.tables()
    kept = [(path, path.read_bytes()) for path in files]
    for path in files[left:]:
        path.unlink()
    with pytest.raises(ConfigurationError if left == 0 else WarehouseDamagedError, match="raw"):
        grown.rebuild()
    assert grown.tables() == before
    assert not list((grown.warehouse / ".tmp").iterdir())
    if left:
        (grown.warehouse / "vapi.duckdb").rename(grown.warehouse / "aside.duckdb")
        merged, sessions = grown.rebuild()
        assert (merged, sessions < len(before["sessions"])) == (left, True)
    for path, body in kept:
        path.write_bytes(body)
    grown.rebuild()
    assert grown.tables() == before


def test_there_is_nothing_to_rebuild_outside_a_warehouse(world: World) -> None:
    """A directory without raw files is refused, and nothing is made in it."""
    world.warehouse.mkdir()
    with pytest.raises(ConfigurationError, match="is not a warehouse"):
        world.rebuild()
    assert list(world.warehouse.iterdir()) == []


# -- a look ahead


def test_a_preview_asks_for_counts_only(world: World) -> None:
    """It says how many sessions there are in which windows, from requests for one row each."""
    world.generate(300)
    planned = preview(world.settings(), environment=world.environment())
    assert planned.plan.sessions == 300
    assert planned.requests >= 3
    assert {r.parameters["limit"] for r in world.server.requests} == {"1"}
    assert not world.warehouse.exists()


def test_every_table_has_its_rows(world: World) -> None:
    """The generated conversations fill each of the five tables, so that the comparisons here compare something."""
    world.generate(100)
    world.sync()
    assert all(world.rows(f"SELECT count(*) FROM {table.name}")[0][0] > 20 for table in TABLES)
