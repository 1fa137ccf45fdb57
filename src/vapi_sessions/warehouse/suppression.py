"""`suppression.json`: what was forgotten and must not come back, as hashes from which nobody reads who it was.

The key is made with the list. A session is held by a keyed hash of its id, which is random and cannot be guessed, and by its
createdAt, so that `reconcile` and `verify` can count what the source still lists and the warehouse may not hold.

What names a person can be guessed: there are ten million telephone numbers of seven digits. So it is held by scrypt (`COST`,
with the key as its salt), of which one takes about 50 ms and 16 MB: trying those takes a core six days, and not the half
minute of a plain keyed hash. There is no quicker test ahead of it, because whoever has the file could use that as well: 12
bits of a quick hash would spare 4095 of 4096 slow ones, theirs as much as ours. Ours are spared by what the warehouse holds
(`trust`): whoever is a customer in there was not forgotten. What remains costs 50 ms for each new customer, of kinds that are
on the list, and nothing as long as nobody was forgotten by number, address, name or id.

The list is durable before anything is erased (`pending`), so a `forget` that was interrupted is completed by the next writer.
Lists of earlier versions hold people by keyed hashes; these are used as they are, and replaced when the person comes by.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import replace_file
from vapi_sessions.core.intervals import Window
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.privacy.identity import normalised
from vapi_sessions.privacy.policy import PersonalData, Policy
from vapi_sessions.warehouse.customers import CUSTOMER_KINDS, customer_of
from vapi_sessions.warehouse.layout import Layout

#: scrypt's n, r and p of new lists; each list keeps its own.
COST: Final = (2**14, 8, 1)
_MOST_MEMORY: Final = 2**28
#: Hexadecimal digits of the name of an entry.
_SHORT: Final = 8


class Seen(Protocol):
    """A session as a response showed it, whether it can be read or not."""

    @property
    def session_id(self) -> str | None: ...  # noqa: D102
    @property
    def created_at(self) -> int | None: ...  # noqa: D102
    @property
    def body(self) -> bytes: ...  # noqa: D102


S = TypeVar("S", bound=Seen)


class _Listed(msgspec.Struct, array_like=True):
    """A session: its createdAt (µs; 0: not known yet), since when it is listed (µs), and the entries on account of which."""

    created: int
    at: int
    because: list[str]


class _Person(msgspec.Struct):
    """A customer by one value: its kind, since when (µs), and the hashes of its spelling and of its pseudonym."""

    kind: str
    at: int
    hashes: list[str]


class _File(msgspec.Struct, omit_defaults=True):
    key: str
    cost: tuple[int, int, int] | None = None
    people: dict[str, _Person] = {}
    sessions: dict[
        str, int | _Listed
    ] = {}  # by the hash of the id; an int is a createdAt, of an earlier version
    gone: list[str] = []  # those of them that the source lists no longer
    customers: list[str] = []  # keyed hashes of an earlier version
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What was given to `forget`: by a name of its own, since when (µs; 0: unknown), and how many sessions it keeps out."""

    name: str
    kind: str
    at: int
    sessions: int


class Suppression:
    """The list of one warehouse. Changes are on disk when the method returns; only inside the writer's lock. Thread-safe are
    `admit` and what only asks.
    """

    def __init__(self, path: Path, content: _File, region: str | None = None) -> None:
        self._path = path
        self._content = content
        self._cost = content.cost or COST
        self._region = region
        self._lock = threading.Lock()
        self._sessions = {
            hashed: found if isinstance(found, _Listed) else _Listed(found, 0, [hashed[:_SHORT]])
            for hashed, found in content.sessions.items()
        }
        self._old = set(content.customers)
        self._replaceable: dict[str, tuple[str, str]] = {}  # hashes of an earlier version: kind and value
        self._slow: dict[tuple[str, str], str] = {}
        self._held: Callable[[str, str], bool] = lambda kind, value: False
        #: Called before each slow hash, of which a page may take a thousand; raises if there is to be an end of it.
        self.go_on: Callable[[], None] = lambda: None
        #: Ids of sessions that joined the list since it was opened, on account of their customers.
        self.joined: set[str] = set()
        self._index()

    @classmethod
    def open(cls, layout: Layout, *, create: bool = False, region: str | None = None) -> Suppression:
        """The list as it is; empty if there is none yet, with a new key that `create` writes down. `region`: see `normalised`.

        Raises WarehouseDamagedError if it is not what was written: without it, what was forgotten would come back; WarehouseError
        if the disk refuses it.
        """
        path = layout.suppression
        with disk_errors(path):
            try:
                text = path.read_bytes()
            except FileNotFoundError:
                text = None
        if text is None:
            made = cls(path, _File(secrets.token_hex(32)), region)
            if create:
                made._write()
            return made
        try:
            return cls(path, msgspec.json.decode(text, type=_File), region)
        except msgspec.DecodeError as error:
            raise WarehouseDamagedError(
                f"{path}, the list of what was forgotten, cannot be read ({type(error).__name__}).",
                "Restore it from a copy. Without it what was forgotten comes back: remove it only if that is acceptable.",
            ) from None

    def __repr__(self) -> str:
        return f"Suppression({len(self._sessions)} sessions, {len(self.people)} customers, key=***)"

    @property
    def empty(self) -> bool:
        """Whether nothing was ever forgotten. There is no truth value: an empty list must not pass for none given."""
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
        """A hash of which sessions are listed."""
        return hashlib.sha256("".join(sorted(self._sessions)).encode()).hexdigest()

    def entries(self) -> list[Entry]:
        """What was given to `forget`, oldest first."""
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

    # -- what it says --------------------------------------------------------------------------------------------

    def holds(self, session_id: str) -> bool:
        """Whether this session was forgotten."""
        return bool(self._sessions) and self._quick("id", session_id.strip()) in self._sessions

    def trust(self, held: Callable[[str, str], bool]) -> None:
        """Let `held` say whether the warehouse holds a customer by this kind and value, as it is stored there: such a customer was
        not forgotten. Only when nobody on the list is held.
        """
        self._held = held

    def allowed(self, rows: Iterable[S], policy: Policy | None = None) -> list[S]:
        """The rows that may be stored; notes nothing."""
        return [row for row in rows if not self.excludes(row.session_id, row.body, policy)]

    def excludes(self, session_id: str | None, body: bytes, policy: Policy | None = None) -> bool:
        """Whether such a session may not be stored; it need not have an id."""
        return (session_id is not None and self.holds(session_id)) or bool(self.named(body, policy))

    def named(self, body: bytes, policy: Policy | None = None) -> set[str]:
        """The names of the entries whose customer a session's body names. `policy` makes the pseudonyms that may be listed."""
        return self.people_among(customer_of(body), policy) if self._kinds else set()

    def people_among(self, named: Iterable[tuple[str, str]], policy: Policy | None = None) -> set[str]:
        """The same for what names a customer: kinds and values."""
        return {self._entry(*one, policy) for one in named if one[0] in self._kinds} - {""}

    def admit(self, rows: Sequence[S], policy: Policy | None = None) -> Sequence[S]:
        """The rows that may be stored. New sessions of a forgotten customer join the list, which is then durable.

        A customer may have been named by a pseudonym, which `policy` makes.
        """
        if self.empty:
            return rows
        admitted = list[S]()
        new: dict[str, tuple[str, int, set[str]]] = {}
        for row in rows:
            hashed = self._quick("id", row.session_id.strip()) if row.session_id is not None else ""
            listed = self._sessions.get(hashed)
            because = self.named(row.body, policy) if listed is None else set()
            if listed is None and not because:
                admitted.append(row)
            elif row.session_id is not None and (listed is None or (not listed.created and row.created_at)):
                new[hashed] = (row.session_id, row.created_at or 0, because)
        if new:
            with self._lock:
                for hashed, (session_id, created, because) in new.items():
                    listed = self._sessions.setdefault(hashed, _Listed(0, 0, []))
                    listed.created = listed.created or created
                    listed.because = sorted({*listed.because, *because})
                    if because:
                        self.joined.add(session_id)
                self._index()
                self._write()
        return admitted

    def count(self, window: Window) -> int:
        """How many forgotten sessions, created in the (closed) window, the source still lists."""
        upper = window.upper if window.upper is not None else float("inf")
        return bisect.bisect_left(self._listed, upper) - bisect.bisect_left(self._listed, window.lower)

    # -- what changes it -----------------------------------------------------------------------------------------

    def begin(
        self,
        sessions: Mapping[str, tuple[int, Collection[int]]],
        people: Sequence[tuple[str, Sequence[str]]] = (),
        *,
        at: int,
    ) -> list[str]:
        """Note what is about to be erased, at this time (µs); returns the names of the entries of `people`.

        `sessions`: id to createdAt (µs) and on account of which of `people`; of none: for its own sake. `people`: each a kind and
        the spellings of one value, which are normalised or pseudonyms.
        """
        names = [self._add(kind, spellings, at) for kind, spellings in people]
        for session_id, (created, numbers) in sessions.items():
            hashed = self._quick("id", session_id.strip())
            because = [names[n] for n in numbers] or [hashed[:_SHORT]]
            self._list(hashed, created, at, because)
        self._begun()
        return names

    def list_held(self, sessions: Mapping[str, tuple[int, Collection[str]]], *, at: int) -> None:
        """The same for sessions that are found on account of entries that are listed already, by their names."""
        for session_id, (created, because) in sessions.items():
            self._list(self._quick("id", session_id.strip()), created, at, because)
        self._begun()

    def complete(self) -> None:
        """Note that nothing of what is listed is in the warehouse any more."""
        self._content.pending = False
        self._write()

    def remove(self, given: str) -> tuple[str, int]:
        """Take an entry off the list, by its name or by what was forgotten; returns its kind, and how many sessions may come back.

        Raises ConfigurationError if it is not on the list, or if others keep the session out.
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
        """Take note of which forgotten sessions a complete reading of a (closed) window of createdAt still showed."""
        upper = window.upper if window.upper is not None else float("inf")
        inside = {h for h, one in self._sessions.items() if window.lower <= one.created < upper}
        if not inside:
            return
        shown = {self._quick("id", session_id) for session_id in session_ids} & inside
        gone = (set(self._content.gone) - shown) | (inside - shown)
        if gone != set(self._content.gone):
            self._content.gone = sorted(gone)
            self._index()
            self._write()

    # -- inside --------------------------------------------------------------------------------------------------

    def _quick(self, kind: str, text: str) -> str:
        message = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, "sha256").hex()

    def _hash(self, kind: str, text: str) -> str:
        """The slow hash, which lets other threads work meanwhile."""
        if (kind, text) not in self._slow:
            self.go_on()
            n, r, p = self._cost
            message = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
            hashed = hashlib.scrypt(message, salt=self._key, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)
            self._slow[kind, text] = hashed.hex()
        return self._slow[kind, text]

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
            hashed = self._quick(kind, _formerly(kind, text))
            if hashed in self._old:
                self._replaceable[hashed] = kind, normalised(kind, text, self._region)
                return hashed[:_SHORT]
        if kind not in self._slow_kinds or self._held(kind, stored):
            return ""
        texts = {normalised(kind, value, self._region), normalised(kind, value)}
        if stored.startswith("psn_"):  # whatever the policy is now
            texts.add(stored)
        found = (self._by_hash.get(self._hash(kind, text)) for text in texts)
        return next((name for name in found if name is not None), "")

    def _add(self, kind: str, spellings: Sequence[str], at: int) -> str:
        hashes = [self._hash(kind, text) for text in spellings]
        former = {self._quick(kind, _formerly(kind, text)) for text in spellings} & self._old
        self._old -= former
        names = [self._by_hash[hashed] for hashed in hashes if hashed in self._by_hash]
        name = names[0] if names else min(former)[:_SHORT] if former else hashes[0][:_SHORT]
        person = self._content.people.setdefault(name, _Person(kind, at, []))
        person.hashes = [*person.hashes, *(hashed for hashed in hashes if hashed not in person.hashes)]
        self._index()
        return name

    def _list(self, hashed: str, created: int, at: int, because: Iterable[str]) -> None:
        listed = self._sessions.setdefault(hashed, _Listed(0, at, []))
        listed.created = listed.created or created
        listed.because = sorted({*listed.because, *because})

    def _begun(self) -> None:
        self._content.pending = True
        self._index()
        self._write()

    def _named_by(self, given: str) -> str | None:
        if any(entry.name == given for entry in self.entries()):
            return given
        hashed = self._quick("id", given.strip())
        if (listed := self._sessions.get(hashed)) is not None:
            others = [name for name in listed.because if name != hashed[:_SHORT]]
            if others:
                raise ConfigurationError(
                    f"That session is kept out on account of {', '.join(others)}.",
                    f"Remove these: vapi-sessions forget --remove {others[0]}",
                )
            return hashed[:_SHORT]
        for kind in CUSTOMER_KINDS:
            spelled = normalised(kind, given, self._region)
            former = self._quick(kind, _formerly(kind, given))
            if former in self._old:
                return former[:_SHORT]
            if (
                kind in self._slow_kinds
                and (name := self._by_hash.get(self._hash(kind, spelled))) is not None
            ):
                return name
        return None

    def _index(self) -> None:
        self._key = bytes.fromhex(self._content.key)
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
                self._content.people[former[:_SHORT]] = _Person(kind, 0, [self._hash(kind, text)])
                self._index()
        self._replaceable.clear()
        self._content.cost = self._cost
        self._content.sessions = dict(self._sessions)
        self._content.customers = sorted(self._old)
        draft = self._path.with_name(f".{self._path.name}.tmp")
        with disk_errors(self._path):
            replace_file(self._path, msgspec.json.encode(self._content), draft)


def _formerly(kind: str, value: str) -> str:
    """The spelling that counted in lists of earlier versions."""
    value = value.strip()
    if kind == "number":
        return re.sub(r"[\s().\u2010-\u2015/-]", "", value) or value
    return value.lower() if kind in ("email", "sipUri") else value
