"""One session of any shape to rows: slow, and loses nothing. `flatten` sends here what does not look ordinary.

What a row cannot hold goes to its `extra`; `flatten_reader` says how. Rows are tuples in the order of the names below;
`flatten` adds the columns that come from elsewhere (the session's id and times, positions, first_seen_at).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from vapi_sessions.flatten_reader import MAX_TIME, MIN_TIME, Drift, Extra, Reader
from vapi_sessions.json_text import approximate, decode, members, peek, quote, string, utf8
from vapi_sessions.timestamps import parse

T = TypeVar("T")
Row = tuple[Any, ...]

#: The contract's default for `expirationSeconds`.
DEFAULT_EXPIRATION: Final = 86_400

KNOWN_ROLES: Final = frozenset(
    {"system", "user", "assistant", "bot", "tool", "developer", "tool_calls", "tool_call_result", "function"}
)
RESULT_ROLES: Final = frozenset({"tool", "tool_call_result", "function"})
ASSISTANT_ROLES: Final = frozenset({"assistant", "bot"})
KNOWN_COST_TYPES: Final = frozenset({"model", "analysis", "session"})
_RAW_ONLY: Final = ("assistant", "assistantOverrides", "squad", "phoneNumber")

SESSION_COLUMNS: Final = (
    "name", "status", "expiration_seconds", "expires_at", "assistant_id", "assistant_name", "squad_id", "squad_name",
    "model_provider", "model_name", "customer_id", "customer_name", "customer_number", "customer_email",
    "customer_sip_uri", "customer_external_id", "phone_number_id", "cost_usd", "artifact", "metadata", "extra",
)  # fmt: skip
MESSAGE_COLUMNS: Final = (
    "role", "content", "content_json", "name", "tool_call_id", "refusal", "sent_at", "ended_at", "seconds_from_start",
    "duration_seconds", "confidence", "tool_call_count", "metadata", "extra",
)  # fmt: skip
TOOL_CALL_COLUMNS: Final = (
    "message_index", "tool_call_index", "tool_call_id", "type", "function_name", "arguments", "result",
    "result_message_index", "extra",
)  # fmt: skip
COST_COLUMNS: Final = (
    "cost_index", "type", "analysis_type", "model_provider", "model_name", "prompt_tokens", "completion_tokens",
    "cached_prompt_tokens", "reasoning_tokens", "billed_seconds", "usage_complete", "cost_usd", "extra",
)  # fmt: skip
OUTPUT_COLUMNS: Final = ("structured_output_id", "name", "result")


@dataclass(slots=True)
class Rows:
    """What one session becomes."""

    session: Row
    messages: list[Row] = field(default_factory=list)
    tool_calls: list[Row] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)
    outputs: list[Row] = field(default_factory=list)


def session_rows(
    session_id: str, org_id: str, created_at: int, updated_at: int, body: bytes, drift: Drift
) -> Rows:
    """One session's rows. Whatever the body is, there is a row for it."""
    try:
        return _session(session_id, org_id, created_at, updated_at, body.decode(), drift)
    except RecursionError:
        why = "nested too deeply"
    except (ValueError, msgspec.DecodeError):
        why = "not JSON"
    drift.add("session.", "$unreadable")
    extra = Extra()
    extra.mark("$unreadable", quote(why))
    blank = dict.fromkeys(SESSION_COLUMNS)
    return Rows(
        tuple(
            (blank | {"expires_at": expiry(created_at, DEFAULT_EXPIRATION), "extra": extra.text()}).values()
        )
    )


def _session(session_id: str, org_id: str, created_at: int, updated_at: int, text: str, drift: Drift) -> Rows:
    reader = Reader(text.strip(" \t\r\n"), "session.", drift)
    # What the version says already: kept only if the body says otherwise.
    for name, same in (
        ("id", lambda value: value == session_id),
        ("orgId", lambda value: value == org_id),
        ("createdAt", lambda value: moment(value) == created_at),
        ("updatedAt", lambda value: moment(value) == updated_at),
    ):
        raw = reader.take(name)
        if raw is not None and not (raw[0] == '"' and same(string(raw))):
            reader.keep(name, raw)
    embedded = reader.drop("assistant", "assistantOverrides", "squad", "phoneNumber")
    messages, calls = message_rows(reader.array("messages") or [], drift)
    costs = cost_rows(reader.array("costs") or [], drift)
    given = "expirationSeconds" in reader
    seconds = reader.integer("expirationSeconds")
    expires = expiry(created_at, seconds if given else DEFAULT_EXPIRATION)
    artifact = reader.json("artifact")
    assistant_name, provider, model = embedded_names(embedded["assistant"], embedded["assistantOverrides"])
    if provider is None and model is None:
        provider, model = next(
            ((cost[3], cost[4]) for cost in costs if cost[3:5] != (None, None)), (None, None)
        )
    row = (
        reader.string("name"),
        reader.string("status"),
        seconds,
        expires,
        reader.string("assistantId"),
        assistant_name,
        reader.string("squadId"),
        peek(embedded["squad"], "name"),
        provider,
        model,
        reader.string("customerId"),
        *_customer(reader, drift),
        reader.string("phoneNumberId"),
        reader.double("cost"),
        artifact,
        reader.json("metadata"),
        reader.finish(),
    )
    return Rows(row, messages, calls, costs, structured_output_rows(artifact, drift))


def _customer(reader: Reader, drift: Drift) -> list[str | None]:
    text = reader.object("customer")
    if text is None:
        return [None] * 5
    inner = Reader(text, "session.customer.", drift)
    inner.drop("assistantOverrides", "squadOverrides")
    columns = [inner.string(name) for name in ("name", "number", "email", "sipUri", "externalId")]
    rest = inner.finish()
    if rest is not None:
        reader.extra.mark("customer", rest)
    return columns


def embedded_names(assistant: str | None, overrides: str | None) -> tuple[str | None, str | None, str | None]:
    """assistant_name, model_provider and model_name from the two embedded objects, given as JSON text."""
    name, provider, model = _names(assistant)
    if assistant is not None and overrides is None:
        return name, provider, model
    other_name, other_provider, other_model = _names(overrides)
    if provider is None and model is None:
        provider, model = other_provider, other_model
    return other_name if name is None else name, provider, model


def _names(text: str | None) -> tuple[str | None, str | None, str | None]:
    if text is None or not text.startswith("{"):
        return None, None, None
    top = dict(members(text))
    model = top.get("model")
    return peek(top.get("name")), peek(model, "provider"), peek(model, "model")


def moment(text: str | None) -> int | None:
    """A timestamp of the source in microseconds; None if it is none."""
    if text is None:
        return None
    try:
        return parse(text)
    except (ValueError, OverflowError):
        return None


def expiry(created_at: int, seconds: int | None) -> int | None:
    """created_at + seconds, in microseconds; null where that is no time that can be shown."""
    at = None if seconds is None else created_at + seconds * 1_000_000
    return at if at is not None and MIN_TIME <= at <= MAX_TIME else None


# ---------------------------------------------------------------------------------------------------------------------
# A session's children.


def message_rows(texts: list[str], drift: Drift) -> tuple[list[Row], list[Row]]:
    """The rows of messages and of their tool calls."""
    messages = [_message(text, index, drift) for index, text in enumerate(texts)]
    answers: dict[str, list[tuple[int, str | None]]] = {}
    for index, (row, _, result) in enumerate(messages):
        if row[0] in RESULT_ROLES and row[4] is not None:
            answers.setdefault(row[4], []).append((index, result))
    calls: list[Row] = []
    for index, (_, own, _) in enumerate(messages):
        for call in own:
            unused = answers.get(call[2], []) if call[2] is not None else []
            found = next((answer for answer in unused if answer[0] > index), None)
            if found is not None:
                unused.remove(found)
            calls.append((*call[:6], *((found[1], found[0]) if found else (None, None)), call[6]))
    return [row for row, _, _ in messages], calls


def _message(text: str, index: int, drift: Drift) -> tuple[Row, list[Row], str | None]:
    """The row (role … tool_call_count, metadata, extra), its tool calls, and its text as a tool's result."""
    reader = Reader(text, "message.", drift)
    role = reader.string("role")
    if role is not None and role not in KNOWN_ROLES:
        drift.add("message.role=", role)
    used: list[str] = []
    content, content_json = _content(reader, used)
    call_id = _either(reader, "tool_call_id", "toolCallId", used, lambda name: reader.string(name))
    texts = _either(reader, "tool_calls", "toolCalls", used, lambda name: reader.array(name) or None)
    calls = [_tool_call(call, index, position, drift) for position, call in enumerate(texts or ())]
    name = reader.string("name")
    refusal = reader.string("refusal")
    sent, ended = reader.milliseconds("time"), reader.milliseconds("endTime")
    start, duration = reader.double("secondsFromStart"), reader.double("duration")
    confidence = reader.double("confidence")
    metadata = reader.json("metadata")
    spoken = any(value is not None for value in (sent, ended, start, duration))
    usual = usual_keys(
        spoken, content is not None, content_json is not None, call_id is not None, bool(calls)
    )
    if used != usual:
        reader.extra.mark("$keys", msgspec.json.encode(used).decode())
    result = content
    if role == "tool_call_result":
        raw = reader.take("result")
        if raw is not None:
            result = utf8(string(raw)) if raw[0] == '"' else approximate(raw)
            reader.keep("result", raw, "")
    row = (
        role,
        content,
        content_json,
        name,
        call_id,
        refusal,
        sent,
        ended,
        start,
        duration,
        confidence,
        len(calls),
        metadata,
    )
    return (*row, reader.finish()), calls, result


def usual_keys(spoken: bool, content: bool, content_json: bool, call_id: bool, calls: bool) -> list[str]:
    """The names that a message uses unless its `extra` says otherwise ($keys)."""
    keys = ["content" if content_json or not spoken else "message"] if content or content_json else []
    if call_id:
        keys.append("toolCallId" if spoken else "tool_call_id")
    if calls:
        keys.append("toolCalls" if spoken else "tool_calls")
    return keys


def _content(reader: Reader, used: list[str]) -> tuple[str | None, str | None]:
    """Column `content` and, where it was no string, `content_json`."""
    text = reader.take("content")
    original: str | None = None
    column: str | None = None
    content_json: str | None = None
    if text is not None:
        used.append("content")
        if text[0] == '"':
            original = string(text)
            column = reader.utf8("content", text, original)
        else:
            if text[0] != "[":
                reader.note("content")
            content_json = reader.as_json("content", text)
            original = _parts(decode(text)) if text[0] == "[" else None
            column = None if original is None else utf8(original)
    other = reader.take("message")
    if other is not None:
        if other[0] != '"':
            reader.keep("message", other)
        elif original is None or string(other) == original:
            used.append("message")
            if original is None:
                column = reader.utf8("message", other, string(other))
        else:
            reader.keep("message", other, "")
    return column, content_json


def _parts(parts: list[Any]) -> str | None:
    """The texts among the parts of a content array."""
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    found = [text for text in texts if isinstance(text, str)]
    return "\n".join(found) if found else None


def _either(
    reader: Reader, snake: str, camel: str, used: list[str], read: Callable[[str], T | None]
) -> T | None:
    """One thing under two names: the first that is there; the other one stays in `extra`."""
    for name in (snake, camel):
        value = read(name)
        if value is not None:
            used.append(name)
            return value
    return None


def _tool_call(text: str, message: int, index: int, drift: Drift) -> Row:
    """message_index, tool_call_index, tool_call_id, type, function_name, arguments, extra."""
    reader = Reader(text, "tool_call.", drift)
    call_id, kind = reader.string("id"), reader.string("type")
    name: str | None = None
    arguments: str | None = None
    function = reader.object("function")
    if function is not None:
        inner = Reader(function, "tool_call.function.", drift)
        name = inner.string("name")
        raw = inner.take("arguments")
        if raw is not None and raw[0] == '"':
            arguments = inner.utf8("arguments", raw, string(raw))
        elif raw is not None:
            arguments = raw
            inner.extra.mark("arguments$json", "true")
        rest = inner.finish()
        if rest is not None:
            reader.extra.mark("function", rest)
    return (message, index, call_id, kind, name, arguments, reader.finish())


def cost_rows(texts: list[str], drift: Drift) -> list[Row]:
    """cost_index … extra."""
    return [_cost(text, index, drift) for index, text in enumerate(texts)]


def _cost(text: str, index: int, drift: Drift) -> Row:
    reader = Reader(text, "cost.", drift)
    kind = reader.string("type")
    if kind is not None and kind not in KNOWN_COST_TYPES:
        drift.add("cost.type=", kind)
    analysis = reader.string("analysisType")
    provider: str | None = None
    model_name: str | None = None
    model = reader.object("model")
    if model is not None:
        inner = Reader(model, "cost.model.", drift)
        provider, model_name = inner.string("provider"), inner.string("model")
        rest = inner.finish()
        if rest is not None:
            reader.extra.mark("model", rest)
    tokens = [
        reader.integer(name)
        for name in ("promptTokens", "completionTokens", "cachedPromptTokens", "reasoningTokens")
    ]
    seconds, complete = reader.double("seconds"), reader.boolean("usageComplete")
    cost = reader.double("cost")
    return (index, kind, analysis, provider, model_name, *tokens, seconds, complete, cost, reader.finish())


def structured_output_rows(artifact: str | None, drift: Drift) -> list[Row]:
    """structured_output_id, name, result, from `{id: {name, result}}`; of another shape, the whole value is the result."""
    outputs = dict(members(artifact)).get("structuredOutputs") if artifact and artifact[0] == "{" else None
    if outputs is None or outputs == "null":
        return []
    if outputs[0] != "{":
        drift.add("session.artifact.", "structuredOutputs", ":retyped")
        return []
    rows: dict[str, Row] = {}
    for key, value in members(outputs):
        name: str | None = None
        result: str | None = value
        if value[0] == "{":
            item = dict(members(value))
            if "result" in item or "name" in item:
                result = item.get("result", "null")
                name = peek(value, "name")
        rows[utf8(key)] = (utf8(key), name, None if result in (None, "null") else approximate(result))
    return list(rows.values())
