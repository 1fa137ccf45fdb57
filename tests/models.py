"""Stand-ins for the outside world: a source in memory, a clock that is moved by sleeping, a server that says anything."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.records import Batch
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, floor_ms, parse
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.privacy import redaction
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.headers import Row
from vapi_sessions.transform.resolve import Kind, Observation, Resolution, resolve
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.derive import in_order, latest, version
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging

#: A moment to count from.
EPOCH = parse("2026-03-01T00:00:00Z")
ORG = "org-of-the-tests"

# ---------------------------------------------------------------------------------------------------------------------
# The source.


@dataclass(frozen=True, slots=True)
class Session:
    """One session as the source keeps it; moments in microseconds."""

    session_id: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fault may falsify: all the rows that fit, those on the page, and the count."""

    fitting: list[Session]
    rows: list[Session]
    total: int


Fault = Callable[["SourceModel", Query, Answer], Answer]
Traffic = Callable[["SourceModel"], None]


@dataclass
class SourceModel:
    """A list of sessions behind `GET /session`: it keeps microseconds, shows and filters on milliseconds.

    `page_cap` is a server's own page size; `cap_said` whether itemsPerPage admits it. `traffic` happens before each
    request. A request is falsified by one of `faults` with probability `fault_rate`.
    """

    sessions: dict[str, Session]
    now: int
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    page_cap: int | None = None
    cap_said: bool = True
    shuffle_ties: bool = False
    traffic: Traffic | None = None
    faults: Sequence[Fault] = ()
    fault_rate: float = 1.0
    requests: int = 0
    queries: list[Query] = field(default_factory=list)
    born: int = 0

    def __post_init__(self) -> None:
        self._snapshots: deque[dict[str, Session]] = deque(maxlen=6)
        self._lock = threading.Lock()

    def fetch(self, query: Query) -> Page:
        """One response: one snapshot of the source, unless a fault says otherwise."""
        with self._lock:
            self.requests += 1
            self.queries.append(query)
            self._snapshots.append(dict(self.sessions))
            if self.traffic is not None:
                self.traffic(self)
            answer = self.answer(query, self.sessions)
            if self.faults and self.rng.random() < self.fault_rate:
                answer = self.rng.choice(list(self.faults))(self, query, answer)
            size = self.page_size(query)
            return Page(
                rows=[_row(session) for session in answer.rows],
                total=answer.total,
                limit=size if self.cap_said else query.limit,
                requested_at=self.now,
                seq=self.requests,
                server_time=self.now,
                size=0,
            )

    def answer(self, query: Query, sessions: dict[str, Session]) -> Answer:
        """The honest answer, given these sessions."""
        fitting = [s for s in sessions.values() if fits(query, s)]
        if self.shuffle_ties:
            self.rng.shuffle(fitting)
            fitting.sort(key=lambda s: floor_ms(s.created_at), reverse=query.order == "DESC")
        else:
            fitting.sort(key=lambda s: (s.created_at, s.session_id), reverse=query.order == "DESC")
        size = self.page_size(query)
        start = (query.page - 1) * size
        return Answer(fitting, fitting[start : start + size], len(fitting))

    def page_size(self, query: Query) -> int:
        """Rows that really come on one page."""
        return query.limit if self.page_cap is None else min(query.limit, self.page_cap)

    def earlier(self) -> dict[str, Session]:
        """The state at one of the last few requests."""
        return self.rng.choice(list(self._snapshots))

    # -- what people do to it --------------------------------------------------------------------------------------

    def create(self) -> None:
        """A session begins now."""
        self.born += 1
        session = Session(f"born-{self.born:06d}", self.now, self.now)
        self.sessions[session.session_id] = session

    def update(self, session_id: str) -> None:
        """A session changes now."""
        self.sessions[session_id] = replace(self.sessions[session_id], updated_at=self.now)

    def delete(self, session_id: str) -> None:
        """A session goes, without a trace."""
        del self.sessions[session_id]

    def inside(self, window: Window) -> set[str]:
        """Ids of the sessions whose updatedAt lies in `window` now."""
        return {s.session_id for s in self.sessions.values() if s.updated_at in window}


class ModelSource:
    """The model behind the calls that a survey makes; counts them."""

    def __init__(self, model: SourceModel) -> None:
        self.model = model

    def list(self, query: Query) -> Page:
        """One page."""
        return self.model.fetch(query)

    def shown(self, text: str) -> str:
        """A model says nothing that a message may not repeat."""
        return text

    def count(
        self, updated: Window | None = None, created: Window | None = None, ids: Sequence[str] = ()
    ) -> int:
        """The count of one page."""
        return self.list(Query(updated=updated, created=created, ids=ids, limit=1)).total

    def stop(self) -> None:
        """Nobody waits for it."""


def fits(query: Query, session: Session) -> bool:
    """Whether the filters of `query` let the session through; bounds are sent in whole milliseconds."""
    for window, moment in ((query.updated, session.updated_at), (query.created, session.created_at)):
        if window is not None:
            if moment < floor_ms(window.lower):
                return False
            if window.upper is not None and moment >= floor_ms(window.upper):
                return False
    return not query.ids or session.session_id in query.ids


def _row(session: Session) -> Row:
    return Row(
        session_id=session.session_id,
        org_id=ORG,
        created_at=floor_ms(session.created_at),
        updated_at=floor_ms(session.updated_at),
        body=b"{}",
    )


def busy(updates: float = 3, creations: float = 1, deletions: float = 1) -> Traffic:
    """Random traffic: about so many of each between two requests; the clock moves on."""

    def traffic(model: SourceModel) -> None:
        rng = model.rng
        model.now += rng.randrange(1, 50) * MILLISECOND + rng.randrange(1000)
        for mean, act in ((updates, model.update), (deletions, model.delete)):
            for _ in range(rng.randrange(int(2 * mean) + 1)):
                if model.sessions:
                    act(rng.choice(list(model.sessions)))
        for _ in range(rng.randrange(int(2 * creations) + 1)):
            model.create()

    return traffic


# -- faults: each falsifies one answer, in a way that was seen or feared ------------------------------------------------


def short_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """Fewer rows than fit, with the right count."""
    keep = model.rng.randrange(len(answer.rows)) if answer.rows else 0
    return replace(answer, rows=answer.rows[:keep])


def empty_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """No row, with the right count."""
    return replace(answer, rows=[])


def empty_source(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """No row and no count: consistent, and wrong."""
    return replace(answer, rows=[], total=0)


def low_total(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The right rows, with a count that is too small."""
    return replace(answer, total=model.rng.randrange(answer.total) if answer.total else 0)


def high_total(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The right rows, with a count that is too large."""
    return replace(answer, total=answer.total + model.rng.choice((1, 7, 1000)))


def repeated_row(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """A join gone wrong: one row comes twice, and pushes the last one off a full page."""
    if not answer.rows:
        return answer
    position = model.rng.randrange(len(answer.rows))
    rows = [*answer.rows[: position + 1], *answer.rows[position:]]
    return replace(answer, rows=rows[: model.page_size(query)])


def stale_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The answer that was right a few requests ago."""
    return model.answer(query, model.earlier())


def answer_to_another(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """A cache that does not look at the query: the answer to one of the last few requests."""
    return model.answer(model.rng.choice(model.queries[-6:]), model.sessions)


def ignored_updated(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The filter on updatedAt is not applied."""
    return model.answer(replace(query, updated=None), model.sessions)


def ignored_created(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The filter on createdAt is not applied."""
    return model.answer(replace(query, created=None), model.sessions)


def ignored_order(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The order is the source's default, whatever was asked for."""
    return model.answer(replace(query, order="DESC"), model.sessions)


def no_order(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """Any rows in any order."""
    rows = list(answer.fitting)
    model.rng.shuffle(rows)
    return replace(answer, rows=rows[: model.page_size(query)])


# -- histories ----------------------------------------------------------------------------------------------------------


def spread(rng: random.Random, count: int, window: Window, name: str = "s") -> list[Session]:
    """Sessions updated anywhere in the closed `window`, created up to a day before their update."""
    if window.upper is None:
        raise ValueError("a closed window, please")
    sessions = []
    for number in range(count):
        updated = rng.randrange(window.lower, window.upper)
        sessions.append(Session(f"{name}-{number:06d}", updated - rng.randrange(DAY), updated))
    return sessions


def block(
    rng: random.Random, count: int, window: Window, *, created: bool, updated: bool, name: str = "tie"
) -> list[Session]:
    """Sessions that share a millisecond in createdAt, in updatedAt, or in both; microseconds differ."""
    if window.upper is None:
        raise ValueError("a closed window, please")
    at = floor_ms((window.lower + window.upper) // 2)
    born = floor_ms(at - HOUR)
    return [
        Session(
            f"{name}-{number:06d}",
            born + rng.randrange(1000) if created else born - rng.randrange(DAY),
            at + rng.randrange(1000) if updated else rng.randrange(window.lower, window.upper),
        )
        for number in range(count)
    ]


def by_id(*groups: Iterable[Session]) -> dict[str, Session]:
    """Sessions as the model keeps them."""
    return {session.session_id: session for group in groups for session in group}


# ---------------------------------------------------------------------------------------------------------------------
# Time.


class FakeTime:
    """A wall clock (µs) and a monotonic clock (s) that move when somebody sleeps, or is told to."""

    def __init__(self, now: int = EPOCH) -> None:
        self._start = now
        self.elapsed = 0.0
        self.sleeps: list[float] = []

    def now(self) -> int:
        """Wall clock."""
        return self._start + round(self.elapsed * 1e6)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return 1000.0 + self.elapsed

    def sleep(self, seconds: float) -> None:
        """Does not wait; the clocks do as if."""
        if seconds < 0:
            raise ValueError("nobody sleeps backwards")
        self.sleeps.append(seconds)
        self.elapsed += seconds


# ---------------------------------------------------------------------------------------------------------------------
# A server that says anything.


class RawServer:
    """Answers the n-th request with the n-th of `answers`, byte for byte (the last one again), and hangs up.

    `url` is its address, `heads` are the requests' heads. Use as a context manager.
    """

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.heads: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = connection.recv(65536)
                    if not more:
                        break
                    head += more
                else:
                    self.heads.append(head.decode())
                    connection.sendall(self._answers[min(len(self.heads), len(self._answers)) - 1])


# ---------------------------------------------------------------------------------------------------------------------
# The warehouse.


def observation(
    session_id: str,
    seq: int,
    *,
    created: int = EPOCH,
    updated: int | None = None,
    kind: Kind = "seen",
    messages: Sequence[dict[str, Any]] | int = 0,
    requested: int | None = None,
    run_id: str = "run",
    **fields: Any,
) -> Observation:
    """What request number `seq` told of a session; later requests are later. `fields` go into its JSON."""
    if isinstance(messages, int):
        messages = [{"role": "user", "content": f"message {number}"} for number in range(messages)]
    updated = created if updated is None else updated
    body = b""
    if kind == "seen":
        document = {
            "id": session_id,
            "orgId": ORG,
            "createdAt": created,
            "updatedAt": updated,
            "messages": list(messages),
            **fields,
        }
        body = json.dumps(document).encode()
    return Observation(
        session_id=session_id,
        org_id=ORG,
        created_at=created,
        updated_at=updated,
        requested_at=EPOCH + 100 * DAY + seq * MILLISECOND if requested is None else requested,
        seq=seq,
        run_id=run_id,
        kind=kind,
        body=body,
        content_hash=redaction.content_hash(body) if body else "",
    )


def seen_first(messages: pa.Table, steps: Mapping[str, Iterable[tuple[int, int]]]) -> pa.Table:
    """Messages with their `first_seen_at`, by the plain rule: the first step of their session that has so many."""
    places = zip(
        *(messages.column(name).to_pylist() for name in ("session_id", "message_index")), strict=True
    )
    times = [min(at for at, count in steps[session_id] if count > index) for session_id, index in places]
    place = messages.schema.get_field_index("first_seen_at")
    field = messages.schema.field(place)
    return messages.set_column(place, field, pa.array(times, field.type))


class Warehouse:
    """An index with its directory, and the way of a batch into it and on to the readers. Use as a context manager."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.create()
        self.staging = Staging.begin(self.layout.staging)
        self.index = Index(self.layout.index, self.layout.scratch)

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *exc: object) -> None:
        self.index.__exit__(*exc)

    def merge(self, *observations: Observation, changes: Changes | None = None) -> Resolution:
        """Store and merge one batch."""
        number = self.index.next_batch()
        name = f"{min((o.seq for o in observations), default=0):012d}-{number}.parquet"
        raw.write(self.layout.raw, name, observations, {})
        flat = flatten(in_order(version(o) for o in latest(o for o in observations if o.kind == "seen")))
        known = self.index.known({o.session_id: o.created_at for o in observations})
        resolution = resolve(sightings(observations, {}), known, batch=number)
        batch = Batch(number, name, "run", len(observations), EPOCH)
        self.index.merge(resolution, known, replace(changes or Changes(), batch=batch))
        created = flat.tables["sessions"].column("created_at").cast("int64").to_pylist()
        self.staging.add(number, self.staging.write(f"batch-{number}", flat.tables, created))
        return resolution

    def publish(self, *, force: bool = False) -> bool:
        """Publish what was merged."""
        return Publisher(self.index, self.layout, self.staging, lambda: EPOCH + 200 * DAY).publish(
            force=force
        )

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of the index, in an order of its own."""
        names = self.index.rows(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables ORDER BY 1"
        )
        return {name: sorted(self.index.rows(f"FROM {name}"), key=repr) for (name,) in names}
