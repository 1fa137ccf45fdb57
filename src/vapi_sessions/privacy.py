"""Erasing what was forgotten, and putting what is stored through a treatment that became stricter.

Both are begun by a durable note (the suppression list says `pending`; the warehouse's state names the old treatment),
can be repeated, and end by changing the note. So whoever opens the warehouse for writing next completes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vapi_sessions import faultpoints
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.load import recover
from vapi_sessions.merge import Observation, Unreadable
from vapi_sessions.policy import PersonalData
from vapi_sessions.treatment import STATE, Treatment
from vapi_sessions.warehouse import erase
from vapi_sessions.warehouse.compact import compact
from vapi_sessions.warehouse.files import replace_derived, sync_directory
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.publish import publish
from vapi_sessions.warehouse.refusals import disk_errors
from vapi_sessions.warehouse.store import Changes, Store
from vapi_sessions.warehouse.suppression import Suppression


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure took away."""

    sessions: int
    observations: int
    snapshots: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clocks:
    """Wall clock (µs) and sleep (seconds)."""

    now: Callable[[], int]
    sleep: Callable[[float], None] = time.sleep


def erase_forgotten(layout: Layout, suppression: Suppression, clocks: Clocks) -> Erased:
    """Erase every session on the suppression list from every file, then note that it is done.

    raw/ first: as long as the database holds a session, an interrupted erasure knows which one it was.
    """
    holds = _remembering(suppression.holds)
    with Store(layout.store, layout.scratch, sleep=clocks.sleep) as store:
        recover(store, layout, now=clocks.now)
        held = store.rows("SELECT session_id FROM sessions UNION SELECT session_id FROM sync.unreadable")
        ids = [session_id for (session_id,) in held if holds(session_id)]
    observations = erase.from_raw(layout, lambda row: holds(row.session_id), ids)
    with Store(layout.store, layout.scratch, sleep=clocks.sleep) as store:
        sessions = erase.from_store(store, ids)
    faultpoints.reach("erase.store")
    compact(layout, sleep=clocks.sleep)
    with Store(layout.store, layout.scratch, sleep=clocks.sleep) as store:
        publish(store, layout, now=clocks.now)
        current = store.state().get("snapshot")
        store.checkpoint()
    faultpoints.reach("erase.published")
    stale = [path for path in erase.snapshots_with(layout, holds) if path.name != current]
    removed = erase.by_products(layout, stale)
    suppression.complete()
    gone = {str(path.relative_to(layout.root)) for path in stale}
    return Erased(
        sessions, observations, tuple(sorted(gone)), tuple(name for name in removed if name not in gone)
    )


def _remembering(holds: Callable[[str], bool]) -> Callable[[str], bool]:
    known: dict[str, bool] = {}

    def held(session_id: str) -> bool:
        if session_id not in known:
            known[session_id] = holds(session_id)
        return known[session_id]

    return held


# ---------------------------------------------------------------------------------------------------------------------
# A stricter treatment.


def check_treatment(state: Mapping[str, str], treatment: Treatment, *, empty: bool) -> bool:
    """Whether what is stored must go through `treatment`. Raises ConfigurationError for another pseudonym key."""
    if not treatment.same_key(state):
        raise ConfigurationError(
            "The pseudonyms in this warehouse were made with another key.",
            "Give that key in VAPI_PSEUDONYM_KEY, or begin a new --warehouse: pseudonyms of two keys cannot be joined.",
        )
    return not empty and treatment.is_stricter(state.get(STATE))


def looser_note(state: Mapping[str, str], treatment: Treatment) -> str:
    """What a person should hear of a treatment that became looser; "" if it did not."""
    if STATE not in state or not treatment.is_looser(state[STATE]):
        return ""
    return "the personal data policy is looser than it was: what is stored stays as it is, unless it is read again"


def tighten(layout: Layout, treatment: Treatment, clocks: Clocks) -> int:
    """Write raw/ and everything derived from it again under a stricter treatment; returns the raw files written.

    The ledger is taken over, so nothing is downloaded again. Databases and snapshots of before are removed.
    """
    with Store(layout.store, layout.scratch, sleep=clocks.sleep) as store:
        recover(store, layout, now=clocks.now)
        store.checkpoint()
    written = erase.treat_raw(layout, treatment)
    erase.from_raw(layout, _nothing)  # empties torn files
    _derive_again(layout, clocks)
    with Store(layout.store, layout.scratch, sleep=clocks.sleep) as store:
        publish(store, layout, now=clocks.now, force=True)
        current = store.state().get("snapshot")
        faultpoints.reach("tighten.published")
        erase.by_products(layout, [path for path in erase.snapshots(layout) if path.name != current])
        store.note(Changes(state=treatment.state))
        store.checkpoint()
    return written


def take_over(layout: Layout, suppression: Suppression, clocks: Clocks) -> list[str]:
    """Derive a database again that an earlier version of this program made; nothing is downloaded.

    Returns the sessions that `raw/` could not give: their rows are taken over as they were.
    """
    return _derive_again(layout, clocks, lambda session_id: not suppression.holds(session_id))


def _derive_again(layout: Layout, clocks: Clocks, keep: Callable[[str], bool] | None = None) -> list[str]:
    """A new database from raw/ and the old one's ledger, which then takes the old one's place."""
    draft = layout.scratch / "derived.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    with Store(draft, layout.scratch, sleep=clocks.sleep) as store:
        recover(store, layout, now=clocks.now)
        lost = erase.adopt_ledger(store, layout.store, keep)
        store.checkpoint()
    faultpoints.reach("derive.derived")
    with disk_errors(layout.root):
        layout.store.with_name(layout.store.name + ".wal").unlink(missing_ok=True)  # it was folded in
        replace_derived(draft, layout.store)
        sync_directory(layout.root)
    faultpoints.reach("derive.swapped")
    return lost


def _nothing(row: Observation | Unreadable) -> bool:
    return False


def level(treatment: Treatment) -> str:
    """The policy in force, for the person who reads along."""
    policy = treatment.policy
    words = {
        PersonalData.KEEP: "kept",
        PersonalData.PSEUDONYMISE: "pseudonymised",
        PersonalData.DROP: "dropped",
    }
    return f"personal data {words[policy.personal]}, message text {policy.text}"
