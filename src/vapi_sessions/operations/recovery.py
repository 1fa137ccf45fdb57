"""Merges raw files that the ledger does not know: after a crash nothing is downloaded again; into an empty index it is a rebuild."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vapi_sessions.core.records import Batch
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations.coordinator import decode_progress
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.transform.resolve import Observation, Sighting, Unreadable, resolve, set_aside
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `recover` did: files merged, the names of the torn ones that were put aside, and the sessions that were passed over
    because they were forgotten.
    """

    merged: int = 0
    torn: tuple[str, ...] = ()
    forgotten: frozenset[str] = frozenset()

    @property
    def warning(self) -> str:
        """What a person should hear of the torn files; "" if there were none."""
        if not self.torn:
            return ""
        names = ", ".join(self.torn[:3]) + (", …" if len(self.torn) > 3 else "")
        return (
            f"{len(self.torn)} raw file(s) are torn and were put aside ({names}): "
            "what they held is read from the source again, as far as it is still listed"
        )


def recover(
    index: Index,
    layout: Layout,
    *,
    now: Callable[[], int],
    suppression: Suppression | None = None,
    among: Container[str] | None = None,
) -> Recovery:
    """Merge raw files that the ledger does not know, of these names if they are given, with the progress their footers carry.
    Their rows are derived at the next publication.

    Torn
    files are put aside. What was written after a torn file may claim a window of which that file held a part, so
    such claims do not count, and the next sync reads these windows again; nor does any claim if it cannot be told when
    the torn file was written. `suppression`: the list, if it is open already. Raises WarehouseError.
    """
    raw.remove_unfinished(layout.raw)
    merged = index.merged_files()
    if suppression is None:
        suppression = Suppression.open(layout)
    forgotten = set[str]()  # a file from a copy may hold it
    pending: list[tuple[int, Path]] = []
    torn: list[Path] = []
    for path in raw.files(layout.raw):
        if path.name not in merged and (among is None or path.name in among):
            try:
                pending.append((raw.first_request(path), path))
            except WarehouseDamagedError:
                torn.append(path)
    aside = index.unreadable()
    done = 0
    doubtful = bool(torn) or (not merged and raw.any_put_aside(layout.raw))
    for _, path in sorted(pending):  # they may have been renamed, but later facts must replace earlier ones
        try:
            progress = raw.read_progress(path)
            observations = list[Observation | Unreadable]()
            for part in raw.read(path):
                admitted = _admitted(part, suppression)
                forgotten |= {o.session_id for o in part} - {o.session_id for o in admitted}
                observations += admitted
        except WarehouseDamagedError:
            torn.append(path)
            doubtful = True
            continue
        seen = sightings(observations, {})
        known = index.known({one.session_id: one.created_at for one in seen if isinstance(one, Sighting)})
        batch = Batch(
            index.next_batch(),
            path.name,
            observations[0].run_id if observations else "",
            len(observations),
            now(),
        )
        resolution = resolve(seen, known, aside, batch=batch.number)
        set_aside(aside, resolution)
        changes = decode_progress(progress, batch)
        above = 1 + max((o.seq for o in observations), default=-1)  # whatever the footer says
        if above > int(changes.state.get("next_seq", "0")):
            changes = replace(changes, state={**changes.state, "next_seq": str(above)})
        if doubtful:
            changes = Changes(changes.org_id, unsettled=changes.unsettled, batch=batch, state=changes.state)
        index.merge(resolution, known, changes)
        done += 1
    # Last: as long as it lies there, a recovery that is itself interrupted knows that claims are doubtful.
    return Recovery(done, tuple(raw.put_aside(path).name for path in torn), frozenset(forgotten))


def _admitted(
    part: Sequence[Observation | Unreadable], suppression: Suppression
) -> list[Observation | Unreadable]:
    readable = [o for o in part if isinstance(o, Observation)]
    odd = [o for o in part if isinstance(o, Unreadable) and not suppression.excludes(o.session_id, o.body)]
    return [*suppression.admit(readable), *odd]
