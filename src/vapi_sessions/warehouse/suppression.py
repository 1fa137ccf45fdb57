"""The list of forgotten sessions and customers that must not come back, stored as hashes in `suppression.json`.

The key of the hashes is created with the list. A session is stored by a keyed hash of its id, which is random and cannot be
guessed, and by its createdAt, so that `reconcile` and `verify` can count forgotten sessions that the source still lists.

Values that identify a person can be guessed: there are ten million telephone numbers of seven digits. So they are hashed by
scrypt (`COST`, with the key as salt), which takes about 50 ms and 16 MB: to try all of those numbers takes a core six days,
instead of half a minute with a plain keyed hash. A quick test before the slow hash would help an attacker who has the file as
much as us: 12 bits of a quick hash would save both of us 4095 of 4096 slow ones. Instead we skip customers that are in the
warehouse (`trust`), because they were not forgotten. So a slow hash is needed once for each new customer, for kinds that are on
the list, and never if nobody was forgotten by number, address, name or id.

The list is durable before anything is erased (`pending`), so the next writer completes an interrupted `forget`. Earlier versions
stored customers by quick hashes. They still work, and are replaced when the customer is seen again.
"""

from __future__ import annotations

import bisect
import hashlib
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from vapi_sessions.core.intervals import Window
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.privacy.identity import normalised
from vapi_sessions.privacy.policy import PersonalData, Policy
from vapi_sessions.warehouse import suppression_file
from vapi_sessions.warehouse.customers import CUSTOMER_KINDS, customer_of
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression_file import ListedCustomer, ListedSession, SuppressionContent
from vapi_sessions.warehouse.suppression_hashes import SuppressionHashes, earlier_spelling

#: scrypt's n, r and p for new lists; each list keeps its own.
COST: Final = (2**14, 8, 1)
#: Hexadecimal digits in the name of an entry, which are the first of its hash.
_SHORT: Final = 8


class Seen(Protocol):
    """A session in a response, readable or not."""

    @property
    def session_id(self) -> str | None: ...  # noqa: D102
    @property
    def created_at(self) -> int | None: ...  # noqa: D102
    @property
    def body(self) -> bytes: ...  # noqa: D102


S = TypeVar("S", bound=Seen)


@dataclass(frozen=True, slots=True)
class Entry:
    """One session or customer that was given to `forget`. `at`: since when (µs; 0: unknown); `sessions`: how many it keeps out."""

    name: str
    kind: str
    at: int
    sessions: int


class Suppression:
    """The list of one warehouse. Methods that change it return when the change is on disk; they need the writer's lock.

    `admit` and the methods that only read are thread-safe. `region`: see `normalised`.
    """

    def __init__(self, path: Path, content: SuppressionContent, region: str | None = None) -> None:
        self._path = path
        self._content = content
        self._cost = content.cost or COST
        self._region = region
        self._lock = threading.Lock()
        self._hashes = SuppressionHashes(content.key, self._cost)
        self._sessions = {
            hashed: found if isinstance(found, ListedSession) else ListedSession(found, 0, [hashed[:_SHORT]])
            for hashed, found in content.sessions.items()
        }
        # Quick hashes of earlier versions, and those of them whose kind and value are known by now.
        self._old = set(content.customers)
        self._replaceable: dict[str, tuple[str, str]] = {}
        self._held: Callable[[str, str], bool] = lambda kind, value: False
        #: Called before each slow hash, of which a page may need a thousand. It raises to stop the run.
        self.go_on: Callable[[], None] = lambda: None
        #: Ids of sessions that joined the list since it was opened, because of their customers.
        self.joined: set[str] = set()
        self._index()

    @classmethod
    def open(cls, layout: Layout, *, create: bool = False, region: str | None = None) -> Suppression:
        """The list; if there is none, an empty one with a new key, which `create` writes to disk.

        Raises WarehouseDamagedError if the file cannot be decoded (an empty list would let forgotten sessions come back),
        WarehouseError if the disk fails.
        """
        path = layout.suppression
        content = suppression_file.read(path)
        if content is not None:
            return cls(path, content, region)
        made = cls(path, SuppressionContent(secrets.token_hex(32)), region)
        if create:
            made._write()
        return made

    def __repr__(self) -> str:
        return f"Suppression({len(self._sessions)} sessions, {len(self.people)} customers, key=***)"

    @property
    def empty(self) -> bool:
        """Whether nothing was ever forgotten. The class has no truth value: an empty list would look like a missing one."""
        return not (self._sessions or self.people)

    @property
    def pending(self) -> bool:
        """Whether an erasure was begun and not completed."""
        return self._content.pending

    @property
    def people(self) -> set[str]:
        """The names of the entries that are customers."""
        return self._content.people.keys() | {hashed[:_SHORT] for hashed in self._old}

    @property
    def stamp(self) -> str:
        """A hash of the listed sessions."""
        return hashlib.sha256("".join(sorted(self._sessions)).encode()).hexdigest()

    def entries(self) -> list[Entry]:
        """The sessions and customers that were given to `forget`, oldest first."""
        sessions: dict[str, int] = {}
        for listed in self._sessions.values():
            for name in listed.because:
                sessions[name] = sessions.get(name, 0) + 1
        found = [Entry(name, p.kind, p.at, sessions.get(name, 0)) for name, p in self._content.people.items()]
        found += [Entry(h[:_SHORT], "customer", 0, sessions.get(h[:_SHORT], 0)) for h in self._old]
        found += [
            Entry(hashed[:_SHORT], "session", listed.at, 1)
            for hashed, listed in self._sessions.items()
            if hashed[:_SHORT] in listed.because
        ]
        return sorted(found, key=lambda entry: (entry.at, entry.kind, entry.name))

    # -- questions -----------------------------------------------------------------------------------------------

    def holds(self, session_id: str) -> bool:
        """Whether this session was forgotten."""
        return bool(self._sessions) and self._id_hash(session_id) in self._sessions

    def trust(self, held: Callable[[str, str], bool]) -> None:
        """Let `held` say whether the warehouse has a customer with this kind and (stored) value, who then was not forgotten.

        Only allowed if no session of a listed customer is in the warehouse.
        """
        self._held = held

    def allowed(self, rows: Iterable[S], policy: Policy | None = None) -> list[S]:
        """The rows that may be stored. The list does not change."""
        return [row for row in rows if not self.excludes(row.session_id, row.body, policy)]

    def excludes(self, session_id: str | None, body: bytes, policy: Policy | None = None) -> bool:
        """Whether this session must not be stored. It may have no id."""
        return (session_id is not None and self.holds(session_id)) or bool(self.named(body, policy))

    def named(self, body: bytes, policy: Policy | None = None) -> set[str]:
        """The names of the entries that are the customer in a session's body.

        A list may have the customer's pseudonym, which `policy` makes.
        """
        return self.people_among(customer_of(body), policy) if self._kinds else set()

    def people_among(self, named: Iterable[tuple[str, str]], policy: Policy | None = None) -> set[str]:
        """The same for the kinds and values of a customer."""
        return {self._entry(*one, policy) for one in named if one[0] in self._kinds} - {""}

    def count(self, window: Window) -> int:
        """How many forgotten sessions, created in the (closed) window, the source still lists."""
        upper = window.upper if window.upper is not None else float("inf")
        return bisect.bisect_left(self._listed, upper) - bisect.bisect_left(self._listed, window.lower)

    # -- changes -------------------------------------------------------------------------------------------------

    def admit(self, rows: Sequence[S], policy: Policy | None = None) -> Sequence[S]:
        """The rows that may be stored. New sessions of a forgotten customer join the list."""
        if self.empty:
            return rows
        admitted = list[S]()
        new: dict[str, tuple[str, int, set[str]]] = {}
        for row in rows:
            hashed = self._id_hash(row.session_id) if row.session_id is not None else ""
            listed = self._sessions.get(hashed)
            because = self.named(row.body, policy) if listed is None else set()
            if listed is None and not because:
                admitted.append(row)
            elif row.session_id is not None and (listed is None or (not listed.created and row.created_at)):
                new[hashed] = (row.session_id, row.created_at or 0, because)
        if new:
            with self._lock:
                for hashed, (session_id, created, because) in new.items():
                    self._list(hashed, created, 0, because)
                    if because:
                        self.joined.add(session_id)
                self._index()
                self._write()
        return admitted

    def begin(
        self,
        sessions: Mapping[str, tuple[int, Collection[int]]],
        people: Sequence[tuple[str, Sequence[str]]] = (),
        *,
        at: int,
    ) -> list[str]:
        """List the sessions and customers of an erasure that begins at this time (µs); returns the names of the entries of `people`.

        `sessions`: id to createdAt (µs) and the positions in `people` of its customers, none if it was given by its id. `people`:
        a kind, and spellings of one value, which are normalised or pseudonyms.
        """
        names = [self._add(kind, spellings, at) for kind, spellings in people]
        for session_id, (created, numbers) in sessions.items():
            hashed = self._id_hash(session_id)
            self._list(hashed, created, at, [names[n] for n in numbers] or [hashed[:_SHORT]])
        self._begun()
        return names

    def list_held(self, sessions: Mapping[str, tuple[int, Collection[str]]], *, at: int) -> None:
        """The same for sessions of customers that are already listed, by the names of their entries."""
        for session_id, (created, because) in sessions.items():
            self._list(self._id_hash(session_id), created, at, because)
        self._begun()

    def complete(self) -> None:
        """Record that no listed session is in the warehouse any more."""
        self._content.pending = False
        self._write()

    def remove(self, given: str) -> tuple[str, int]:
        """Remove an entry, by its name or by what was forgotten; returns its kind, and how many sessions may come back.

        Raises ConfigurationError if it is not on the list, or if other entries keep the session out.
        """
        name = self._named_by(given)
        if name is None:
            raise ConfigurationError(
                "That is not on the list of what was forgotten.", "See vapi-sessions forget --list."
            )
        kind = next(entry.kind for entry in self.entries() if entry.name == name)
        self._content.people.pop(name, None)
        self._old = {hashed for hashed in self._old if hashed[:_SHORT] != name}
        before = len(self._sessions)
        for hashed, listed in list(self._sessions.items()):
            if name in listed.because:
                listed.because.remove(name)
                if not listed.because:
                    del self._sessions[hashed]
        self._index()
        self._write()
        return kind, before - len(self._sessions)

    def listed(self, window: Window, session_ids: Iterable[str]) -> None:
        """Record which forgotten sessions the source still lists. `session_ids`: all that it lists in a (closed) window of createdAt."""
        upper = window.upper if window.upper is not None else float("inf")
        inside = {h for h, one in self._sessions.items() if window.lower <= one.created < upper}
        if not inside:
            return
        shown = {self._id_hash(session_id) for session_id in session_ids} & inside
        gone = (set(self._content.gone) - shown) | (inside - shown)
        if gone != set(self._content.gone):
            self._content.gone = sorted(gone)
            self._index()
            self._write()

    # -- inside --------------------------------------------------------------------------------------------------

    def _id_hash(self, session_id: str) -> str:
        return self._hashes.quick("id", session_id.strip())

    def _hash(self, kind: str, text: str) -> str:
        return self._hashes.slow(kind, text, self.go_on)

    def _entry(self, kind: str, value: str, policy: Policy | None) -> str:
        """The name of the entry that is this customer; "" if there is none."""
        pseudonymised = policy is not None and policy.personal is PersonalData.PSEUDONYMISE
        stored = policy.pseudonym(kind, value) if policy and pseudonymised and kind != "customerId" else value
        known = self._verdicts.get((kind, value, stored))
        if known is None:
            known = self._verdicts[kind, value, stored] = self._look_up(kind, value, stored)
        return known

    def _look_up(self, kind: str, value: str, stored: str) -> str:
        for text in {value, stored} if self._old else ():
            hashed = self._hashes.quick(kind, earlier_spelling(kind, text))
            if hashed in self._old:
                self._replaceable[hashed] = kind, normalised(kind, text, self._region)
                return hashed[:_SHORT]
        if kind not in self._slow_kinds or self._held(kind, stored):
            return ""
        texts = {normalised(kind, value, self._region), normalised(kind, value)}
        if stored.startswith("psn_"):  # a pseudonym, under this policy or an earlier one
            texts.add(stored)
        found = (self._by_hash.get(self._hash(kind, text)) for text in texts)
        return next((name for name in found if name is not None), "")

    def _add(self, kind: str, spellings: Sequence[str], at: int) -> str:
        hashes = [self._hash(kind, text) for text in spellings]
        former = {self._hashes.quick(kind, earlier_spelling(kind, text)) for text in spellings} & self._old
        self._old -= former
        names = [self._by_hash[hashed] for hashed in hashes if hashed in self._by_hash]
        name = names[0] if names else min(former)[:_SHORT] if former else hashes[0][:_SHORT]
        person = self._content.people.setdefault(name, ListedCustomer(kind, at, []))
        person.hashes = [*person.hashes, *(hashed for hashed in hashes if hashed not in person.hashes)]
        self._index()
        return name

    def _list(self, hashed: str, created: int, at: int, because: Iterable[str]) -> None:
        listed = self._sessions.setdefault(hashed, ListedSession(0, at, []))
        listed.created = listed.created or created
        listed.because = sorted({*listed.because, *because})

    def _begun(self) -> None:
        self._content.pending = True
        self._index()
        self._write()

    def _named_by(self, given: str) -> str | None:
        """The name of the entry that is meant by its name, a session's id or a customer's value."""
        if any(entry.name == given for entry in self.entries()):
            return given
        hashed = self._id_hash(given)
        if (listed := self._sessions.get(hashed)) is not None:
            others = [name for name in listed.because if name != hashed[:_SHORT]]
            if others:
                raise ConfigurationError(
                    f"That session is kept out on account of {', '.join(others)}.",
                    f"Remove these: vapi-sessions forget --remove {others[0]}",
                )
            return hashed[:_SHORT]
        for kind in CUSTOMER_KINDS:
            former = self._hashes.quick(kind, earlier_spelling(kind, given))
            if former in self._old:
                return former[:_SHORT]
            if kind in self._slow_kinds:
                name = self._by_hash.get(self._hash(kind, normalised(kind, given, self._region)))
                if name is not None:
                    return name
        return None

    def _index(self) -> None:
        """Compute what is derived from the content, after a change."""
        self._by_hash = {h: name for name, person in self._content.people.items() for h in person.hashes}
        self._slow_kinds = {person.kind for person in self._content.people.values()}
        self._kinds = self._slow_kinds | (set(CUSTOMER_KINDS) if self._old else set())
        self._verdicts: dict[tuple[str, str, str], str] = {}
        self._content.gone = [hashed for hashed in self._content.gone if hashed in self._sessions]
        gone = set(self._content.gone)
        self._listed = sorted(one.created for hashed, one in self._sessions.items() if hashed not in gone)

    def _write(self) -> None:
        for former, (kind, text) in self._replaceable.items():
            if former in self._old:
                self._old.remove(former)
                self._content.people[former[:_SHORT]] = ListedCustomer(kind, 0, [self._hash(kind, text)])
                self._index()
        self._replaceable.clear()
        self._content.cost = self._cost
        self._content.sessions = dict(self._sessions)
        self._content.customers = sorted(self._old)
        suppression_file.write(self._path, self._content)
