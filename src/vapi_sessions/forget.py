"""`vapi-sessions forget`: erases sessions, or everything of a customer, from every file, and keeps them from coming back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vapi_sessions import faultpoints, privacy
from vapi_sessions.config import Settings
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.identity import normalised
from vapi_sessions.load import recover
from vapi_sessions.pipeline import Environment
from vapi_sessions.policy import Policy
from vapi_sessions.treatment import KEY_STATE, Treatment
from vapi_sessions.warehouse import erase, raw
from vapi_sessions.warehouse.layout import Layout, writer_lock
from vapi_sessions.warehouse.store import Store
from vapi_sessions.warehouse.suppression import CUSTOMER_KINDS, Suppression, customer_of

#: Where the database has what a customer is named by.
_COLUMNS = dict(
    zip(
        CUSTOMER_KINDS,
        ("customer_number", "customer_email", "customer_external_id", "customer_id"),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class Whom:
    """What to forget: sessions by id, customers by kind (one of `CUSTOMER_KINDS`) and value."""

    sessions: Sequence[str] = ()
    customers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was erased, or with `dry_run` would be. `ids`: the sessions that the warehouse held."""

    ids: tuple[str, ...]
    observations: int
    snapshots: tuple[str, ...]
    files: tuple[str, ...]
    dry_run: bool


def forget(
    settings: Settings, whom: Whom, *, dry_run: bool = False, environment: Environment | None = None
) -> Forgotten:
    """Erase from the database, `raw/`, every snapshot and by-product, and suppress from now on.

    The suppression is durable before the first byte goes, so that an interrupted erasure is completed by running it
    again, or by the next sync. Raises ConfigurationError if there is no warehouse, nothing to look for, or no key for
    the pseudonyms it holds.
    """
    environment = environment or Environment()
    if not whom.sessions and not whom.customers:
        raise ConfigurationError(
            "forget needs to know whom.",
            "Give session ids, or --customer-number, --customer-email, --customer-external-id or --customer-id.",
        )
    if not all(value.strip() for value in (*whom.sessions, *(value for _, value in whom.customers))):
        raise ConfigurationError(
            "One of the names to forget is empty.", "Is a variable of the script that calls this not set?"
        )
    layout = Layout(settings.warehouse)
    layout.check()
    if not layout.raw.is_dir():
        raise ConfigurationError(
            f"{settings.warehouse} is not a warehouse: it has no raw/ directory.",
            "Give one with --warehouse.",
        )
    clocks = privacy.Clocks(environment.now, environment.sleep or time.sleep)
    with writer_lock(layout):
        suppression = Suppression.open(layout, create=not dry_run)
        if suppression.pending and not dry_run:
            privacy.erase_forgotten(layout, suppression, clocks)
        with Store(layout.store, layout.scratch, sleep=clocks.sleep) as store:
            recover(store, layout, now=clocks.now)
            policy = _policy(settings, store, whom)
            customers = _spellings(whom.customers, policy)
            found, observations = _in_raw(layout, set(whom.sessions), set(customers))
            found |= _in_store(store, set(whom.sessions), set(customers))
        if dry_run:
            snapshots = erase.snapshots_with(layout, found.__contains__)
            names = tuple(str(path.relative_to(layout.root)) for path in snapshots)
            return Forgotten(tuple(sorted(found)), observations, names, (), dry_run=True)
        # What is not here yet is kept out as well; when it was created is learnt when it comes.
        suppression.begin(dict.fromkeys(whom.sessions, 0) | found, customers)
        faultpoints.reach("forget.noted")
        done = privacy.erase_forgotten(layout, suppression, clocks)
    return Forgotten(
        tuple(sorted(found)), max(observations, done.observations), done.snapshots, done.files, dry_run=False
    )


def _policy(settings: Settings, store: Store, whom: Whom) -> Policy | None:
    """The policy that made the warehouse's pseudonyms; None if there are none to be looked for."""
    state = store.state()
    if KEY_STATE not in state or all(kind == "customerId" for kind, _ in whom.customers):
        return None
    policy = settings.pseudonyms()
    if policy is None or not Treatment(policy=policy).same_key(state):
        raise ConfigurationError(
            "This warehouse holds pseudonyms, and the key that made them is not given.",
            "Set VAPI_PSEUDONYM_KEY or VAPI_PSEUDONYM_KEY_FILE as for the sync, or forget by session or customer id.",
        )
    return policy


def _spellings(customers: Iterable[tuple[str, str]], policy: Policy | None) -> list[tuple[str, str]]:
    """Each value in the spelling that counts, and as the pseudonym that may stand for it."""
    plain = [(kind, normalised(kind, value)) for kind, value in customers]
    if policy is None:
        return plain
    return plain + [(kind, policy.pseudonym(kind, value)) for kind, value in plain if kind != "customerId"]


def _in_raw(
    layout: Layout, sessions: set[str], customers: set[tuple[str, str]]
) -> tuple[dict[str, int], int]:
    """Ids with createdAt (µs) of what any version of a session matches, and how many rows these have."""
    found: dict[str, int] = {}
    for _ in range(
        2 if customers else 1
    ):  # other versions of what a customer matches may not name the customer
        rows = 0
        for path in raw.files(layout.raw):
            for part in raw.read(path):
                for row in part:
                    if (
                        row.session_id in sessions
                        or row.session_id in found
                        or (row.body and customers and _named(row.body, customers))
                    ):
                        found[row.session_id] = row.created_at or 0
                        rows += 1
    return found, rows


def _named(body: bytes, customers: set[tuple[str, str]]) -> bool:
    return any((kind, normalised(kind, value)) in customers for kind, value in customer_of(body))


def _in_store(store: Store, sessions: set[str], customers: set[tuple[str, str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    if sessions:
        found |= dict(
            store.rows(
                "SELECT session_id, epoch_us(created_at) FROM sessions WHERE session_id IN (SELECT unnest(?::VARCHAR[]))",
                [sorted(sessions)],
            )
        )
    for kind in {kind for kind, _ in customers}:
        column = _COLUMNS[kind]
        for session_id, created, value in store.rows(
            f"SELECT session_id, epoch_us(created_at), {column} FROM sessions WHERE {column} IS NOT NULL"
        ):
            if (kind, normalised(kind, value)) in customers:
                found[session_id] = created
    return found
