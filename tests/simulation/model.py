"""The source: sessions with versions that become visible after a delay, deletions, retention, and the list.

The list can be asked for as of a moment in the past: a lagging replica or a cache answers that way.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vapi_sessions.core.timestamps import floor_ms, parse

from . import contents
from .clock import Clock

ORG: Final = "org-simulated"
OTHER_ORG: Final = "org-another"
#: API keys: of ORG, of OTHER_ORG, and of an organisation without sessions.
KEY, OTHER_KEY, EMPTY_KEY = "key", "another-key", "an-empty-key"
FOREVER: Final = 1 << 62
_OPERATORS: Final = {"Ge": operator.ge, "Gt": operator.gt, "Lt": operator.lt, "Le": operator.le}


@dataclass(frozen=True, slots=True)
class Version:
    """One committed state of a session. Times in µs; a silent version has the `updatedAt` of the version before it."""

    updated_at: int
    visible_at: int
    body: bytes
    silent: bool
    odd: bool
    #: Whether the body has no `updatedAt` or no `orgId`: it is listed and cannot be read.
    spoilt: bool = False


@dataclass(slots=True)
class Session:
    """One session with its history. `fields` is the newest content, whether it is visible yet or not."""

    session_id: str
    created_at: int
    fields: contents.Fields
    versions: list[Version] = field(default_factory=list)
    #: Half-open intervals in which it is deleted.
    gone: list[tuple[int, int]] = field(default_factory=list)
    #: When it was listed again after it had been gone. A sync cannot see that, only a reconcile.
    returned_at: int = 0

    def visible(self, at: int) -> Version | None:
        """The version that the source shows at a moment; None if it shows none."""
        if self.gone and self.deleted(at):
            return None
        for version in reversed(self.versions):
            if version.visible_at <= at:
                return version
        return None

    def deleted(self, at: int) -> bool:
        """Whether it is deleted at a moment."""
        return any(since <= at < until for since, until in self.gone)


@dataclass(frozen=True, slots=True)
class Shape:
    """How this source behaves. Each unknown behaviour of the real source is a switch."""

    micro_shown: bool = False
    filter_on_micro: bool = False
    shuffle_ties: bool = False
    #: The largest page of the server, and whether itemsPerPage admits it.
    page_cap: int | None = None
    cap_admitted: bool = True
    says_beyond_retention: bool = False
    #: The longest delay until a change is visible, µs; late changes take longer.
    delay: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One list response before it becomes text: rows in order, and the values of the metadata."""

    rows: list[tuple[Session, Version]]
    total: int
    limit: int
    beyond_retention: bool


class Model:
    """The state and the rules of the source. It knows nothing of HTTP, faults or the engine."""

    def __init__(self, clock: Clock, rng: random.Random, shape: Shape) -> None:
        self.clock = clock
        self.rng = rng
        self.shape = shape
        self.sessions: dict[str, Session] = {}
        #: Changes of retention: (since when, the oldest `createdAt` that is listed from then on).
        self.retention: list[tuple[int, int]] = [(0, 0)]
        self._born = 0

    # -- changes -------------------------------------------------------------------------------------------

    def create(
        self, fields: contents.Fields, *, created_at: int | None = None, delay: int | None = None
    ) -> Session:
        """A new session, updated now. `created_at` may be in the past, as in an import."""
        self._born += 1
        now = self.clock.source()
        session = Session(
            f"{self.rng.getrandbits(32):08x}-{self._born:05d}",
            now if created_at is None else created_at,
            fields,
        )
        self.sessions[session.session_id] = session
        self.commit(session, delay=delay, at=now)
        return session

    def commit(
        self,
        session: Session,
        *,
        delay: int | None = None,
        silent: bool = False,
        at: int | None = None,
        spoilt: bool = False,
    ) -> Version:
        """Write the session's fields as its newest version."""
        previous = session.versions[-1] if session.versions else None
        updated = self.clock.source() if at is None else at
        if previous is not None:
            updated = previous.updated_at if silent else max(updated, previous.updated_at + 1)
        visible = self.clock.true + (self.delay() if delay is None else delay)
        if previous is not None:
            visible = max(visible, previous.visible_at)
        body = contents.body(
            session.session_id,
            ORG,
            session.created_at,
            updated,
            session.fields,
            micro=self.shape.micro_shown,
        )
        version = Version(
            updated,
            visible,
            contents.spoil(self.rng, body) if spoilt else body,
            silent,
            contents.is_odd(session.fields),
            spoilt,
        )
        session.versions.append(version)
        return version

    def delay(self) -> int:
        """Random delay until a commit is visible: mostly none, sometimes the longest."""
        kind = self.rng.random()
        if kind < 0.6 or not self.shape.delay:
            return 0
        return int(
            self.rng.random() * (self.shape.delay if kind < 0.75 else min(self.shape.delay, 3_000_000))
        )

    def change(self, session: Session) -> contents.Fields:
        """A copy of the session's fields, to be altered and then committed."""
        session.fields = _copied(session.fields)
        return session.fields

    def delete(self, session: Session) -> None:
        """Delete a session; the list shows no trace of it."""
        if not session.deleted(self.clock.true):
            session.gone.append((self.clock.true, FOREVER))

    def bring_back(self, session: Session) -> None:
        """Undo a deletion."""
        since, _ = session.gone[-1]
        session.gone[-1] = (since, self.clock.true)
        session.returned_at = self.clock.true

    def keep_since(self, oldest: int) -> None:
        """From now on, list nothing created before `oldest`.

        The cut is on a whole millisecond: sessions that show the same `createdAt` go together. Otherwise a session that
        aged out could not be told from a deleted one.
        """
        oldest = floor_ms(oldest)
        for session in self.sessions.values():
            if oldest <= session.created_at < self.oldest_kept():
                session.returned_at = self.clock.true
        self.retention.append((self.clock.true, oldest))

    # -- answers -----------------------------------------------------------------------------------------------

    def oldest_kept(self, at: int | None = None) -> int:
        """The oldest `createdAt` that is listed at a moment."""
        at = self.clock.true if at is None else at
        return next(oldest for since, oldest in reversed(self.retention) if since <= at)

    def listed(self, at: int | None = None) -> list[tuple[Session, Version]]:
        """Every session that is listed at a moment, with the version shown."""
        at = self.clock.true if at is None else at
        oldest = self.oldest_kept(at)
        return [
            (session, version)
            for session in self.sessions.values()
            if session.created_at >= oldest and (version := session.visible(at)) is not None
        ]

    def alive(self) -> list[Session]:
        """Sessions that are not deleted, visible or not."""
        now = self.clock.true
        return [s for s in self.sessions.values() if not s.deleted(now)]

    def get(self, session_id: str) -> Version | None:
        """One session by its id."""
        session = self.sessions.get(session_id)
        if session is None or session.created_at < self.oldest_kept():
            return None
        return session.visible(self.clock.true)

    def answer(
        self,
        params: Mapping[str, str],
        at: int | None = None,
        *,
        ignore: frozenset[str] = frozenset(),
        order: str = "",
    ) -> Answer:
        """The answer to a list request. `ignore`: filters that are not applied; `order`: "reversed" or "shuffled" rows."""
        rows = self._found(params, self.clock.true if at is None else at, ignore)
        if self.shape.shuffle_ties:
            self.rng.shuffle(rows)
            rows.sort(key=lambda row: floor_ms(row[0].created_at))
        else:
            rows.sort(key=lambda row: (row[0].created_at, row[0].session_id))
        if params.get("sortOrder", "DESC") == "DESC":
            rows.reverse()
        if order == "reversed":
            rows.reverse()
        elif order == "shuffled":
            self.rng.shuffle(rows)
        asked = int(params.get("limit", "100"))
        limit = asked if self.shape.page_cap is None else min(asked, self.shape.page_cap)
        start = (int(params.get("page", "1")) - 1) * limit
        stated = limit if self.shape.cap_admitted else asked
        beyond = self.shape.says_beyond_retention and self.oldest_kept(at) > 0
        return Answer(rows[start : start + limit], len(rows), stated, beyond)

    def _found(
        self, params: Mapping[str, str], at: int, ignore: frozenset[str]
    ) -> list[tuple[Session, Version]]:
        found: Iterable[Session] = self.sessions.values()
        if "idAny" in params and "idAny" not in ignore:
            ids = set(params["idAny"].split(","))
            found = [session for session in found if session.session_id in ids]
        shown = (lambda us: us) if self.shape.filter_on_micro else floor_ms
        oldest = self.oldest_kept(at)
        created, updated = (self._bounds(params, name, ignore) for name in ("createdAt", "updatedAt"))
        return [
            (session, version)
            for session in found
            if session.created_at >= oldest
            and all(holds(shown(session.created_at), bound) for holds, bound in created)
            and (version := session.visible(at)) is not None
            and all(holds(shown(version.updated_at), bound) for holds, bound in updated)
        ]

    @staticmethod
    def _bounds(
        params: Mapping[str, str], name: str, ignore: frozenset[str]
    ) -> list[tuple[Callable[[int, int], bool], int]]:
        return [
            (holds, parse(params[name + sign]))
            for sign, holds in _OPERATORS.items()
            if name + sign in params and name + sign not in ignore
        ]


def _copied(value: Any) -> Any:
    """A deep copy of JSON; `copy.deepcopy` takes four times as long."""
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
