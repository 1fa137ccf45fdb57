"""Derives rows again from `raw/`: for batches that this run has not staged, and for published files that were lost or damaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.transform.flatten import Version, flatten
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.staging import StagedBatch, Staging


def derive(
    staging: Staging,
    directory: Path,
    files: Mapping[int, str],
    wanted: Mapping[int, Mapping[str, int]],
    drift: set[str],
) -> tuple[dict[int, StagedBatch], list[str]]:
    """Stage the rows of versions. `wanted`: for each batch the sessions, with the number of the request that read the version;
    `files`: the name of each batch's file in the directory; `drift` gets the fields without a column.

    Returns the staged rows of each batch, and the sessions that are not in `raw/`. Raises WarehouseError.
    """
    staged: dict[int, StagedBatch] = {}
    missing: list[str] = []
    for batch, sessions in wanted.items():
        found = _versions(directory / files[batch], sessions) if files.get(batch) else {}
        missing += sessions.keys() - found.keys()
        if found:
            versions = in_order(found.values())
            created = [one.created_at for one in versions]
            flat = flatten(versions)
            drift.update(flat.drift)
            staged[batch] = staging.write(f"derived-{batch:012d}", flat.tables, created)
    return staged, missing


def _versions(path: Path, sessions: Mapping[str, int]) -> dict[str, Version]:
    found: dict[str, Version] = {}
    if not path.is_file():
        return found
    try:
        for observations in raw.read(path):
            for one in observations:
                if (
                    isinstance(one, Observation)
                    and one.kind == "seen"
                    and sessions.get(one.session_id) == one.seq
                ):
                    found[one.session_id] = version(one)
    except WarehouseDamagedError:  # use the rows before the damage
        pass
    return found


def in_order(versions: Iterable[Version]) -> list[Version]:
    """The order of the sessions in a staged batch."""
    return sorted(versions, key=lambda version: version.created_at)


def version(one: Observation) -> Version:
    """An observation as input for `flatten`."""
    return Version(
        session_id=one.session_id,
        org_id=one.org_id,
        created_at=one.created_at,
        updated_at=one.updated_at,
        requested_at=one.requested_at,
        seq=one.seq,
        content_hash=one.content_hash,
        body=one.body,
    )


def latest(observations: Iterable[Observation]) -> list[Observation]:
    """The newest observation of each session, by (updatedAt, request number). Only this one can win."""
    found: dict[str, Observation] = {}
    for one in observations:
        before = found.get(one.session_id)
        if before is None or (one.updated_at, one.seq) > (before.updated_at, before.seq):
            found[one.session_id] = one
    return list(found.values())
