"""`vapi-sessions forget`: erases sessions, or everything of a customer, from every file, and keeps them from coming back.

A customer is found by what a session's `customer` (and `customerId`) says, in any version that `raw/` has, and in any spelling.
Where other sessions mention the same person, by number, address or name, they are counted, and erased on request. What was
dropped by the policy cannot be found: then the list keeps the customer out, and a `sync --full`, which reads every session
again, erases what is held of theirs.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vapi_sessions.core import faultpoints
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations import erasure
from vapi_sessions.operations.recovery import recover
from vapi_sessions.operations.take_over import take_over
from vapi_sessions.privacy.identity import normalised, number_parts
from vapi_sessions.privacy.known_values import KnownValues
from vapi_sessions.privacy.policy import Policy
from vapi_sessions.privacy.sanitizer import KEY_STATE, STATE, Sanitizer, drops_particulars
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import erase, raw
from vapi_sessions.warehouse.customers import CUSTOMER_COLUMNS, customer_of
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock
from vapi_sessions.warehouse.suppression import Entry, Suppression

#: By these a person may be mentioned in other sessions.
_MENTIONED: Final = ("number", "email", "name", "sipUri")


@dataclass(frozen=True, slots=True)
class Whom:
    """What to forget: sessions by id, customers by kind (one of `CUSTOMER_KINDS`) and value. `mentions`: also sessions of others
    in which such a customer is mentioned.
    """

    sessions: Sequence[str] = ()
    customers: Sequence[tuple[str, str]] = ()
    mentions: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """How many sessions of the warehouse one of the given customers has. `entry`: its name on the list; "" in a dry run."""

    kind: str
    entry: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was erased, or with `dry_run` would be. `ids`: the sessions that the warehouse held, with those that were erased for a
    mention; `absent`: those that were given and that it did not hold. `mentions`: sessions of others in which they are mentioned. `dropped`: raw files from which what names a customer was
    dropped before, so that nobody is found in them. `tightened`: a stricter policy went over what is stored.
    """

    ids: tuple[str, ...]
    observations: int
    snapshots: tuple[str, ...]
    files: tuple[str, ...]
    dry_run: bool
    absent: tuple[str, ...] = ()
    customers: tuple[Named, ...] = ()
    mentions: tuple[str, ...] = ()
    dropped: int = 0
    tightened: bool = False


@dataclass(slots=True)
class _Found:
    """Sessions by id: createdAt (µs), and which of the given customers they have. `said`: what they say of these."""

    sessions: dict[str, tuple[int, set[int]]] = field(default_factory=dict)
    said: set[tuple[str, str]] = field(default_factory=set)
    dropped: int = 0

    def add(self, session_id: str, created: int | None, whose: Iterable[int] = ()) -> None:
        before, others = self.sessions.get(session_id, (0, set[int]()))
        self.sessions[session_id] = (created or before, others.union(whose))


def forget(
    settings: Settings,
    whom: Whom,
    *,
    dry_run: bool = False,
    environment: Environment | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Forgotten:
    """Erase from the database, `raw/`, every snapshot and by-product, and suppress from now on. Then a stricter policy is applied.

    The suppression is durable before the first byte goes, so that an interrupted erasure is completed by running it
    again, or by the next sync. Raises ConfigurationError if there is no warehouse,
    nothing to look for, no key for the pseudonyms it holds, or if a number may be that of several.
    """
    environment = environment or Environment()
    region = settings.phone_region
    if not whom.sessions and not whom.customers:
        raise ConfigurationError(
            "forget needs to know whom.",
            "Give session ids, or --customer-number, --customer-email, --customer-name, --customer-sip-uri, "
            "--customer-external-id or --customer-id.",
        )
    if not all(value.strip() for value in (*whom.sessions, *(value for _, value in whom.customers))):
        raise ConfigurationError(
            "One of the names to forget is empty.", "Is a variable of the script that calls this not set?"
        )
    sessions = {session_id.strip() for session_id in whom.sessions}
    sanitizer = settings.sanitizer()
    layout = _warehouse(settings)
    clocks = erasure.Clocks(environment.now, environment.sleep or time.sleep)
    with writer_lock(layout):
        suppression = Suppression.open(layout, create=not dry_run, region=region)
        take_over(layout, suppression, clocks, say)
        if suppression.pending and not dry_run:
            erasure.erase_forgotten(layout, suppression, clocks)
        with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
            recover(index, layout, now=clocks.now, suppression=suppression)
            if not dry_run:
                erasure.check_sanitizer(index.state(), sanitizer, empty=False)
            policy = _policy(settings, index, whom)
            people = [_Person.of(kind, value, policy, layout, region) for kind, value in whom.customers]
            found = _in_raw(layout, sessions, people, region)
            _in_published(index, layout, found, sessions, people, region)
            mentions = _mentions(layout, found, people, region) if people else {}
            if whom.mentions:
                for session_id, created in mentions.items():
                    found.add(session_id, created)
        counted = Counter(n for _, whose in found.sessions.values() for n in whose)
        # What is not here yet is kept out as well; when it was created is learnt when it comes.
        absent = {name: (0, set[int]()) for name in sessions if name not in found.sessions}
        if dry_run:
            names = [""] * len(people)
            held = [raw.session_ids(path) for path in raw.files(layout.raw)]
            done = erasure.Erased(
                0,
                sum(len(ids & found.sessions.keys()) for ids in held),
                tuple(
                    str(p.relative_to(layout.root))
                    for p in erase.snapshots_with(layout, found.sessions.__contains__)
                ),
            )
        else:
            names = suppression.begin(
                found.sessions | absent,
                [(person.kind, person.spellings) for person in people],
                at=clocks.now(),
            )
            faultpoints.reach("forget.noted")
            done = erasure.erase_forgotten(layout, suppression, clocks)
        tightened = not dry_run and _tighten(layout, sanitizer, suppression, clocks, say)
    return Forgotten(
        tuple(sorted(found.sessions)),
        done.observations,
        done.snapshots,
        done.files,
        dry_run,
        tuple(sorted(absent)),
        tuple(
            Named(person.kind, name, counted[n])
            for n, (person, name) in enumerate(zip(people, names, strict=True))
        ),
        tuple(sorted(mentions)),
        found.dropped if people else 0,
        tightened,
    )


def listed(settings: Settings) -> list[Entry]:
    """What was given to `forget`, oldest first. Raises ConfigurationError if there is no warehouse."""
    return Suppression.open(_warehouse(settings)).entries()


def remove(
    settings: Settings,
    given: Sequence[str],
    *,
    environment: Environment | None = None,
) -> list[tuple[str, int]]:
    """Take entries off the list, by their names or by what was forgotten; returns the kind of each, and how many sessions may come
    back, with the next full sync. Raises ConfigurationError if one is not on it.
    """
    environment = environment or Environment()
    layout = _warehouse(settings)
    with writer_lock(layout):
        suppression = Suppression.open(layout, region=settings.phone_region)
        if suppression.pending:  # else what is half erased would stay
            clocks = erasure.Clocks(environment.now, environment.sleep or time.sleep)
            take_over(layout, suppression, clocks, lambda text: None)
            erasure.erase_forgotten(layout, suppression, clocks)
        return [suppression.remove(one) for one in given]


def _warehouse(settings: Settings) -> Layout:
    layout = Layout(settings.warehouse)
    layout.check()
    if not layout.raw.is_dir():
        raise ConfigurationError(
            f"{settings.warehouse} is not a warehouse: it has no raw/ directory.",
            "Give one with --warehouse.",
        )
    return layout


def _policy(settings: Settings, index: Index, whom: Whom) -> Policy | None:
    """The policy that made the warehouse's pseudonyms; None if there are none to be looked for."""
    state = index.state()
    if KEY_STATE not in state or all(kind == "customerId" for kind, _ in whom.customers):
        return None
    policy = settings.pseudonyms()
    if policy is None or not Sanitizer(policy=policy).same_key(state):
        raise ConfigurationError(
            "This warehouse holds pseudonyms, and the key that made them is not given.",
            "Set VAPI_PSEUDONYM_KEY or VAPI_PSEUDONYM_KEY_FILE as for the sync, or forget by session or customer id.",
        )
    return policy


def _tighten(
    layout: Layout,
    sanitizer: Sanitizer,
    suppression: Suppression,
    clocks: erasure.Clocks,
    say: Callable[[str], None],
) -> bool:
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        stricter = erasure.check_sanitizer(index.state(), sanitizer, empty=index.is_empty())
    if stricter:
        say(erasure.stricter_note(sanitizer))
        erasure.tighten(layout, sanitizer, clocks, suppression)
    return stricter


# ---------------------------------------------------------------------------------------------------------------------
# Who is meant, and where they are.


@dataclass(frozen=True, slots=True)
class _Person:
    """A customer by one value. `spellings`: those that are listed: the normal one, and the pseudonym. `stored`: these, and
    pseudonyms of earlier versions.
    """

    kind: str
    value: str
    spellings: tuple[str, ...]
    stored: frozenset[str]

    @classmethod
    def of(cls, kind: str, value: str, policy: Policy | None, layout: Layout, region: str | None) -> _Person:
        """`policy`: makes the pseudonyms that the warehouse holds; None if it holds none."""
        plain = value.strip() if value.startswith("psn_") else normalised(kind, value, region)
        if kind == "number" and not plain.startswith(("+", "psn_")):
            plain = _with_country(layout, plain, region)
        if policy is None or kind == "customerId" or plain.startswith("psn_"):
            return cls(kind, value, (plain,), frozenset((plain,)))
        pseudonym = policy.pseudonym(kind, plain)
        former = {_former_pseudonym(policy, kind, text) for text in (value.strip(), plain)}
        return cls(kind, value, (plain, pseudonym), frozenset({plain, pseudonym, *former}))

    def is_meant(self, kind: str, value: str, region: str | None) -> bool:
        """Whether a session's customer is this one."""
        return kind == self.kind and (value in self.stored or normalised(kind, value, region) in self.stored)


def _former_pseudonym(policy: Policy, kind: str, text: str) -> str:
    """What earlier versions made of a value, whose spelling they hardly changed."""
    spelled = text.lower() if kind in ("email", "sipUri") else text
    return (
        "psn_" + hmac.new(policy.key or b"", f"{kind}\0{spelled}".encode(), hashlib.sha256).hexdigest()[:32]
    )


def _with_country(layout: Layout, digits: str, region: str | None) -> str:
    """A number without a country, with that of the one customer who has it. Raises ConfigurationError if there are several."""
    found = set[str]()
    for one in erase.bodies(layout):
        for kind, value in customer_of(one.body):
            if kind == "number" and number_parts(value, region)[1] == digits.lstrip("0"):
                found.add(normalised(kind, value, region))
    if len(found) > 1:
        raise ConfigurationError(
            f"That number has no country, and {len(found)} customers of different countries have it.",
            "Write it with its country: --customer-number +1…",
        )
    return found.pop() if found else digits


def _in_raw(layout: Layout, sessions: set[str], people: Sequence[_Person], region: str | None) -> _Found:
    """What any version of a session matches."""
    found = _Found()
    for path in raw.files(layout.raw):
        try:
            state = raw.read_progress(path).get("state", {})
            ids = raw.session_ids(path) & sessions
        except WarehouseDamagedError:  # it is emptied
            continue
        found.dropped += drops_particulars(state.get(STATE) if isinstance(state, dict) else None)
        for session_id in ids:
            found.add(session_id, None)
    for one in erase.bodies(layout) if people or found.sessions else ():
        customer = customer_of(one.body) if people else []
        whose = {
            n for n, person in enumerate(people) if any(person.is_meant(*named, region) for named in customer)
        }
        if whose or one.session_id in sessions:
            found.add(one.session_id, one.created_at, whose)
        if whose:
            found.said |= {named for named in customer if named[0] in _MENTIONED}
    return found


def _in_published(
    index: Index,
    layout: Layout,
    found: _Found,
    sessions: set[str],
    people: Sequence[_Person],
    region: str | None,
) -> None:
    """The same among the rows, of which `raw/` may lack some."""
    for session_id, created in index.created_at(sessions).items():
        found.add(session_id, created)
    for session_id, created, *values in (
        erase.customers(layout, index.state().get("snapshot")) if people else ()
    ):
        named = dict(zip(CUSTOMER_COLUMNS, values, strict=True))
        for n, person in enumerate(people):
            value = named[person.kind]
            if value is not None and person.is_meant(person.kind, value, region):
                found.add(session_id, created, [n])


def _mentions(layout: Layout, found: _Found, people: Sequence[_Person], region: str | None) -> dict[str, int]:
    """Sessions of others in which somebody is mentioned by what was given, or by what the sessions found say: id to createdAt, µs."""
    given = {(person.kind, text) for person in people for text in (person.value, *person.spellings)}
    said = {(kind, value) for kind, value in found.said if kind != "name" or _is_telling(value)}
    known = KnownValues({(kind, value) for kind, value in given | said if kind in _MENTIONED}, region)
    if not known:
        return {}
    return {
        one.session_id: one.created_at or 0
        for one in erase.bodies(layout)
        if one.session_id not in found.sessions and known.found(one.body.decode("utf-8", "replace"))
    }


def _is_telling(name: str) -> bool:
    """Whether a name is of two words at least, or of ideographs: others may be words."""
    return " " in name.strip() or any(c >= "\u2e80" for c in name)
