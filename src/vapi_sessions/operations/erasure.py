"""Erasing what was forgotten, and putting what is stored through a treatment that became stricter.

Both are begun by a durable note (the suppression list says `pending`; the warehouse's state names the old treatment),
can be repeated, and end by changing the note. So whoever opens the warehouse for writing next completes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import make_private, replace_derived, sync_directory, sync_file
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.recovery import recover
from vapi_sessions.privacy.policy import PersonalData
from vapi_sessions.privacy.sanitizer import STATE, Sanitizer
from vapi_sessions.warehouse import adopt, erase
from vapi_sessions.warehouse.customers import CUSTOMER_COLUMNS
from vapi_sessions.warehouse.database import copy_alive
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
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


#: The fact of the state that says with which list, and with which files, the warehouse was compared.
_COMPARED: Final = "forgotten_compared"


class _Compared(msgspec.Struct):
    """`people`: the entries whose sessions were looked for; `sessions`, `files`: hashes of the listed ones, and of what may hold them."""

    people: list[str] = []
    sessions: str = ""
    files: str = ""


def still_held(
    index: Index,
    layout: Layout,
    suppression: Suppression,
    *,
    now: Callable[[], int],
    say: Callable[[str], None] = lambda text: None,
) -> bool:
    """Whether the warehouse may hold what was forgotten, so that `erase_forgotten` is due. For whoever opened it for writing.

    As long as neither the list nor the files changed since it was last asked, or since `note_compared`, it costs a look at the
    directories: what comes in between is compared where it is loaded. Else all ids are compared; and where the list has people whom
    this database was never compared with, because it is that of a backup, the customers of all sessions are, which join the list.
    """
    if suppression.empty:
        return False
    if suppression.pending:
        return True
    before = msgspec.json.decode(index.state().get(_COMPARED, "{}"), type=_Compared)
    present = _compared(layout, suppression)
    if before.sessions == present.sessions and before.files == present.files:
        if set(present.people) <= set(before.people):
            return False
    elif _held_by_id(index, layout, suppression):
        return True
    if not set(present.people) <= set(before.people):
        say("comparing every customer in the warehouse with the list of those who were forgotten")
        if found := _held_by_customer(index, layout, suppression):
            suppression.list_held(found, at=now())
            return True
    note_compared(index, layout, suppression)
    return False


def joined_held(index: Index, suppression: Suppression) -> bool:
    """Whether the database holds a session that joined the list since that was opened: what it said of its customer came later."""
    return bool(suppression.joined) and index.holds_any(suppression.joined)


def note_compared(index: Index, layout: Layout, suppression: Suppression) -> None:
    """Note that nothing on the list is held, by whatever is in the warehouse now."""
    if not suppression.empty:
        present = msgspec.json.encode(_compared(layout, suppression)).decode()
        index.record(Changes(state={_COMPARED: present}))


def _compared(layout: Layout, suppression: Suppression) -> _Compared:
    with disk_errors(layout.root):
        return _Compared(sorted(suppression.people), suppression.stamp, erase.files_held(layout))


def _held_by_id(index: Index, layout: Layout, suppression: Suppression) -> bool:
    holds = remembering(suppression.holds)
    return (
        any(holds(session_id) for session_id in index.session_ids())
        or bool(erase.in_raw(layout, holds))
        or bool(erase.snapshots_with(layout, holds))
        or any(erase.in_database(index, path, holds) for path in erase.put_aside(layout))
    )


def _held_by_customer(
    index: Index, layout: Layout, suppression: Suppression
) -> dict[str, tuple[int, set[str]]]:
    """Sessions whose customer is on the list: id to createdAt (µs) and the entries on account of which."""
    found: dict[str, tuple[int, set[str]]] = {}
    for one in erase.bodies(layout):
        if because := suppression.named(one.body):
            _, others = found.get(one.session_id, (0, set()))
            found[one.session_id] = one.created_at or 0, because | others
    # raw/ may lack some; the columns are what a body says of its customer.
    for session_id, created, *values in erase.customers(layout, index.state().get("snapshot")):
        if session_id not in found:
            named = zip(CUSTOMER_COLUMNS, values, strict=True)
            because = suppression.people_among((kind, value) for kind, value in named if value)
            if because:
                found[session_id] = created, because
    return found


def erase_forgotten(layout: Layout, suppression: Suppression, clocks: Clocks) -> Erased:
    """Erase every session on the suppression list from every file, then note that it is done.

    raw/ first: as long as the database holds a session, an interrupted erasure knows which one it was.
    """
    holds = remembering(suppression.holds)
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        recover(index, layout, now=clocks.now, suppression=suppression)
        ids = [session_id for session_id in index.session_ids() if holds(session_id)]
    observations = erase.from_raw(layout, holds, ids)
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        sessions = index.erase(ids)
        index.checkpoint()
    faultpoints.reach("erase.index")
    _copy_index(layout)
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        publisher = Publisher(index, layout, Staging.begin(layout.staging), clocks.now)
        publisher.publish()
        stale = erase.snapshots_with(layout, holds)
        if any(path.name == index.state().get("snapshot") for path in stale):  # not by this database's doing
            publisher.publish(force=True)
        index.checkpoint()
        faultpoints.reach("erase.published")
        removed = erase.by_products(layout, stale)
        note_compared(index, layout, suppression)
        index.checkpoint()
    suppression.complete()
    gone = {str(path.relative_to(layout.root)) for path in stale}
    return Erased(
        sessions, observations, tuple(sorted(gone)), tuple(name for name in removed if name not in gone)
    )


def _copy_index(layout: Layout) -> None:
    """A new file in the index's place, without a byte of what was deleted in it."""
    draft = layout.scratch / "copied.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    copy_alive(layout.index, draft)
    with disk_errors(layout.root):
        put_in_place(layout, draft)


def put_in_place(layout: Layout, draft: Path) -> None:
    """Let a closed database become the index, durably. Raises OSError."""
    make_private(draft)
    sync_file(draft)
    faultpoints.reach("index.drafted")
    layout.index.with_name(layout.index.name + ".wal").unlink(
        missing_ok=True
    )  # the old one's, which is given up or folded in
    replace_derived(draft, layout.index)
    sync_directory(layout.root)
    faultpoints.reach("index.swapped")


def remembering(holds: Callable[[str], bool]) -> Callable[[str], bool]:
    """The same, asking once for each session."""
    known: dict[str, bool] = {}

    def held(session_id: str) -> bool:
        if session_id not in known:
            known[session_id] = holds(session_id)
        return known[session_id]

    return held


# ---------------------------------------------------------------------------------------------------------------------
# A stricter treatment.


def check_sanitizer(state: Mapping[str, str], sanitizer: Sanitizer, *, empty: bool) -> bool:
    """Whether what is stored must go through `treatment`. Raises ConfigurationError for another pseudonym key."""
    if not sanitizer.same_key(state):
        raise ConfigurationError(
            "The pseudonyms in this warehouse were made with another key.",
            "Give that key in VAPI_PSEUDONYM_KEY, or begin a new --warehouse: pseudonyms of two keys cannot be joined.",
        )
    return not empty and sanitizer.is_stricter(state.get(STATE))


def looser_note(state: Mapping[str, str], sanitizer: Sanitizer) -> str:
    """What a person should hear of a treatment that became looser; "" if it did not."""
    if STATE not in state or not sanitizer.is_looser(state[STATE]):
        return ""
    return "the personal data policy is looser than it was: what is stored stays as it is, unless it is read again"


def tighten(layout: Layout, sanitizer: Sanitizer, clocks: Clocks, suppression: Suppression) -> int:
    """Write raw/ and everything derived from it again under a stricter treatment; returns the raw files written.

    The ledger is taken over, so nothing is downloaded again. Databases and snapshots of before are removed.
    """
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        recover(index, layout, now=clocks.now, suppression=suppression)
        index.checkpoint()
    written = erase.sanitize_raw(layout, sanitizer)
    erase.from_raw(layout, lambda session_id: False)  # empties torn files
    _derive_again(layout, clocks, suppression)
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        Publisher(index, layout, Staging.begin(layout.staging), clocks.now).publish(force=True)
        current = index.state().get("snapshot")
        faultpoints.reach("tighten.published")
        erase.by_products(layout, [path for path in erase.snapshots(layout) if path.name != current])
        index.record(Changes(state=sanitizer.state))
        note_compared(index, layout, suppression)
        index.checkpoint()
    return written


def _derive_again(layout: Layout, clocks: Clocks, suppression: Suppression) -> None:
    """A new index from raw/ and the old one's ledger, which then takes the old one's place."""
    draft = layout.scratch / "derived.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    with Index(draft, layout.scratch, sleep=clocks.sleep) as index:
        recover(index, layout, now=clocks.now, suppression=suppression)
        adopt.adopt_ledger(index, layout.index)
        index.checkpoint()
    with disk_errors(layout.root):
        put_in_place(layout, draft)


def stricter_note(sanitizer: Sanitizer) -> str:
    """What a person should hear of a treatment that became stricter."""
    return f"policy or redactor became stricter ({level(sanitizer)}): rewriting what is stored"


def level(sanitizer: Sanitizer) -> str:
    """The policy in force, for the person who reads along."""
    policy = sanitizer.policy
    words = {
        PersonalData.KEEP: "kept",
        PersonalData.PSEUDONYMISE: "pseudonymised",
        PersonalData.DROP: "dropped",
    }
    return f"personal data {words[policy.personal]}, message text {policy.text}"
