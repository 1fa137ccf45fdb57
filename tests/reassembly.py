"""Puts a session's JSON together again from its rows, to show that nothing is lost."""

from __future__ import annotations

import json
import re
from typing import Any

from sample_sessions import CREATED, UPDATED, rows
from vapi_sessions.core.json_text import MARK
from vapi_sessions.transform.flatten import Flat
from vapi_sessions.transform.messages import usual_keys

#: Members of an `extra` that `decoders` adds.
ADDED = {"$value", "$keys", "$normalised", "$unreadable"}


def extra_of(text: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The source's members in an `extra`, and those that `decoders` adds."""
    members: dict[str, Any] = {}
    added: dict[str, Any] = {}
    for key, value in json.loads(text or "{}").items():
        suffix = re.search(r"(\$+)json\Z", key)
        if key in ADDED or (suffix and len(suffix[1]) % 2):
            added[key] = value
        else:
            members[key.replace("$$", "$")] = value
    return members, added


def present(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}


def loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def whole(columns: dict[str, Any], extra: str | None) -> Any:
    """An object from its columns and its `extra`."""
    members, added = extra_of(extra)
    return added["$value"] if "$value" in added else present(columns) | members


def nested(columns: dict[str, Any], extra: dict[str, Any], name: str) -> None:
    """Puts an object together from its columns and its other members in extra[name], and replaces these by it."""
    others = extra.get(name)
    if others is None or isinstance(others, dict):
        value = whole(columns, json.dumps(others or {}))
        extra.pop(name, None)
        if value:
            extra[name] = value


def reassemble(flat: Flat, session_id: str = "s1") -> dict[str, Any]:
    """The session's JSON from its rows."""
    tables = {name: [r for r in rows(flat, name) if r["session_id"] == session_id] for name in flat.tables}
    (s,) = tables["sessions"]
    calls: dict[int, list[Any]] = {}
    for r in sorted(tables["tool_calls"], key=lambda r: r["tool_call_index"]):
        calls.setdefault(r["message_index"], []).append(tool_call(r))
    columns = {
        "id": s["session_id"], "orgId": s["org_id"], "createdAt": CREATED, "updatedAt": UPDATED, "name": s["name"],
        "status": s["status"], "expirationSeconds": s["expiration_seconds"], "assistantId": s["assistant_id"],
        "squadId": s["squad_id"], "customerId": s["customer_id"], "phoneNumberId": s["phone_number_id"],
        "cost": s["cost_usd"], "artifact": loaded(s["artifact"]), "metadata": loaded(s["metadata"]),
    }  # fmt: skip
    messages = sorted(tables["messages"], key=lambda r: r["message_index"])
    columns["messages"] = [message(r, calls.get(r["message_index"])) for r in messages] or None
    columns["costs"] = [cost(r) for r in sorted(tables["costs"], key=lambda r: r["cost_index"])] or None
    members, added = extra_of(s["extra"])
    members |= {name: added[name] for name in added if name == MARK}
    customer = {
        "name": s["customer_name"], "number": s["customer_number"], "email": s["customer_email"],
        "sipUri": s["customer_sip_uri"], "externalId": s["customer_external_id"],
    }  # fmt: skip
    nested(customer, members, "customer")
    return present(columns) | members


def message(r: dict[str, Any], calls: list[Any] | None) -> Any:
    _, added = extra_of(r["extra"])
    times = (r["sent_at"], r["ended_at"], r["seconds_from_start"], r["duration_seconds"])
    spoken = any(value is not None for value in times)
    content = r["content"] if r["content_json"] is None else json.loads(r["content_json"])
    has = (
        r["content"] is not None,
        r["content_json"] is not None,
        r["tool_call_id"] is not None,
        bool(calls),
    )
    values = {
        "content": content, "message": r["content"], "tool_call_id": r["tool_call_id"], "toolCallId": r["tool_call_id"],
        "tool_calls": calls, "toolCalls": calls,
    }  # fmt: skip
    columns = {key: values[key] for key in added.get("$keys", usual_keys(spoken, *has))}
    columns |= {
        "role": r["role"], "name": r["name"], "refusal": r["refusal"], "metadata": loaded(r["metadata"]),
        "time": r["sent_at"] if r["sent_at"] is None else r["sent_at"] / 1000,
        "endTime": r["ended_at"] if r["ended_at"] is None else r["ended_at"] / 1000,
        "secondsFromStart": r["seconds_from_start"], "duration": r["duration_seconds"], "confidence": r["confidence"],
    }  # fmt: skip
    return whole(columns, r["extra"])


def tool_call(r: dict[str, Any]) -> Any:
    members, added = extra_of(r["extra"])
    if "$value" in added:
        return whole({}, r["extra"])
    arguments = r["arguments"]
    if isinstance(members.get("function"), dict) and members["function"].get("arguments$json") is True:
        del members["function"]["arguments$json"]
        arguments = json.loads(arguments)
    nested({"name": r["function_name"], "arguments": arguments}, members, "function")
    return present({"id": r["tool_call_id"], "type": r["type"]}) | members


def cost(r: dict[str, Any]) -> Any:
    members, added = extra_of(r["extra"])
    if "$value" in added:
        return whole({}, r["extra"])
    nested({"provider": r["model_provider"], "model": r["model_name"]}, members, "model")
    columns = {
        "type": r["type"], "analysisType": r["analysis_type"], "promptTokens": r["prompt_tokens"],
        "completionTokens": r["completion_tokens"], "cachedPromptTokens": r["cached_prompt_tokens"],
        "reasoningTokens": r["reasoning_tokens"], "seconds": r["billed_seconds"], "usageComplete": r["usage_complete"],
        "cost": r["cost_usd"],
    }  # fmt: skip
    return present(columns) | members


#: Stored in raw only.
RAW_ONLY = ("assistant", "assistantOverrides", "squad", "phoneNumber")
EMPTY: dict[str, Any] = {"messages": [], "costs": [], "customer": {}, "model": {}, "function": {}}


def plain(value: Any, *apart: str) -> Any:
    """An object without nulls, and without the members in `apart` that are empty."""
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if v is not None and not (k in apart and v == EMPTY[k])}


def promised(body: dict[str, Any]) -> dict[str, Any]:
    """What the rows keep of a session's JSON: everything except null and empty members, and members that are stored in raw only."""
    kept = {k: v for k, v in body.items() if k not in RAW_ONLY}
    if isinstance(kept.get("customer"), dict):
        kept["customer"] = plain(
            {k: v for k, v in kept["customer"].items() if k not in ("assistantOverrides", "squadOverrides")}
        )
    if isinstance(kept.get("messages"), list):
        kept["messages"] = [promised_message(m) for m in kept["messages"]]
    if isinstance(kept.get("costs"), list):
        kept["costs"] = [inner(c, "model") for c in kept["costs"]]
    return plain(kept, "messages", "costs", "customer")


def inner(value: Any, name: str) -> Any:
    if isinstance(value, dict) and isinstance(value.get(name), dict):
        value = value | {name: plain(value[name])}
    return plain(value, name)


def promised_message(value: Any) -> Any:
    if isinstance(value, dict):
        value = {
            k: [inner(c, "function") for c in v]
            if k in ("tool_calls", "toolCalls") and isinstance(v, list)
            else v
            for k, v in value.items()
            if not (k in ("tool_calls", "toolCalls") and v == [])
        }
    return plain(value)
