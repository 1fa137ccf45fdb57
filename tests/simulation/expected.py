"""The expected tables, derived from `raw/` by simple rules instead of the engine's merge and flatten.

`raw/` holds observations. The newest one by (updatedAt, request) is the state of a session. A message was first seen at the
earliest `updatedAt` of an observation with that many messages. A tombstone counts until the session is observed again.
Sessions with odd fields go through the engine's flatten.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from vapi_sessions import schema
from vapi_sessions.core.timestamps import from_datetime, parse
from vapi_sessions.privacy import redaction
from vapi_sessions.transform.flatten import Version, flatten, message_count

Row = dict[str, Any]
#: Table name to key to row; times in µs, JSON decoded.
Tables = dict[str, dict[tuple[Any, ...], Row]]

_DAY_SECONDS: Final = 86_400
_TIMES: Final = {t.name: {c.name for c in t.columns if c.type == "TIMESTAMPTZ"} for t in schema.TABLES}
_JSON: Final = {t.name: {c.name for c in t.columns if c.type == "JSON"} for t in schema.TABLES}


@dataclass(slots=True)
class History:
    """All observations and tombstones of one session in raw/, in order of request."""

    seen: list[Row]
    tombstones: list[Row]

    @property
    def newest(self) -> Row:
        """The observation that wins."""
        return max(self.seen, key=lambda o: (o["updated_at"], o["seq"]))

    @property
    def tombstone(self) -> Row | None:
        """The newest tombstone, unless the session was observed after it."""
        newest = max(self.tombstones, key=lambda o: o["seq"], default=None)
        return newest if newest is not None and newest["seq"] > max(o["seq"] for o in self.seen) else None


class Files:
    """The raw files of one warehouse. Each is read once, because none ever changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[tuple[str, int], list[Row]] = {}

    def histories(self, names: Collection[str] | None = None) -> dict[str, History]:
        """Session id to history, from the files of these names (None: all files)."""
        found: dict[str, History] = defaultdict(lambda: History([], []))
        for path in self._directory.glob("*.parquet"):
            if names is not None and path.name not in names:
                continue
            for row in self._rows(path):
                history = found[row["session_id"]]
                (history.seen if row["kind"] == "seen" else history.tombstones).append(row)
        for history in found.values():
            history.seen.sort(key=lambda o: o["seq"])
        # A session that could never be read can still have a tombstone.
        return {session_id: history for session_id, history in found.items() if history.seen}

    def _rows(self, path: Path) -> list[Row]:
        version = path.name, path.stat().st_mtime_ns
        if version not in self._read:
            rows = [row for row in pq.read_table(path).to_pylist() if row["kind"] != "unreadable"]
            for row in rows:  # unreadable sessions are kept aside, and no table has rows of them
                for name in ("created_at", "updated_at", "requested_at"):
                    row[name] = from_datetime(row[name])
                if row["kind"] == "seen":
                    row["messages"] = message_count(row["body"].encode())
            self._read[version] = rows
        return self._read[version]


def tables(histories: dict[str, History], odd: set[str]) -> Tables:
    """Every row of the five tables. `odd`: ids of the sessions that the rules here do not cover."""
    result: Tables = {table.name: {} for table in schema.TABLES}
    flattened = _flattened([histories[session_id] for session_id in odd])
    for session_id, history in histories.items():
        rows = flattened[session_id] if session_id in odd else _plain(history)
        tombstone = history.tombstone
        for session in rows["sessions"]:
            session["deleted_at"] = session["aged_out_at"] = None
            if tombstone is not None:
                session[f"{tombstone['kind']}_at"] = tombstone["requested_at"]
        for table in schema.TABLES:
            names = [column.name for column in table.columns]
            for row in rows[table.name]:
                whole = {name: row.get(name) for name in names}
                result[table.name][tuple(whole[key] for key in table.key)] = whole
    return result


def first_seen(history: History, index: int) -> int:
    """The earliest `updatedAt` of an observation with more messages than `index`."""
    return min(o["updated_at"] for o in history.seen if o["messages"] > index)


def _flattened(histories: Sequence[History]) -> dict[str, dict[str, list[Row]]]:
    """Rows from the engine's own flatten, of all histories at once, which is fastest."""
    result = {h.newest["session_id"]: {t.name: list[Row]() for t in schema.TABLES} for h in histories}
    by_id = {h.newest["session_id"]: h for h in histories}
    versions = [
        Version(
            session_id=newest["session_id"],
            org_id=newest["org_id"],
            created_at=newest["created_at"],
            updated_at=newest["updated_at"],
            requested_at=newest["requested_at"],
            seq=newest["seq"],
            content_hash=redaction.content_hash(newest["body"].encode()),
            body=newest["body"].encode(),
        )
        for history in histories
        for newest in [history.newest]
    ]
    for name, table in flatten(versions).tables.items():
        for row in table.to_pylist():
            for column in _TIMES[name]:
                row[column] = from_datetime(row[column]) if row[column] is not None else None
            for column in _JSON[name]:
                row[column] = json.loads(row[column]) if row[column] is not None else None
            if name == "sessions":
                row["first_synced_at"] = min(o["requested_at"] for o in by_id[row["session_id"]].seen)
            if name == "messages":
                row["first_seen_at"] = first_seen(by_id[row["session_id"]], row["message_index"])
            result[row["session_id"]][name].append(row)
    return result


def _plain(history: History) -> dict[str, list[Row]]:
    newest = history.newest
    body = json.loads(newest["body"])
    own = {"session_id": newest["session_id"], "session_created_at": newest["created_at"]}
    messages = body.get("messages") or []
    costs = body.get("costs") or []
    customer = body.get("customer") or {}
    model = next((cost["model"] for cost in costs if "model" in cost), {})
    calls = [
        (index, position, call)
        for index, message in enumerate(messages)
        for position, call in enumerate(message.get("tool_calls", ()))
    ]
    answers = {m["tool_call_id"]: (i, m["content"]) for i, m in enumerate(messages) if "tool_call_id" in m}
    outputs = (body.get("artifact") or {}).get("structuredOutputs") or {}
    session = {
        "session_id": body["id"],
        "org_id": body["orgId"],
        "name": body.get("name"),
        "status": body["status"],
        "created_at": parse(body["createdAt"]),
        "updated_at": parse(body["updatedAt"]),
        "expiration_seconds": body.get("expirationSeconds"),
        "expires_at": newest["created_at"] + body.get("expirationSeconds", _DAY_SECONDS) * 1_000_000,
        "assistant_id": body.get("assistantId"),
        "model_provider": model.get("provider"),
        "model_name": model.get("model"),
        "customer_name": customer.get("name"),
        "customer_number": customer.get("number"),
        "cost_usd": body.get("cost"),
        "message_count": len(messages),
        "user_message_count": sum(m["role"] == "user" for m in messages),
        "assistant_message_count": sum(m["role"] == "assistant" for m in messages),
        "tool_call_count": len(calls),
        "artifact": body.get("artifact"),
        "metadata": body.get("metadata"),
        "extra": {"endedReason": body["endedReason"]} if "endedReason" in body else None,
        "content_hash": redaction.content_hash(newest["body"].encode()),
        "first_synced_at": min(o["requested_at"] for o in history.seen),
        "synced_at": newest["requested_at"],
    }
    return {
        "sessions": [session],
        "messages": [
            {
                **own,
                "message_index": index,
                "role": message["role"],
                "content": message.get("content"),
                "tool_call_id": message.get("tool_call_id"),
                "tool_call_count": len(message.get("tool_calls", ())),
                "first_seen_at": first_seen(history, index),
            }
            for index, message in enumerate(messages)
        ],
        "tool_calls": [
            {
                **own,
                "message_index": index,
                "tool_call_index": position,
                "tool_call_id": call["id"],
                "type": call["type"],
                "function_name": call["function"]["name"],
                "arguments": call["function"]["arguments"],
                "result": answers[call["id"]][1] if call["id"] in answers else None,
                "result_message_index": answers[call["id"]][0] if call["id"] in answers else None,
            }
            for index, position, call in calls
        ],
        "costs": [
            {
                **own,
                "cost_index": index,
                "type": cost["type"],
                "model_provider": cost.get("model", {}).get("provider"),
                "model_name": cost.get("model", {}).get("model"),
                "prompt_tokens": cost.get("promptTokens"),
                "completion_tokens": cost.get("completionTokens"),
                "cost_usd": cost["cost"],
            }
            for index, cost in enumerate(costs)
        ],
        "structured_outputs": [
            {**own, "structured_output_id": key, "name": output["name"], "result": output["result"]}
            for key, output in outputs.items()
        ],
    }
