"""The columns of messages and tool calls.

Rare cases (two names for one field, content that is not a string, times finer than a microsecond) are found for all messages at once,
and then handled one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions.core.json_text import decode, elements, encode, members
from vapi_sessions.transform.columns import (
    Children,
    Columns,
    json_or_none,
    positions,
    repeat_each,
    starts,
    string,
)
from vapi_sessions.transform.decoders import ObjectColumns
from vapi_sessions.transform.shapes import (
    ABSENT,
    CONTENT,
    DOUBLE,
    JSON,
    MILLIS,
    RETYPED,
    ROUNDED,
    TEXT,
    Field,
    Shape,
    nested,
)

#: Others are counted as drift.
KNOWN_ROLES: Final = frozenset(
    {"system", "user", "assistant", "bot", "tool", "developer", "tool_calls", "tool_call_result", "function"}
)
RESULT_ROLES: Final = pa.array(["function", "tool", "tool_call_result"], pa.string())
ASSISTANT_ROLES: Final = pa.array(["assistant", "bot"], pa.string())
_TIMESTAMP: Final = pa.timestamp("us", "UTC")

FUNCTION: Final = Shape("tool_call.function.", Field("name", TEXT), Field("arguments", JSON))
CALL: Final = Shape(
    "tool_call.",
    Field("id", TEXT, "tool_call_id"),
    Field("type", TEXT, "type"),
    nested("function", FUNCTION),
)
MESSAGE: Final = Shape(
    "message.",
    Field("role", TEXT, "role"),
    Field("content", CONTENT),
    Field("message", TEXT),
    Field("name", TEXT, "name"),
    Field("tool_call_id", TEXT),
    Field("toolCallId", TEXT),
    nested("tool_calls", CALL, many=True),
    nested("toolCalls", CALL, many=True),
    Field("result", JSON),
    Field("refusal", TEXT, "refusal"),
    Field("time", MILLIS),
    Field("endTime", MILLIS),
    Field("secondsFromStart", DOUBLE, "seconds_from_start"),
    Field("duration", DOUBLE, "duration_seconds"),
    Field("confidence", DOUBLE, "confidence"),
    Field("metadata", JSON, "metadata"),
)


@dataclass(frozen=True, slots=True)
class Messages:
    """The rows of messages and tool calls, and the number of messages with certain roles in each session."""

    rows: Children
    tool_calls: Children
    user_counts: pa.Array
    assistant_counts: pa.Array


def messages(sessions: ObjectColumns) -> Messages:
    """The rows of the sessions' messages and tool calls."""
    all_messages = _AllMessages(sessions)
    found, values = all_messages.found, all_messages.found.values
    columns = found.columns()
    role = columns["role"] = pa.array(values["role"], pa.string())
    for name in ("seconds_from_start", "duration_seconds"):
        columns[name] = pa.array(columns[name], pa.float64())
    columns["sent_at"], columns["ended_at"] = _times(all_messages, "time"), _times(all_messages, "endTime")
    columns |= {
        name: pa.array(values[name], pa.string()) for name in ("message", "tool_call_id", "toolCallId")
    }
    originals = dict[int, str]()
    try:
        columns["content"] = pa.array(values["content"], pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # some are not strings
        originals = _contents(found)
        columns["content"] = pa.array(values["content"], pa.string())
    _record_names(all_messages, columns, originals)
    columns |= {
        "content": _either(columns["content"], columns["message"]),
        "content_json": [originals.get(at) for at in range(len(role))] if originals else None,
        "tool_call_id": _either(columns["tool_call_id"], columns["toolCallId"]),
        "metadata": None if _all_absent(values["metadata"]) else list(map(json_or_none, values["metadata"])),
    }
    for pair in pc.value_counts(role).to_pylist():
        if pair["values"] is not None and pair["values"] not in KNOWN_ROLES:
            found.decoder.drift.add("message.role=", pair["values"], by=pair["counts"])
    tool_calls = _tool_calls(all_messages, columns)
    columns["extra"] = found.extras()
    return Messages(
        (found.counts, columns),
        tool_calls,
        _sums(pc.equal(role, "user"), found.counts),
        _sums(pc.is_in(role, value_set=ASSISTANT_ROLES), found.counts),
    )


class _AllMessages:
    """The messages of all sessions. `owners`: index of each message's session; `first`: index of each session's first message."""

    def __init__(self, sessions: ObjectColumns) -> None:
        self._texts = sessions.values["messages"]
        self.found = sessions.lists("messages", MESSAGE)
        self.first = starts(self.found.counts)
        self.owners = repeat_each(self.found.counts)

    def keep(self, at: int, name: str, why: str = "") -> None:
        """Keeps a member of the message at this position in its `extra`, exactly as in the JSON."""
        owner = self.owners[at].as_py()
        message = elements(self._texts[owner])[at - self.first[owner]]
        self.found.keep(at, name, bytes(members(message)[name]).decode(), why)


def _all_absent(values: list[Any]) -> bool:
    return values.count(ABSENT) == len(values)


def _contents(messages: ObjectColumns) -> dict[int, str]:
    """Replaces each content that is not a string by its text, and returns its JSON, by the index of the message."""
    texts = messages.values["content"]
    originals: dict[int, str] = {}
    for at in [at for at, content in enumerate(texts) if content is not None and type(content) is not str]:
        content = texts[at]
        if type(content) is list:
            originals[at] = f"[{','.join([bytes(part).decode() for part in content])}]"
            found = [string(bytes(part), *(["text"] if bytes(part)[:1] == b"{" else [])) for part in content]
            known = [text for text in found if text is not None]
            texts[at] = "\n".join(known) if known else None
        else:
            originals[at], texts[at] = bytes(content).decode(), None
            messages.decoder.drift.add(MESSAGE.drift_prefix, "content", RETYPED)
    return originals


def _times(messages: _AllMessages, name: str) -> pa.Array:
    """Epoch milliseconds as timestamps. Times finer than a microsecond are also kept in `extra`."""
    millis = pa.array(messages.found.values[name], pa.float64())
    if millis.null_count == len(millis):
        return pa.nulls(len(millis), _TIMESTAMP)
    micros = pc.round(pc.multiply(millis, 1000.0), round_mode="half_to_even")
    for at in pc.indices_nonzero(
        pc.not_equal(pc.divide(micros, 1000.0), millis).fill_null(False)
    ).to_pylist():
        messages.keep(at, name, ROUNDED)
    return micros.cast(pa.int64()).cast(_TIMESTAMP)


def usual_keys(spoken: bool, content: bool, content_json: bool, call_id: bool, calls: bool) -> list[str]:
    """The names that a message uses unless `$keys` in its `extra` lists others."""
    keys = ["content" if content_json or not spoken else "message"] if content or content_json else []
    if call_id:
        keys.append("toolCallId" if spoken else "tool_call_id")
    if calls:
        keys.append("toolCalls" if spoken else "tool_calls")
    return keys


def _record_names(messages: _AllMessages, columns: Columns, originals: dict[int, str]) -> None:
    """Adds `$keys` to messages with unusual names. If a message has both names of a field, the second value goes to `extra`."""
    values = messages.found.values
    spoken = _any_valid(
        *(columns[n] for n in ("sent_at", "ended_at", "seconds_from_start", "duration_seconds"))
    )
    written = _any_valid(columns["content"], columns["tool_call_id"])
    other = _any_valid(columns["message"], columns["toolCallId"])
    unusual = pc.or_(pc.and_(spoken, written), pc.and_not(other, spoken))
    mixed = []
    for name, usual in (("tool_calls", False), ("toolCalls", True)):
        calling = [at for at, calls in enumerate(values[name]) if calls is not None]
        times = spoken.take(pa.array(calling, pa.int64())).to_pylist()
        mixed += [at for at, timed in zip(calling, times, strict=True) if timed is not usual]
    for at in sorted({*pc.indices_nonzero(unusual).to_pylist(), *originals, *mixed}):
        text, other_text = values["content"][at], values["message"][at]
        used = [] if text is None and at not in originals else ["content"]
        if other_text is not None:
            if text in (None, other_text):
                used.append("message")
            else:
                messages.keep(at, "message")
        for names in (("tool_call_id", "toolCallId"), ("tool_calls", "toolCalls")):
            present = [name for name in names if values[name][at] not in (None, [])]
            used += present[:1]
            if len(present) > 1:
                messages.keep(at, present[1])
        expected = usual_keys(
            spoken[at].as_py(),
            text is not None or other_text is not None,
            at in originals,
            not {"tool_call_id", "toolCallId"}.isdisjoint(used),
            not {"tool_calls", "toolCalls"}.isdisjoint(used),
        )
        if used != expected:
            messages.found.add_part(at, "$keys", encode(used).decode())


def _tool_calls(messages: _AllMessages, columns: Columns) -> Children:
    """The rows of the tool calls, in the order of their messages. Adds `tool_call_count` to the messages' columns."""
    values = messages.found.values
    calls = {at: own for name in ("toolCalls", "tool_calls") for at, own in enumerate(values[name]) if own}
    calling = sorted(calls)
    numbers = [0] * len(messages.owners)
    for at in calling:
        numbers[at] = len(calls[at])
    columns["tool_call_count"] = numbers
    found = messages.found.decoder.columns_of(CALL, [calls[at] for at in calling])
    callers = [at for at in calling for _ in calls[at]]  # the message of each call
    owners = messages.owners.take(pa.array(callers, pa.int64())).to_pylist()
    functions, arguments = _functions(found)
    answers = _answers(messages, columns, callers, owners, found.values["id"])
    results = _results(messages.found)
    texts = columns["content"].take(pa.array(answers, pa.int64())).to_pylist()
    counts = [0] * len(messages.found.counts)
    for owner in owners:
        counts[owner] += 1
    return counts, found.columns() | {
        "message_index": [at - messages.first[owner] for at, owner in zip(callers, owners, strict=True)],
        "tool_call_index": positions(found.counts),
        "function_name": functions,
        "arguments": arguments,
        "result": [
            text if at is None else results.get(at, text) for at, text in zip(answers, texts, strict=True)
        ],
        "result_message_index": [
            None if at is None else at - messages.first[owner]
            for at, owner in zip(answers, owners, strict=True)
        ],
        "extra": found.extras(),
    }


def _answers(
    messages: _AllMessages, columns: Columns, callers: list[int], owners: list[int], ids: list[str | None]
) -> list[int | None]:
    """For each call, the index of the first later message that has its id and does not answer an earlier call."""
    named = columns["tool_call_id"]
    answering = pc.indices_nonzero(
        pc.and_(pc.is_valid(named), pc.is_in(columns["role"], value_set=RESULT_ROLES))
    )
    waiting: dict[tuple[int, str], list[int]] = {}
    for at, owner, call_id in zip(
        answering.to_pylist(),
        messages.owners.take(answering).to_pylist(),
        named.take(answering).to_pylist(),
        strict=True,
    ):
        waiting.setdefault((owner, call_id), []).append(at)
    found: list[int | None] = []
    for caller, owner, call_id in zip(callers, owners, ids, strict=True):
        candidates = waiting.get((owner, call_id), []) if call_id is not None else []
        answer = next((at for at in candidates if at > caller), None)
        if answer is not None:
            candidates.remove(answer)
        found.append(answer)
    return found


def _functions(calls: ObjectColumns) -> tuple[list[str | None], list[str | None]]:
    """Names and arguments of the called functions."""
    empty = FUNCTION.struct()
    found = calls.decoder.columns_of(FUNCTION, [[function or empty for function in calls.values["function"]]])
    arguments = list(map(json_or_none, found.values["arguments"]))
    for at, text in enumerate(arguments):
        if text is not None and text[0] == '"':
            arguments[at] = decode(text)
        elif text is not None:
            found.add_part(at, "arguments$json", "true")
    for at, extra in enumerate(found.extras()):
        if extra is not None:
            calls.add_part(at, "function", extra)
    return found.values["name"], arguments


def _results(messages: ObjectColumns) -> dict[int, str]:
    """The `result` of messages with the role `tool_call_result`, by their index. Every `result` is also kept in `extra`."""
    found: dict[int, str] = {}
    raws = messages.values["result"]
    for at in [] if _all_absent(raws) else [at for at, raw in enumerate(raws) if raw is not ABSENT]:
        text = json_or_none(raws[at])
        if text is not None:
            messages.keep(at, "result", text)
            if messages.values["role"][at] == "tool_call_result":
                found[at] = decode(text) if text[0] == '"' else text
    return found


def _any_valid(first: pa.Array, *others: pa.Array) -> pa.Array:
    mask = pc.is_valid(first)
    for column in others:
        if column.null_count < len(column):
            mask = pc.or_(mask, pc.is_valid(column))
    return mask


def _either(first: pa.Array, second: pa.Array) -> pa.Array:
    if second.null_count == len(second):
        return first
    return second if first.null_count == len(first) else pc.coalesce(first, second)


def _sums(mask: pa.Array, counts: Sequence[int]) -> pa.Array:
    """The number of rows of each session that the mask selects."""
    sums = pc.cumulative_sum(mask.fill_null(False).cast(pa.int32()))
    sums = pa.concat_arrays([pa.array([0], pa.int32()), sums])
    edges = pa.array(starts(counts), pa.int64())
    return pc.subtract(sums.take(edges[1:]), sums.take(edges[:-1]))
