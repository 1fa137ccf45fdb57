"""`vapi-sessions forget`: erases sessions, or all sessions of a customer, from every file, and keeps them from coming back.

Sessions of others that mention the same person, by number, address or name, are counted, and erased on request. Customers whose
identifiers the policy dropped cannot be found: the list keeps new sessions of theirs out, and a `sync --full`, which reads every
session again, erases the old ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vapi_sessions.core import faultpoints
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import metrics, policy_change
from vapi_sessions.operations.erasure import Erased, erase_forgotten
from vapi_sessions.operations.forget_search import Person, Search
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.recovery import recover
from vapi_sessions.operations.take_over import take_over
from vapi_sessions.privacy.policy import Policy
from vapi_sessions.privacy.sanitizer import KEY_STATE, Sanitizer
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Clocks, Environment
from vapi_sessions.warehouse import erase, raw
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Keep, Layout, writer_lock
from vapi_sessions.warehouse.suppression import Entry, Suppression
from vapi_sessions.warehouse.time_zone import set_time_zone


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom to forget: sessions by id, customers by kind (one of `CUSTOMER_KINDS`) and value. `mentions`: also sessions of others that
    mention such a customer.
    """

    sessions: Sequence[str] = ()
    customers: Sequence[tuple[str, str]] = ()
    mentions: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """One of the given customers, and how many sessions were found. `entry`: its name on the list; "" in a dry run."""

    kind: str
    entry: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The outcome; with `dry_run` nothing was erased yet. `ids`: sessions that the warehouse held, with those erased for a mention;
    `absent`: given ids that it did not hold. `mentions`: sessions of others that mention the customers. `dropped`: raw files from which
    customer identifiers were dropped, so that nobody can be found in them. `tightened`: everything was rewritten under a stricter policy.
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


def forget(
    settings: Settings,
    whom: Whom,
    *,
    dry_run: bool = False,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> Forgotten:
    """Erase from the index, `raw/`, every snapshot and by-product, and suppress from now on. Then apply a policy that became stricter.

    The suppression list is durable before the first byte is erased: running `forget` again, or the next sync, completes an interrupted
    erasure. Raises ConfigurationError if there is no warehouse, nothing to look for, no key for the pseudonyms it holds, or if a number
    fits customers of several countries.
    """
    environment, progress = environment or Environment(), progress or Silent()
    region = settings.phone_region
    if not whom.sessions and not whom.customers:
        raise ConfigurationError(
            "Nothing to forget.",
            "Give session ids, or --customer-number, --customer-email, --customer-name, --customer-sip-uri, "
            "--customer-external-id or --customer-id.",
        )
    if not all(value.strip() for value in (*whom.sessions, *(value for _, value in whom.customers))):
        raise ConfigurationError(
            "One of the values to forget is empty.", "Check for an unset variable in the calling script."
        )
    sessions = {session_id.strip() for session_id in whom.sessions}
    sanitizer = settings.sanitizer()
    layout = _warehouse(settings)
    clocks = environment.clocks
    target = None if dry_run else settings.metrics_file
    with (
        metrics.written(target, settings.warehouse, "forget", environment.now, progress.warn),
        writer_lock(layout),
    ):
        suppression = Suppression.open(layout, create=not dry_run, region=region)
        take_over(layout, suppression, clocks, progress)
        if suppression.pending and not dry_run:
            erase_forgotten(layout, suppression, clocks, progress)
        with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
            recover(index, layout, now=clocks.now, suppression=suppression)
            if not dry_run:
                policy_change.check_sanitizer(index.state(), sanitizer, empty=False)
                set_time_zone(index, settings.time_zone, [layout.published])
            policy = _policy(settings, index, whom)
            people = [Person.of(kind, value, policy, layout, region) for kind, value in whom.customers]
            search = Search(layout, sessions, people, region)
            search.look_in_raw()
            search.look_in_published(index)
            mentions = search.mentions() if people else {}
            if whom.mentions:
                for session_id, created in mentions.items():
                    search.add(session_id, created)
        found = search.found
        # Sessions that are not here yet are kept out as well. Their createdAt is filled in when they arrive.
        absent = {name: (0, set[int]()) for name in sessions if name not in found}
        if dry_run:
            names = [""] * len(people)
            done = _would_erase(layout, found)
        else:
            names = suppression.begin(
                found | absent, [(person.kind, person.spellings) for person in people], at=clocks.now()
            )
            faultpoints.reach("forget.noted")
            done = erase_forgotten(layout, suppression, clocks, progress)
        tightened = not dry_run and _tighten(layout, sanitizer, suppression, clocks, progress)
    counted = Counter(n for _, whose in found.values() for n in whose)
    return Forgotten(
        ids=tuple(sorted(found)),
        observations=done.observations,
        snapshots=done.snapshots,
        files=done.files,
        dry_run=dry_run,
        absent=tuple(sorted(absent)),
        customers=tuple(
            Named(person.kind, name, counted[n])
            for n, (person, name) in enumerate(zip(people, names, strict=True))
        ),
        mentions=tuple(sorted(mentions)),
        dropped=search.dropped if people else 0,
        tightened=tightened,
    )


def _would_erase(layout: Layout, sessions: Mapping[str, object]) -> Erased:
    held = [raw.session_ids(path) for path in raw.files(layout.raw)]
    observations = sum(len(ids & sessions.keys()) for ids in held)
    snapshots = erase.snapshots_with(layout, sessions.__contains__)
    return Erased(0, observations, tuple(str(path.relative_to(layout.root)) for path in snapshots))


def listed(settings: Settings) -> list[Entry]:
    """The entries of the suppression list, oldest first. Raises ConfigurationError if there is no warehouse."""
    return Suppression.open(_warehouse(settings)).entries()


def remove(
    settings: Settings,
    given: Sequence[str],
    *,
    environment: Environment | None = None,
) -> list[tuple[str, int]]:
    """Take entries off the list, by their names or by the forgotten value; returns the kind of each, and how many sessions may come back
    with the next full sync. Raises ConfigurationError if one is not on the list.
    """
    environment = environment or Environment()
    layout = _warehouse(settings)
    with writer_lock(layout):
        suppression = Suppression.open(layout, region=settings.phone_region)
        if suppression.pending:  # otherwise sessions would stay half erased
            clocks = environment.clocks
            take_over(layout, suppression, clocks, Silent())
            erase_forgotten(layout, suppression, clocks, Silent())
        return [suppression.remove(one) for one in given]


def _warehouse(settings: Settings) -> Layout:
    layout = Layout(settings.warehouse, Keep(settings.keep_snapshots, settings.keep_hours))
    layout.check()
    if not layout.raw.is_dir():
        raise ConfigurationError(
            f"{settings.warehouse} is not a warehouse: it has no raw/ directory.",
            "Give one with --warehouse.",
        )
    return layout


def _policy(settings: Settings, index: Index, whom: Whom) -> Policy | None:
    """The policy that made the warehouse's pseudonyms; None if none has to be looked for."""
    state = index.state()
    if KEY_STATE not in state or all(kind == "customerId" for kind, _ in whom.customers):
        return None
    policy = settings.pseudonyms()
    if policy is None or not Sanitizer(policy=policy).same_key(state):
        raise ConfigurationError(
            "This warehouse holds pseudonyms, and the key that made them is not set.",
            "Set VAPI_PSEUDONYM_KEY or VAPI_PSEUDONYM_KEY_FILE as for the sync, or forget by session or customer id.",
        )
    return policy


def _tighten(
    layout: Layout,
    sanitizer: Sanitizer,
    suppression: Suppression,
    clocks: Clocks,
    progress: Progress,
) -> bool:
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        stricter = policy_change.check_sanitizer(index.state(), sanitizer, empty=index.is_empty())
    if stricter:
        progress.say(policy_change.stricter_message(sanitizer))
        policy_change.tighten(layout, sanitizer, clocks, suppression, progress)
    return stricter
