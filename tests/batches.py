"""Observations, and a warehouse into which they are merged batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from constants import EPOCH, ORG
from vapi_sessions.core.records import Batch
from vapi_sessions.core.timestamps import DAY, MILLISECOND
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.privacy import redaction
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.resolve import Kind, Observation, Resolution, resolve
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.derive import in_order, latest, version
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging


def observation(
    session_id: str,
    seq: int,
    *,
    created: int = EPOCH,
    updated: int | None = None,
    kind: Kind = "seen",
    messages: Sequence[dict[str, Any]] | int = 0,
    requested: int | None = None,
    run_id: str = "run",
    **fields: Any,
) -> Observation:
    """An observation of a session by request number `seq`; higher numbers are later. `fields` are added to its JSON.

    `messages`: a list, or the number of messages to make.
    """
    if isinstance(messages, int):
        messages = [{"role": "user", "content": f"message {number}"} for number in range(messages)]
    updated = created if updated is None else updated
    body = b""
    if kind == "seen":
        document = {
            "id": session_id,
            "orgId": ORG,
            "createdAt": created,
            "updatedAt": updated,
            "messages": list(messages),
            **fields,
        }
        body = json.dumps(document).encode()
    return Observation(
        session_id=session_id,
        org_id=ORG,
        created_at=created,
        updated_at=updated,
        requested_at=EPOCH + 100 * DAY + seq * MILLISECOND if requested is None else requested,
        seq=seq,
        run_id=run_id,
        kind=kind,
        body=body,
        content_hash=redaction.content_hash(body) if body else "",
    )


def seen_first(messages: pa.Table, growth: Mapping[str, Iterable[tuple[int, int]]]) -> pa.Table:
    """Messages with their `first_seen_at`: the earliest time at which their session had enough messages.

    `growth`: session id to times (µs) and numbers of messages.
    """
    places = zip(
        *(messages.column(name).to_pylist() for name in ("session_id", "message_index")), strict=True
    )
    times = [min(at for at, count in growth[session_id] if count > index) for session_id, index in places]
    place = messages.schema.get_field_index("first_seen_at")
    field = messages.schema.field(place)
    return messages.set_column(place, field, pa.array(times, field.type))


class Warehouse:
    """A warehouse without a source: merges batches and publishes. Use as a context manager."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.create()
        self.staging = Staging.begin(self.layout.staging)
        self.index = Index(self.layout.index, self.layout.scratch)

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *exc: object) -> None:
        self.index.__exit__(*exc)

    def merge(self, *observations: Observation, changes: Changes | None = None) -> Resolution:
        """Store and merge one batch of observations."""
        number = self.index.next_batch()
        name = f"{min((o.seq for o in observations), default=0):012d}-{number}.parquet"
        raw.write(self.layout.raw, name, observations, {})
        flat = flatten(in_order(version(o) for o in latest(o for o in observations if o.kind == "seen")))
        known = self.index.known({o.session_id: o.created_at for o in observations})
        resolution = resolve(sightings(observations, {}), known, batch=number)
        batch = Batch(number, name, "run", len(observations), EPOCH)
        self.index.merge(resolution, known, replace(changes or Changes(), batch=batch))
        created = flat.tables["sessions"].column("created_at").cast("int64").to_pylist()
        self.staging.add(number, self.staging.write(f"batch-{number}", flat.tables, created))
        return resolution

    def publish(self, *, force: bool = False) -> bool:
        """Publish everything merged; returns whether data files were written."""
        return Publisher(self.index, self.layout, self.staging, lambda: EPOCH + 200 * DAY).publish(
            force=force
        )

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables of the index, sorted."""
        names = self.index.rows(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables ORDER BY 1"
        )
        return {name: sorted(self.index.rows(f"FROM {name}"), key=repr) for (name,) in names}
