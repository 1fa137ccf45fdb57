"""Finds whom a `forget` means: sessions by id, customers in any version that `raw/` has and in any spelling, and mentions of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.privacy.identity import normalised, number_parts
from vapi_sessions.privacy.known_values import KnownValues
from vapi_sessions.privacy.policy import Policy
from vapi_sessions.privacy.sanitizer import STATE, drops_particulars
from vapi_sessions.warehouse import erase, raw
from vapi_sessions.warehouse.customers import CUSTOMER_COLUMNS, customer_of
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout

#: Kinds by which a person may be mentioned in other sessions.
_MENTIONED: Final = ("number", "email", "name", "sipUri")


@dataclass(frozen=True, slots=True)
class Person:
    """A customer by one value. `spellings`: the normalised value and its pseudonym, which go on the list. `stored`: all values by which
    the warehouse may hold the customer; these two, and pseudonyms of earlier versions.
    """

    kind: str
    value: str
    spellings: tuple[str, ...]
    stored: frozenset[str]

    @classmethod
    def of(cls, kind: str, value: str, policy: Policy | None, layout: Layout, region: str | None) -> Person:
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
    """The pseudonym of earlier versions, which hardly changed the spelling of a value."""
    spelled = text.lower() if kind in ("email", "sipUri") else text
    return (
        "psn_" + hmac.new(policy.key or b"", f"{kind}\0{spelled}".encode(), hashlib.sha256).hexdigest()[:32]
    )


def _with_country(layout: Layout, digits: str, region: str | None) -> str:
    """A number without a country, with that of the one customer who has it. Raises ConfigurationError if several have it."""
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


@dataclass(slots=True)
class Search:
    """Looks for sessions by id and for persons; the results grow with each method.

    `found`: sessions by id: createdAt (µs), and which of the `people` they have. `said`: what these sessions say of them. `dropped`:
    raw files from which customer identifiers were dropped, so that nobody can be found in them.
    """

    layout: Layout
    sessions: set[str]
    people: Sequence[Person]
    region: str | None
    found: dict[str, tuple[int, set[int]]] = field(default_factory=dict)
    said: set[tuple[str, str]] = field(default_factory=set)
    dropped: int = 0

    def add(self, session_id: str, created: int | None, whose: Iterable[int] = ()) -> None:
        """Add a session that was found."""
        before, others = self.found.get(session_id, (0, set[int]()))
        self.found[session_id] = (created or before, others.union(whose))

    def look_in_raw(self) -> None:
        """Find sessions of which any version matches."""
        for path in raw.files(self.layout.raw):
            try:
                state = raw.read_progress(path).get("state", {})
                ids = raw.session_ids(path) & self.sessions
            except WarehouseDamagedError:  # the erasure empties it
                continue
            self.dropped += drops_particulars(state.get(STATE) if isinstance(state, dict) else None)
            for session_id in ids:
                self.add(session_id, None)
        for one in erase.bodies(self.layout) if self.people or self.found else ():
            customer = customer_of(one.body) if self.people else []
            whose = {
                n
                for n, person in enumerate(self.people)
                if any(person.is_meant(*named, self.region) for named in customer)
            }
            if whose or one.session_id in self.sessions:
                self.add(one.session_id, one.created_at, whose)
            if whose:
                self.said |= {named for named in customer if named[0] in _MENTIONED}

    def look_in_published(self, index: Index) -> None:
        """Find sessions among the rows: `raw/` may not have all of them."""
        for session_id, created in index.created_at(self.sessions).items():
            self.add(session_id, created)
        for session_id, created, *values in (
            erase.customers(self.layout, index.state().get("snapshot")) if self.people else ()
        ):
            named = dict(zip(CUSTOMER_COLUMNS, values, strict=True))
            for n, person in enumerate(self.people):
                value = named[person.kind]
                if value is not None and person.is_meant(person.kind, value, self.region):
                    self.add(session_id, created, [n])

    def mentions(self) -> dict[str, int]:
        """Sessions of others that mention one of the people, by a given value or by one that their sessions say: id to createdAt, µs."""
        given = {(person.kind, text) for person in self.people for text in (person.value, *person.spellings)}
        said = {(kind, value) for kind, value in self.said if kind != "name" or _is_telling(value)}
        known = KnownValues(
            {(kind, value) for kind, value in given | said if kind in _MENTIONED}, self.region
        )
        if not known:
            return {}
        return {
            one.session_id: one.created_at or 0
            for one in erase.bodies(self.layout)
            if one.session_id not in self.found and known.found(one.body.decode("utf-8", "replace"))
        }


def _is_telling(name: str) -> bool:
    """Whether a name identifies somebody: it has two words at least, or ideographs. Other names may be ordinary words."""
    return " " in name.strip() or any(c >= "\u2e80" for c in name)
