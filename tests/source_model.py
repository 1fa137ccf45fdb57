"""A source in memory: a list of sessions behind `GET /session`, with traffic and faults, without HTTP."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from constants import ORG
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, floor_ms
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.transform.headers import Row


@dataclass(frozen=True, slots=True)
class Session:
    """One session as the source keeps it. Times in µs."""

    session_id: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, which a fault may falsify: all matching sessions, those on the page, and the count."""

    matching: list[Session]
    rows: list[Session]
    total: int


Fault = Callable[["SourceModel", Query, Answer], Answer]
Traffic = Callable[["SourceModel"], None]


@dataclass
class SourceModel:
    """The sessions behind `GET /session`. It keeps microseconds, but shows and filters milliseconds.

    `page_cap`: the largest page of the server; `cap_said`: whether itemsPerPage admits it. `traffic` is called before each
    request. With probability `fault_rate`, one of `faults` falsifies the answer.
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
        self._earlier: deque[dict[str, Session]] = deque(maxlen=6)
        self._lock = threading.Lock()

    def fetch(self, query: Query) -> Page:
        """One response: a consistent state of the source, unless a fault falsifies it."""
        with self._lock:
            self.requests += 1
            self.queries.append(query)
            self._earlier.append(dict(self.sessions))
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
        """The correct answer for these sessions."""
        matching = [s for s in sessions.values() if matches(query, s)]
        if self.shuffle_ties:
            self.rng.shuffle(matching)
            matching.sort(key=lambda s: floor_ms(s.created_at), reverse=query.order == "DESC")
        else:
            matching.sort(key=lambda s: (s.created_at, s.session_id), reverse=query.order == "DESC")
        size = self.page_size(query)
        start = (query.page - 1) * size
        return Answer(matching, matching[start : start + size], len(matching))

    def page_size(self, query: Query) -> int:
        """The largest number of rows on a page."""
        return query.limit if self.page_cap is None else min(query.limit, self.page_cap)

    def earlier(self) -> dict[str, Session]:
        """The state at one of the last few requests."""
        return self.rng.choice(list(self._earlier))

    # -- changes -----------------------------------------------------------------------------------------------

    def create(self) -> None:
        """A session is created now."""
        self.born += 1
        session = Session(f"born-{self.born:06d}", self.now, self.now)
        self.sessions[session.session_id] = session

    def update(self, session_id: str) -> None:
        """A session changes now."""
        self.sessions[session_id] = replace(self.sessions[session_id], updated_at=self.now)

    def delete(self, session_id: str) -> None:
        """A session is deleted, without a trace in the list."""
        del self.sessions[session_id]

    def inside(self, window: Window) -> set[str]:
        """Ids of the sessions whose `updatedAt` is in `window` now."""
        return {s.session_id for s in self.sessions.values() if s.updated_at in window}


class ModelSource:
    """The model with the methods of the client that planning calls."""

    def __init__(self, model: SourceModel) -> None:
        self.model = model

    def list(self, query: Query) -> Page:
        """One page."""
        return self.model.fetch(query)

    def shown(self, text: str) -> str:
        """The text as messages may show it."""
        return text

    def count(
        self, updated: Window | None = None, created: Window | None = None, ids: Sequence[str] = ()
    ) -> int:
        """The number of matching sessions."""
        return self.list(Query(updated=updated, created=created, ids=ids, limit=1)).total

    def stop(self) -> None:
        """Nothing to stop: the model never waits."""


def matches(query: Query, session: Session) -> bool:
    """Whether the session matches the filters of `query`. Bounds are sent in whole milliseconds."""
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
    """Random traffic: the mean numbers of changes of each kind between two requests. The clock moves, too."""

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


# -- histories


def spread(rng: random.Random, count: int, window: Window, name: str = "s") -> list[Session]:
    """Sessions updated at random times in the closed `window`, and created up to a day before their update."""
    if window.upper is None:
        raise ValueError("the window must be closed")
    sessions = []
    for number in range(count):
        updated = rng.randrange(window.lower, window.upper)
        sessions.append(Session(f"{name}-{number:06d}", updated - rng.randrange(DAY), updated))
    return sessions


def block(
    rng: random.Random, count: int, window: Window, *, created: bool, updated: bool, name: str = "tie"
) -> list[Session]:
    """Sessions in one millisecond of `createdAt`, of `updatedAt` or of both; their microseconds differ."""
    if window.upper is None:
        raise ValueError("the window must be closed")
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
    """Sessions by id, as the model keeps them."""
    return {session.session_id: session for group in groups for session in group}
