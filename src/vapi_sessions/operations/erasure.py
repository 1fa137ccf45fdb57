"""Erasing forgotten sessions from every file of the warehouse.

An erasure begins with a durable record (the suppression list says `pending`), can be repeated, and ends by removing that record.
So the next writer completes an interrupted one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import make_private, replace_derived, sync_directory, sync_file
from vapi_sessions.operations.progress import Progress
from vapi_sessions.operations.recovery import recover
from vapi_sessions.source.environment import Clocks
from vapi_sessions.warehouse import erase
from vapi_sessions.warehouse.customers import CUSTOMER_COLUMNS
from vapi_sessions.warehouse.database import copy_alive
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression


@dataclass(frozen=True, slots=True)
class Erased:
    """The outcome of an erasure. `files`: removed by-products, beside the snapshots."""

    sessions: int
    observations: int
    snapshots: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


#: The fact in `sync.state` that says which list and which files were last compared.
_COMPARED: Final = "forgotten_compared"


class _Compared(msgspec.Struct):
    """`people`: list entries whose sessions were looked for. `sessions`, `files`: hashes of the listed sessions, and of the files
    that may hold them.
    """

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
    """Whether the warehouse may hold something forgotten, so that `erase_forgotten` is due. For the writer.

    Cheap (a look at the directories) while neither the list nor the files have changed since the last comparison: sessions that
    arrive later are compared when they are read. Otherwise all ids are compared. If the list has customers that this database was
    never compared with, because it was restored from a backup, the customers of all sessions are compared too; the sessions found
    join the list.
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
    record_compared(index, layout, suppression)
    return False


def joined_held(index: Index, suppression: Suppression) -> bool:
    """Whether the database holds a session that joined the list since it was opened: its customer became known later."""
    return bool(suppression.joined) and index.holds_any(suppression.joined)


def record_compared(index: Index, layout: Layout, suppression: Suppression) -> None:
    """Record that no file in the warehouse now holds anything on the list."""
    if not suppression.empty:
        present = msgspec.json.encode(_compared(layout, suppression)).decode()
        index.record(Changes(state={_COMPARED: present}))


def _compared(layout: Layout, suppression: Suppression) -> _Compared:
    with disk_errors(layout.root):
        return _Compared(sorted(suppression.people), suppression.stamp, erase.files_held(layout))


def _held_by_id(index: Index, layout: Layout, suppression: Suppression) -> bool:
    holds = functools.cache(suppression.holds)
    return (
        any(holds(session_id) for session_id in index.session_ids())
        or bool(erase.in_raw(layout, holds))
        or bool(erase.snapshots_with(layout, holds))
        or any(erase.in_database(index, path, holds) for path in erase.put_aside(layout))
    )


def _held_by_customer(
    index: Index, layout: Layout, suppression: Suppression
) -> dict[str, tuple[int, set[str]]]:
    """Sessions whose customer is on the list: id to createdAt (µs) and the names of the entries."""
    found: dict[str, tuple[int, set[str]]] = {}
    for one in erase.bodies(layout):
        if because := suppression.named(one.body):
            _, others = found.get(one.session_id, (0, set()))
            found[one.session_id] = one.created_at or 0, because | others
    # raw/ may not have all sessions. The customer columns were made from their bodies.
    for session_id, created, *values in erase.customers(layout, index.state().get("snapshot")):
        if session_id not in found:
            named = zip(CUSTOMER_COLUMNS, values, strict=True)
            because = suppression.people_among((kind, value) for kind, value in named if value)
            if because:
                found[session_id] = created, because
    return found


def erase_forgotten(
    layout: Layout,
    suppression: Suppression,
    clocks: Clocks,
    progress: Progress,
) -> Erased:
    """Erase every session on the suppression list from every file, then mark the list as done.

    raw/ first: while the database holds a session, an interrupted erasure can still tell that it has to go.
    """
    holds = functools.cache(suppression.holds)
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
        staging = Staging.begin(layout.staging)
        publisher = Publisher(index, layout, staging, clocks.now, progress.say, progress.warn)
        publisher.publish()
        stale = erase.snapshots_with(layout, holds)
        if any(
            path.name == index.state().get("snapshot") for path in stale
        ):  # a copy was restored, and the index sees no change
            publisher.publish(force=True)
        index.checkpoint()
        faultpoints.reach("erase.published")
        removed = erase.by_products(layout, stale)
        record_compared(index, layout, suppression)
        index.checkpoint()
    suppression.complete()
    gone = {str(path.relative_to(layout.root)) for path in stale}
    return Erased(
        sessions, observations, tuple(sorted(gone)), tuple(name for name in removed if name not in gone)
    )


def _copy_index(layout: Layout) -> None:
    """Replace the index by a copy, which has no byte of the deleted rows."""
    draft = layout.scratch / "copied.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    copy_alive(layout.index, draft)
    with disk_errors(layout.root):
        put_in_place(layout, draft)


def put_in_place(layout: Layout, draft: Path) -> None:
    """Make a closed database the index, durably. Raises OSError."""
    make_private(draft)
    sync_file(draft)
    faultpoints.reach("index.drafted")
    log = layout.index.with_name(layout.index.name + ".wal")  # the old index's: folded in, or given up
    log.unlink(missing_ok=True)
    replace_derived(draft, layout.index)
    sync_directory(layout.root)
    faultpoints.reach("index.swapped")
