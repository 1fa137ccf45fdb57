"""Merges raw files that the ledger does not know. After a crash nothing is downloaded again; with an empty index it is a rebuild."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vapi_sessions.core.records import Batch
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations.footer import decode_progress
from vapi_sessions.operations.progress import Progress
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.transform.resolve import Observation, Sighting, Unreadable, resolve, set_aside
from vapi_sessions.warehouse import raw, raw_merging
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression


@dataclass(frozen=True, slots=True)
class Recovery:
    """The outcome of `recover`. `merged`: number of files. `torn`: names of torn files, which were put aside. `forgotten`: sessions
    that were skipped because they are on the suppression list.
    """

    merged: int = 0
    torn: tuple[str, ...] = ()
    forgotten: frozenset[str] = frozenset()

    @property
    def warning(self) -> str:
        """A message about the torn files; "" if there were none."""
        if not self.torn:
            return ""
        names = ", ".join(self.torn[:3]) + (", …" if len(self.torn) > 3 else "")
        one = len(self.torn) == 1
        return (
            f"{counted(len(self.torn), 'raw file')} {'is torn and was' if one else 'are torn and were'} put aside ({names}): "
            "sessions that the source still lists are read again"
        )


def recover(
    index: Index,
    layout: Layout,
    *,
    now: Callable[[], int],
    suppression: Suppression | None = None,
    among: Container[str] | None = None,
    progress: Progress | None = None,
) -> Recovery:
    """Merge raw files that the ledger does not know (`among` these names, if given), with the progress in their footers.

    Their rows are derived at the next publication. Torn files are put aside. A file written after a torn one may claim a window of
    which the torn file held a part, so its claims do not count, and the next sync reads these windows again. If it is unknown when
    a torn file was written, no claim counts. `suppression`: the list, if it is open already. `progress`: shows how much is read.
    Raises WarehouseError.
    """
    raw.remove_unfinished(layout.raw)
    merged = index.merged_files()
    files = raw.files(layout.raw)
    unknown = {path.name for path in files} - merged
    replaced = raw_merging.replaced(files, unknown) if unknown else {}
    if suppression is None:
        suppression = Suppression.open(layout)
    forgotten = set[str]()  # a restored file may hold forgotten sessions
    pending: list[tuple[int, Path]] = []
    torn: list[Path] = []
    for path in files:
        if path.name in unknown and path.name not in replaced and (among is None or path.name in among):
            try:
                pending.append((raw.first_request(path), path))
            except WarehouseDamagedError:
                torn.append(path)
    aside = index.unreadable()
    done = 0
    early: list[Sighting] = []  # tombstones whose session has not been merged yet
    if progress is not None:
        progress.planned(0, sum(raw.observations(path) for _, path in pending))
    doubtful = bool(torn) or (not merged and raw.any_put_aside(layout.raw))
    for _, path in sorted(
        pending
    ):  # in the order of requests, however files are named: later facts replace earlier
        try:
            claimed = raw.read_progress(path)
            observations = list[Observation | Unreadable]()
            for part in raw.read(path):
                admitted = _admitted(part, suppression)
                forgotten |= {o.session_id for o in part} - {o.session_id for o in admitted}
                observations += admitted
                if progress is not None:
                    progress.read(len(part))
        except WarehouseDamagedError:
            torn.append(path)
            doubtful = True
            continue
        seen = sightings(observations, {})
        known = index.known({one.session_id: one.created_at for one in seen if isinstance(one, Sighting)})
        early += _early(seen, known)
        batch = Batch(
            index.next_batch(),
            path.name,
            observations[-1].run_id if observations else "",
            len(observations),
            now(),
            tuple(claimed.get(raw_merging.REPLACES, ())),
        )
        resolution = resolve(seen, known, aside, batch=batch.number)
        set_aside(aside, resolution)
        changes = decode_progress(claimed, batch)
        above = 1 + max((o.seq for o in observations), default=-1)  # even if the footer says less
        if above > int(changes.state.get("next_seq", "0")):
            changes = replace(changes, state={**changes.state, "next_seq": str(above)})
        if doubtful:
            changes = Changes(changes.org_id, unsettled=changes.unsettled, batch=batch, state=changes.state)
        index.merge(resolution, known, changes)
        done += 1
    _merge_early(index, early)
    # Last: while a torn file is there, an interrupted recovery that is repeated knows that claims are doubtful.
    return Recovery(done, tuple(raw.put_aside(path).name for path in torn), frozenset(forgotten))


def _early(seen: Sequence[Sighting | Unreadable], known: Container[str]) -> list[Sighting]:
    """The tombstones of sessions that are neither known nor in the same file. A merged file covers a long time."""
    readable = [one for one in seen if isinstance(one, Sighting)]
    there = {one.session_id for one in readable if one.kind == "seen"}
    return [
        one
        for one in readable
        if one.kind != "seen" and one.session_id not in there and one.session_id not in known
    ]


def _merge_early(index: Index, early: Sequence[Sighting]) -> None:
    """Merge tombstones again when all sessions are there."""
    known = index.known({one.session_id: one.created_at for one in early})
    found = [one for one in early if one.session_id in known]
    if found:
        index.merge(resolve(found, known, batch=0), known, Changes())


def _admitted(
    part: Sequence[Observation | Unreadable], suppression: Suppression
) -> list[Observation | Unreadable]:
    readable = [o for o in part if isinstance(o, Observation)]
    odd = [o for o in part if isinstance(o, Unreadable) and not suppression.excludes(o.session_id, o.body)]
    return [*suppression.admit(readable), *odd]
