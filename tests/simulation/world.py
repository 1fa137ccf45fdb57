"""One seed: its parameters, the transport between engine and model, and the sequence of runs."""

from __future__ import annotations

import contextlib
import functools
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

import duckdb
import httpx
from pydantic import SecretStr

from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError
from vapi_sessions.operations import compare, coordinator, reconcile, sync
from vapi_sessions.operations.progress import Silent
from vapi_sessions.privacy import redaction
from vapi_sessions.settings import Settings
from vapi_sessions.source import pagination
from vapi_sessions.source import windows as plan
from vapi_sessions.warehouse import part_ranges, snapshots
from vapi_sessions.warehouse.index import Index

from . import connections, faults
from .clock import Clock
from .invariants import Invariants, Violation
from .model import ORG, OTHER_ORG, Answer, Model, Shape
from .stops import Stopped, Stops
from .themes import THEMES, Theme, drawn
from .traffic import Traffic

KEY, OTHER_KEY, EMPTY_KEY = "key", "another-key", "an-empty-key"
#: More traffic than that makes more requests, between which there is more traffic.
STEPS_A_RUN = 40
_NEW_VIEWS: Final = connections.made_once(snapshots._new_views)


@dataclass(slots=True)
class RunRecord:
    """What one run did, as seen from outside."""

    command: str
    started: int  # true time, µs
    ended: int = 0
    error: BaseException | None = None
    result: Any = None
    requests: int = 0
    faulty: int = 0
    #: Answers that said falsely that there is nothing.
    denied: int = 0
    #: The fault that comes again with the next request.
    again: str = ""
    #: The latest bound that the clocks allowed this run to claim, µs.
    bound: int | None = None
    #: Walk requests whose rows were all of one instant: reading blocks of ties has a price of its own.
    tied: int = 0
    listed: set[str] = field(default_factory=set)
    #: Whether it has shown a snapshot: what it asks for after that shows that it was on its way.
    published: bool = False

    @property
    def succeeded(self) -> bool:
        """Exit code 0."""
        return self.error is None


class Notes(Silent):
    """Counts what the engine says of its own recoveries."""

    _SAID: Final = {
        "merged": "recovered raw files",
        "resuming": "resumed windows",
        "shows no session": "empty organisation",
        "could not be kept": "could not keep what had arrived",
        "kept aside": "kept aside",
    }

    def __init__(self, fired: Counter[str]) -> None:
        self._fired = fired

    def say(self, text: str) -> None:
        """One line."""
        for start, name in self._SAID.items():
            if start in text:
                self._fired[f"recovery: {name}"] += 1


#: In how many worlds some sessions do not say what they are, now and then.
_SPOILING: Final = 0.2


class World(httpx.BaseTransport):
    """The simulated surroundings of a warehouse. Everything follows from `seed`."""

    def __init__(self, seed: int, warehouse: Path, *, check: bool = True) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.fired: Counter[str] = Counter()
        self.clock = Clock()
        self.warehouse = warehouse
        self.page = rng.choice((3, 4, 5, 5, 7, 10, 20))
        self.settle = rng.choice((0, 10 * SECOND, MINUTE, MINUTE))
        self.lookback = rng.choice((0, MINUTE, 15 * MINUTE, 15 * MINUTE))
        self.lag = rng.choice((0, 0, self.settle // 2))
        capped = rng.random() < 0.15
        promised = self.settle + self.lookback - self.lag
        self.model = Model(
            self.clock,
            random.Random(rng.random()),
            Shape(
                micro_shown=rng.random() < 0.2,
                filter_on_micro=rng.random() < 0.5,
                shuffle_ties=rng.random() < 0.5,
                page_cap=max(2, self.page - rng.randint(1, 3)) if capped else None,
                cap_said=rng.random() < 0.7,
                says_beyond_retention=rng.random() < 0.5,
                delay=rng.choice((0, promised // 2, max(0, promised - SECOND))),
            ),
        )
        self.traffic = Traffic(
            self.model,
            random.Random(rng.random()),
            page=self.page,
            fired=self.fired,
            late=promised + MINUTE if rng.random() < 0.25 else 0,
        )
        self.busy = rng.choice((0, 0.3, 0.8, 2))
        self.fault_rate = rng.choices((0, 0.03, 0.12, 0.4), (3, 2, 4, 0.4))[0]
        self.leaning = rng.choice((*faults.LIES, *faults.LIES, *faults.BREAKAGES))
        #: How likely the fault that it leans to comes again with the next request, as from one replica or one proxy.
        self.repeating = 0.0
        self.reordering = rng.random() < 0.5
        #: How likely a page of a window that is read beside others arrives late.
        self.held_back = 0.4
        #: Whether the window that shows what changes meanwhile is read as the last one, and arrives before the others.
        self.newest_first = False
        #: Whether every run publishes. It costs as much as all the rest of a run, and reading and merging do not depend on
        #: it: in the other worlds only the last run does, and is compared with the model in every column.
        self.publishing = rng.random() < 1 / 3
        #: Whether this is that last run of such a world: nothing was published before it.
        self.concluding = False
        self._held: list[tuple[Any, ...]] = []
        self._steps_left = STEPS_A_RUN
        if rng.random() < 0.3:
            self.clock.source_off = rng.randint(-30, 30) * SECOND
        if rng.random() < 0.3:
            self.clock.ours_off = rng.randint(-30, 30) * SECOND
        self.stops = Stops(self.fired)
        self.stop_rate = rng.choice((0, 0.6))
        self.stopped = 0
        self.invariants = Invariants(self) if check else None
        self.run_record: RunRecord | None = None
        self.healthy = False
        #: Whether a sync has seen its organisation: before that, the warehouse is nobody's.
        self.owned = False
        self.persistent = ""
        self.key = KEY
        self._cache: dict[str, faults.Reply] = {}
        self._locked_until = 0
        self._events: list[Callable[[], None]] = []
        self.clock.on_sleep = self.happen
        self.knobs: dict[str, int] = {
            "batch_bytes": rng.choices((1, 2_000, 6_000, 32 << 20), (0.4, 1.5, 3, 4))[0],
            "pages_a_window": rng.choice((1, 2, 4, 20)),
            "small": rng.choice((2, 5, 100)),
            "sessions_a_part": rng.choice((12, 8_000, 8_000, 8_000)),
            "staged_most": rng.choice((20_000, 10**9, 10**9)),
            "ids_a_request": rng.choice((2, 5, 100)),
            "breaker_least": rng.choice((3, 20)),
        }
        #: How likely a later run is a reconcile, and how likely it uses somebody else's key.
        self.reconciles, self.foreign = 0.35, 0.2
        self.fault_rate_by_id = self.fault_rate
        self.runs = rng.choice((1, 1, 2, 2))
        self.history = rng.choice((4, 10, 20, 30))
        self.theme = drawn(rng.random())
        if self.theme:
            self._be_about(THEMES[self.theme])
        self.spoiling = random.Random(f"spoilt {seed}").random() < _SPOILING
        if check and self.spoiling:
            self.traffic.weights[self.traffic.spoil] = 2.0

    def _be_about(self, theme: Theme) -> None:
        for name, value in theme.world.items():
            setattr(self, name, value)
        self.knobs.update(theme.knobs)
        for action in self.traffic.weights:
            self.traffic.weights[action] *= theme.traffic.get(action.__name__, 1)

    # -- a seed from beginning to end ----------------------------------------------------------------------------

    def play(self) -> None:
        """History, some runs under traffic, faults and stops, then peace, and everything must be equal."""
        rng = self.rng
        order = self.side_by_side() if self.reordering else contextlib.nullcontext()
        with self.small(), self.stops.watching(), self.publications(), order:
            self.traffic.history(self.history)
            for number in range(self.runs):
                command = "reconcile" if number and rng.random() < self.reconciles else "sync"
                self.disturbed_run(command)
                self.idle()
            self.peace()

    def disturbed_run(self, command: str) -> None:
        """One run with whatever goes wrong this time."""
        rng = self.rng
        self.persistent = ""
        if self.fault_rate and rng.random() < 0.08:
            self.persistent = rng.choice(
                ("ignored filter", "ignored sort", "wrong totalItems", "5xx", "429 without a header")
            )
        if rng.random() < self.stop_rate:
            self.stops.plan(rng, self.seed + 5 * self.stopped, requests=20, publishing=self.publishing)
            self.stopped += 1
        self._events = []
        if rng.random() < 0.15:
            self._events.append(self.second_sync)
        if rng.random() < 0.3 and self.invariants is not None:
            self._events.append(self.invariants.open_reader)
        if rng.random() < 0.08:
            self._events.append(self.our_clock_jumps)
        if rng.random() < self.foreign and self.owned:
            self.key = rng.choice((OTHER_KEY, EMPTY_KEY))
        self.run(command)
        self.key, self.persistent = KEY, ""

    def peace(self) -> None:
        """Traffic and faults end, everything becomes visible; one more sync and reconcile must make all equal."""
        self.healthy = True
        self.busy = 0
        self.fault_rate = self.fault_rate_by_id = 0
        self.clock.source_off = self.clock.ours_off = 0
        latest = max(v.visible_at for s in self.model.sessions.values() for v in s.versions)
        stamped = max(v.updated_at for s in self.model.sessions.values() for v in s.versions)
        self.clock.true = max(latest, stamped, self.clock.true) + self.settle + self.lag + MINUTE
        if (
            not self.model.shape.cap_said
        ):  # a cap that is not admitted looks like a contradiction in a block of ties
            self.model.shape = replace(self.model.shape, page_cap=None)
        self.run("sync")
        self.clock.pass_(MINUTE)
        everything = 400 * DAY
        silent = any(v.silent for s in self.model.sessions.values() for v in s.versions)
        hidden = silent or any(s.returned_at for s in self.model.sessions.values()) or self.traffic.late
        self.concluding, self.publishing = not self.publishing, True
        self.run("reconcile", recheck=everything if hidden else 0, accept_deletions=True)
        if self.invariants is not None:
            self.invariants.equal()

    def idle(self) -> None:
        """Time between two runs."""
        rng = self.rng
        until = self.clock.true + int(rng.choice((MINUTE, 20 * MINUTE, 3 * HOUR, 2 * DAY)) * rng.random())
        for _ in range(rng.choice((0, 2, 6, 15))):
            self.clock.pass_(max(0, until - self.clock.true) // 8)
            if self.busy:
                self.traffic.step()
        self.clock.true = max(self.clock.true, until)
        self._steps_left = STEPS_A_RUN
        if rng.random() < 0.1:
            self.clock.source_off += rng.randint(-20, 20) * SECOND
            self.fired["clock: the source's jumps"] += 1

    # -- a run ---------------------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """One thread, small pages."""
        return Settings(
            warehouse=self.warehouse,
            base_url="https://source.simulated",
            api_key=SecretStr(self.key),
            concurrency=1,
            page_size=self.page,
            settle=self.settle,
            lookback=self.lookback,
        )

    def environment(self) -> sync.Environment:
        """Our clocks and this transport."""
        return sync.Environment(
            now=self.clock.ours, monotonic=self.clock.monotonic, sleep=self.clock.sleep, transport=self
        )

    def run(self, command: str, **options: Any) -> RunRecord:
        """One command, then everything that must hold after it."""
        record = self.run_record = RunRecord(command, self.clock.true)
        self._held.clear()  # what was on its way in a run that died is lost
        record.listed = {session.session_id for session, _ in self.model.listed(self.clock.true - self.lag)}
        try:
            if command == "sync":
                record.result = sync.sync(
                    self.settings(), environment=self.environment(), progress=Notes(self.fired)
                )
            else:
                record.result = reconcile.reconcile(
                    self.settings(), environment=self.environment(), progress=Notes(self.fired), **options
                )
        except (VapiSessionsError, Stopped) as error:
            record.error = error
            self.fired[f"ended: {type(error).__name__}"] += 1
        except Violation:
            raise
        except Exception as error:
            raise Violation("every stop is a success or a typed error", repr(error)[:200]) from error
        else:
            self.fired[f"ended: {command} done"] += 1
            self.owned = self.owned or record.result.org_id is not None
        record.ended = self.clock.true
        happened = self.stops.happened
        self.stops.clear()
        self._events = []
        self.run_record = None
        if self.invariants is not None:
            self.invariants.after(record, happened)
        return record

    @contextlib.contextmanager
    def small(self) -> Iterator[None]:
        """The engine's sizes, scaled down so that a few dozen sessions fill several windows, batches and files."""
        knobs = self.knobs
        with contextlib.ExitStack() as stack:
            for owner, name, value in (
                (coordinator, "BATCH_BYTES", knobs["batch_bytes"]),
                (plan, "PAGES_A_WINDOW", knobs["pages_a_window"]),
                (compare, "SMALL", knobs["small"]),
                (part_ranges, "SESSIONS_A_PART", knobs["sessions_a_part"]),
                (part_ranges, "SESSIONS_A_NEW_PART", max(2, knobs["sessions_a_part"] // 2)),
                (part_ranges, "PUT_TOGETHER", 2),
                (coordinator, "STAGED_MOST", knobs["staged_most"]),
                (snapshots, "THREADS", 1),
                (pagination, "IDS_A_REQUEST", knobs["ids_a_request"]),
                (reconcile, "BREAKER_LEAST", knobs["breaker_least"]),
                (duckdb, "connect", functools.partial(connections.lent, duckdb.connect)),
                (snapshots, "_new_views", _NEW_VIEWS),
                (redaction, "_suspects", _remembered(redaction._suspects, self.model)),
            ):
                stack.enter_context(mock.patch.object(owner, name, value))
            yield

    @contextlib.contextmanager
    def side_by_side(self) -> Iterator[None]:
        """Windows that are read side by side end in any order, and their pages reach the loader in another one than
        they were asked for.
        """
        add, finish, rng = coordinator.Coordinator.add, sync.Run.finish, random.Random(self.seed)
        held = self._held

        def release(fits: Callable[[int], bool]) -> None:
            windows = sorted({page[1] for page in held if fits(page[1])})
            for window in rng.sample(windows, len(windows)):
                for page in [page for page in held if page[1] == window]:  # within one window the order stays
                    held.remove(page)
                    add(*page)

        def add_later(loader: Any, index: int, *page: Any) -> None:
            release(lambda other: other == index)
            newest = self.newest_first and page[0].window.upper is None
            if not newest and rng.random() < self.held_back:
                held.append((loader, index, *page))
                self.fired["pages in another order"] += 1
            else:
                add(loader, index, *page)
            if not self.newest_first and rng.random() < 0.1:
                release(lambda other: other != index)

        def finish_all(run: Any) -> Any:
            release(lambda index: True)
            return finish(run)

        def fetch_all(run: Any, windows: int) -> None:
            order = rng.sample(range(windows), windows)
            if self.newest_first:
                order.sort(key=lambda index: run._plan.windows[index].window.upper is None)
            for index in order:
                run.fetch(index)

        with (
            mock.patch.object(sync, "fetch_all", fetch_all),
            mock.patch.object(coordinator.Coordinator, "add", add_later),
            mock.patch.object(sync.Run, "finish", finish_all),
        ):
            yield

    @contextlib.contextmanager
    def publications(self) -> Iterator[None]:
        """Let the invariants know what was merged, and each committed state that a publication begins with."""
        inner = snapshots.Publisher.publish

        def publish_and_tell(publisher: Any, **named: Any) -> bool:
            if not self.publishing:
                return False
            watching = self.invariants is not None and not self.stops.dead and not self.concluding
            if watching:
                self.invariants.committed(publisher.index)
            written = bool(inner(publisher, **named))
            record = self.run_record
            if record is not None:
                record.published = True
                if watching:
                    self.invariants.shown(record)
            return written

        merge = Index.merge

        def merge_and_tell(index: Any, resolution: Any, *given: Any) -> None:
            merge(index, resolution, *given)
            if self.invariants is not None:
                self.invariants.merged(resolution)

        with (
            mock.patch.object(snapshots.Publisher, "publish", publish_and_tell),
            mock.patch.object(Index, "merge", merge_and_tell),
        ):
            yield

    # -- between two requests ------------------------------------------------------------------------------------

    def happen(self) -> None:
        """The world goes on: traffic, and at times one of this run's events."""
        busy = self.busy
        while busy > 0 and self.rng.random() < busy and self._steps_left:
            self.clock.pass_(self.rng.randrange(300 * MILLISECOND))
            self.traffic.step()
            self._steps_left -= 1
            busy -= 1
        if self._events and self.rng.random() < 0.2:
            self._events.pop()()

    def second_sync(self) -> None:
        """Another sync while one runs: it must say so, and leave."""
        quiet = sync.Environment(
            now=self.clock.ours, monotonic=self.clock.monotonic, sleep=self.clock.pass_, transport=self
        )
        try:
            sync.sync(self.settings(), environment=quiet)
        except WarehouseBusyError:
            self.fired["second sync"] += 1
        else:
            raise Violation("two syncs ran at once")

    def our_clock_jumps(self) -> None:
        """Ours is set back, or forward."""
        self.clock.ours_off += self.rng.choice((-600, -30, -5, 5, 30)) * SECOND
        self.fired["clock: ours jumps"] += 1

    # -- the transport -------------------------------------------------------------------------------------------

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request: the world goes on, the model answers, and something may go wrong with it."""
        record = self.run_record
        if record is None:
            raise Violation("a request outside a run")
        before = self.clock.ours()
        self.stops.passing("request")
        self.clock.pass_(self.rng.randrange(20 * MILLISECOND, 300 * MILLISECOND))
        self.happen()
        record.requests += 1
        self.fired["published on its way"] += record.published
        record.published = False
        response = self._respond(request, record, before)
        self.clock.pass_(self.rng.randrange(20 * MILLISECOND))
        return response

    def _respond(self, request: httpx.Request, record: RunRecord, before: int) -> httpx.Response:
        params = dict(request.url.params)
        present = self.clock.source()
        if request.url.path != "/session":
            return self._one(request, request.url.path.rsplit("/", 1)[1], present)
        answer, name, date = self._answer(params), "", present
        faulty = self.rng.random() < self.fault_rate
        persistent, record.again = record.again or self.persistent, ""
        always = persistent if persistent in faults.LIES else ""
        lying = 0.9 if self.leaning in faults.LIES else 0.3
        if self.key == KEY and (always or (faulty and self.rng.random() < lying)):
            told = faults.lie(self.model, params, self.rng, self.lag, always, self.leaning)
            denied = told is not None and answer.total > 0 and told[1].total == 0
            if told is not None and not (denied and record.denied == faults.NOTHING_A_RUN):
                name, answer = told
                record.denied += denied
                self._count(record, name)
            faulty = False
        reply = faults.Reply(faults.text(answer, params), date)
        if name == "stale page":
            reply = self._aged(reply)
        url = str(request.url)
        if faulty and self.rng.random() < 0.3 and url in self._cache and self.key == KEY:
            reply, faulty = self._aged(self._cache[url]), False
            self._count(record, "cached page")
        # The second is asked where what comes first cannot be read.
        if self.key == KEY and params.get("limit") in ("1", "100") and len(params) == 3:
            self._cache[url] = reply
            self._note_bound(record, reply, before)
        if len(answer.rows) > 1 and len({s.created_at // MILLISECOND for s, _ in answer.rows}) == 1:
            record.tied += 1
        if "page" in params and params["limit"] != "1":
            self.fired["recovery: block of ties by pages"] += 1
        if "idAny" in params:
            self.fired["recovery: block of ties proven"] += 1
        if faulty or persistent in faults.BREAKAGES:
            return self._break(reply, request, record, persistent)
        return reply.response(request)

    def _answer(self, params: dict[str, str]) -> Answer:
        if self.key == EMPTY_KEY:
            return Answer([], 0, int(params["limit"]), False)
        answer = self.model.answer(params)
        if self.key == OTHER_KEY:
            rows = [
                (session, replace(version, body=version.body.replace(ORG.encode(), OTHER_ORG.encode())))
                for session, version in answer.rows
            ]
            return replace(answer, rows=rows)
        return answer

    def _one(self, request: httpx.Request, session_id: str, present: int) -> httpx.Response:
        version = self.model.get(session_id)
        reply = (
            faults.Reply(version.body, present)
            if version is not None
            else faults.Reply(
                b'{"statusCode":404,"message":"Not Found","error":"Not Found"}', present, status=404
            )
        )
        record = self.run_record
        if record is not None and self.rng.random() < self.fault_rate_by_id:
            return self._break(reply, request, record, self.persistent)
        if version is None and self.invariants is not None:
            self.invariants.proven_absent.add(session_id)
        return reply.response(request)

    def _break(
        self, reply: faults.Reply, request: httpx.Request, record: RunRecord, persistent: str = ""
    ) -> httpx.Response:
        weights = [
            weight * (faults.LEANING if name == self.leaning else 1)
            for name, (_, weight) in faults.BREAKAGES.items()
        ]
        (name,) = self.rng.choices(list(faults.BREAKAGES), weights)
        if persistent in faults.BREAKAGES:
            name = persistent
        self._count(record, name)
        return faults.BREAKAGES[name][0](reply, request, self.rng, self.model)

    def _count(self, record: RunRecord, name: str) -> None:
        record.faulty += 1
        if name == self.leaning and self.repeating and self.rng.random() < self.repeating:
            record.again = name
        self.fired[f"fault: {name}"] += 1

    def _aged(self, reply: faults.Reply) -> faults.Reply:
        said = self.rng.random() < 0.6
        self.fired[f"stale {'with' if said else 'without'} Age"] += 1
        return faults.Reply(reply.body, reply.date, age=self.rng.randrange(60)) if said else reply

    def _note_bound(self, record: RunRecord, reply: faults.Reply, before: int) -> None:
        """Any probe may turn out to be the one that is believed."""
        clock = max(before, self.clock.ours())
        if reply.age is None and reply.date is not None:
            clock = min(clock, reply.date)
        bound = clock - self.settle
        record.bound = bound if record.bound is None else max(record.bound, bound)


def _remembered(
    scan: Callable[[Sequence[bytes], str], list[bool]], model: Model
) -> Callable[[Sequence[bytes], str], list[bool]]:
    """The same scan, which remembers what it said of each text, and is asked of all that the source holds at once: texts are
    read again and again, and its automaton takes longer to make than to run.
    """
    known: dict[tuple[str, bytes], bool] = {}

    def suspects(texts: Sequence[bytes], expression: str) -> list[bool]:
        if any((expression, text) not in known for text in texts):
            held = (version.body for session in model.sessions.values() for version in session.versions)
            new = [text for text in dict.fromkeys((*texts, *held)) if (expression, text) not in known]
            known.update(
                ((expression, text), look) for text, look in zip(new, scan(new, expression), strict=True)
            )
        return [known[expression, text] for text in texts]

    return suspects


def play(seed: int, directory: Path | None = None) -> Counter[str]:
    """Simulate one seed in a directory of its own; returns what fired. Raises Violation."""
    with tempfile.TemporaryDirectory(dir=directory or scratch(), prefix="simulation-") as place:
        world = World(seed, Path(place) / "warehouse")
        try:
            world.play()
        finally:
            if world.invariants is not None:
                world.invariants.release()
        return world.fired


def scratch() -> Path | None:
    """Memory, if there is such a place: no disk is waited for."""
    memory = Path("/dev/shm")  # noqa: S108  # each seed makes a directory of its own in it
    return memory if memory.is_dir() else None
