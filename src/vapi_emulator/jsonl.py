"""Loading sessions from a JSON Lines file.

A line with both `id` and `createdAt` is a whole session. Of any other line, `messages` becomes a session, a few minutes
after the previous one, and the other fields go into its `metadata`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vapi_emulator import EmulatorError
from vapi_emulator.conversations import set_costs
from vapi_emulator.store import Store
from vapi_emulator.stored import Session, StoredSession, decode, make_row
from vapi_emulator.talk import fixed_id, new_id
from vapi_emulator.times import SECOND_US, iso_ms, parse_iso

_APART_US: Final = 300 * SECOND_US
_BATCH: Final = 500


def load(store: Store, path: Path, org_id: str, *, until_us: int | None = None, seed: int = 1) -> int:
    """Store the sessions of a file, one transaction per batch; returns their number.

    Conversations without times end at `until_us` (default: now). Nothing is stored if any line is bad.
    """
    lines = _read(path)
    now = store.now_us() if until_us is None else until_us
    rng = random.Random(f"load/{seed}")
    rows: list[StoredSession] = []
    ids: set[str] = set()
    for number, value in lines:
        created = now - (len(lines) - len(rows)) * _APART_US
        try:
            row = _row(value, org_id, created, rng)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _bad_line(path, number, str(error)) from error
        if row.id in ids or store.get(org_id, row.id) is not None:
            raise _bad_line(path, number, f"a session with the id {row.id} already exists")
        ids.add(row.id)
        rows.append(row)
    return sum(store.insert_many(rows[first : first + _BATCH]) for first in range(0, len(rows), _BATCH))


def _read(path: Path) -> list[tuple[int, Any]]:
    try:
        return list(_values(path))
    except OSError as error:
        raise EmulatorError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, decode(line)
                except ValueError:
                    raise _bad_line(path, number, "it is not JSON") from None


def _bad_line(path: Path, number: int, reason: str) -> EmulatorError:
    return EmulatorError(
        f"Line {number} of {path} cannot be loaded: {reason}.",
        'Each line is a JSON object: a whole session, or {"messages": [...]}.',
    )


def _row(value: Any, org_id: str, created_us: int, rng: random.Random) -> StoredSession:
    if not isinstance(value, dict):
        raise TypeError("it is not a JSON object")
    messages = value.get("messages")
    if messages is not None and not (
        isinstance(messages, list) and all(isinstance(m, dict) for m in messages)
    ):
        raise TypeError("its messages are not an array of objects")
    if "id" in value and "createdAt" in value:
        created = parse_iso(value["createdAt"])
        updated = parse_iso(value["updatedAt"]) if "updatedAt" in value else created
        return make_row({**value, "orgId": org_id}, created, updated)
    if messages is None:
        raise ValueError("it has no messages")
    session: Session = {
        "id": new_id(rng),
        "orgId": org_id,
        "status": "completed",
        "expirationSeconds": 86_400,
        "assistantId": fixed_id(org_id, "assistant", 0),
        "messages": messages,
    }
    if others := {key: other for key, other in value.items() if key != "messages"}:
        session["metadata"] = others
    set_costs(rng, session, oddities=False)
    ended = created_us + min(len(messages) * 7 * SECOND_US, _APART_US - SECOND_US)
    session["artifact"] = {"structuredOutputsLastUpdatedAt": iso_ms(ended)}
    return make_row(session, created_us, ended, (ended - created_us) / SECOND_US)
