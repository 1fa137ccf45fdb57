"""Messages and tool calls of many sessions to columns. Pure.

What is rare (two names for one thing, content that is no text, a time finer than a microsecond) is found for all messages at
once, and looked at one by one.
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
from vapi_sessions.transform.decoders import Gathered
from vapi_sessions.transform.mapping import ABSENT, CALL, FUNCTION, MESSAGE

KNOWN_ROLES: Final = frozenset(
    {"system", "user", "assistant", "bot", "tool", "developer", "tool_calls", "tool_call_result", "function"}
)
RESULT_ROLES: Final = pa.array(["function", "tool", "tool_call_result"], pa.string())
ASSISTANT_ROLES: Final = pa.array(["assistant", "bot"], pa.string())
_MOMENT: Final = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Messages:
    """The rows of some sessions, and what the sessions themselves say about theirs."""

    rows: Children
    tool_calls: Children
    user_counts: pa.Array
    assistant_counts: pa.Array


def messages(sessions: Gathered) -> Messages:
    """The rows of the sessions' messages and of their tool calls."""
    talk = _Talk(sessions)
    found, values = talk.found, talk.found.values
    columns = found.columns()
    role = columns["role"] = pa.array(values["role"], pa.string())
    for name in ("seconds_from_start", "duration_seconds"):
        columns[name] = pa.array(columns[name], pa.float64())
    columns["sent_at"], columns["ended_at"] = _moments(talk, "time"), _moments(talk, "endTime")
    columns |= {
        name: pa.array(values[name], pa.string()) for name in ("message", "tool_call_id", "toolCallId")
    }
    originals = dict[int, str]()
    try:
        columns["content"] = pa.array(values["content"], pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # some are no texts
        originals = _contents(found)
        columns["content"] = pa.array(values["content"], pa.string())
    _note_names(talk, columns, originals)
    columns |= {
        "content": _either(columns["content"], columns["message"]),
        "content_json": [originals.get(at) for at in range(len(role))] if originals else None,
        "tool_call_id": _either(columns["tool_call_id"], columns["toolCallId"]),
        "metadata": None if _nowhere(values["metadata"]) else list(map(json_or_none, values["metadata"])),
    }
    for pair in pc.value_counts(role).to_pylist():
        if pair["values"] is not None and pair["values"] not in KNOWN_ROLES:
            found.reader.drift.add("message.role=", pair["values"], by=pair["counts"])
    tool_calls = _tool_calls(talk, columns)
    columns["extra"] = found.extras()
    return Messages(
        (found.counts, columns),
        tool_calls,
        _sums(pc.equal(role, "user"), found.counts),
        _sums(pc.is_in(role, value_set=ASSISTANT_ROLES), found.counts),
    )


class _Talk:
    """All messages of some sessions, and whose they are."""

    def __init__(self, sessions: Gathered) -> None:
        self._texts = sessions.values["messages"]
        self.found = sessions.lists("messages", MESSAGE)
        self.first = starts(self.found.counts)
        self.owners = repeat_each(self.found.counts)

    def keep(self, at: int, name: str, why: str = "") -> None:
        """A member of one of them to `extra`, as it is in the JSON."""
        owner = self.owners[at].as_py()
        message = elements(self._texts[owner])[at - self.first[owner]]
        self.found.keep(at, name, bytes(members(message)[name]).decode(), why)


def _nowhere(values: list[Any]) -> bool:
    return values.count(ABSENT) == len(values)


def _contents(messages: Gathered) -> dict[int, str]:
    """Makes texts of contents that are arrays of parts; gives the JSON of those that are no string, by place."""
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
            messages.reader.drift.add(MESSAGE.where, "content", ":retyped")
    return originals


def _moments(talk: _Talk, name: str) -> pa.Array:
    """Epoch milliseconds as timestamps; one that is finer than a microsecond is kept as well."""
    millis = pa.array(talk.found.values[name], pa.float64())
    if millis.null_count == len(millis):
        return pa.nulls(len(millis), _MOMENT)
    micros = pc.round(pc.multiply(millis, 1000.0), round_mode="half_to_even")
    for at in pc.indices_nonzero(
        pc.not_equal(pc.divide(micros, 1000.0), millis).fill_null(False)
    ).to_pylist():
        talk.keep(at, name, ":rounded")
    return micros.cast(pa.int64()).cast(_MOMENT)


def usual_keys(spoken: bool, content: bool, content_json: bool, call_id: bool, calls: bool) -> list[str]:
    """The names that a message uses unless its `extra` says otherwise ($keys)."""
    keys = ["content" if content_json or not spoken else "message"] if content or content_json else []
    if call_id:
        keys.append("toolCallId" if spoken else "tool_call_id")
    if calls:
        keys.append("toolCalls" if spoken else "tool_calls")
    return keys


def _note_names(talk: _Talk, columns: Columns, originals: dict[int, str]) -> None:
    """Notes which of two names for one thing a message used, where that is not usual, and keeps what has no place then."""
    values = talk.found.values
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
                talk.keep(at, "message")
        for names in (("tool_call_id", "toolCallId"), ("tool_calls", "toolCalls")):
            there = [name for name in names if values[name][at] not in (None, [])]
            used += there[:1]
            if len(there) > 1:
                talk.keep(at, there[1])
        expected = usual_keys(
            spoken[at].as_py(),
            text is not None or other_text is not None,
            at in originals,
            not {"tool_call_id", "toolCallId"}.isdisjoint(used),
            not {"tool_calls", "toolCalls"}.isdisjoint(used),
        )
        if used != expected:
            talk.found.mark(at, "$keys", encode(used).decode())


def _tool_calls(talk: _Talk, columns: Columns) -> Children:
    """The rows of the calls, by message; adds how many there are to the messages' columns."""
    values = talk.found.values
    calls = {at: own for name in ("toolCalls", "tool_calls") for at, own in enumerate(values[name]) if own}
    places = sorted(calls)
    numbers = [0] * len(talk.owners)
    for at in places:
        numbers[at] = len(calls[at])
    columns["tool_call_count"] = numbers
    found = talk.found.reader.gather(CALL, [calls[at] for at in places])
    places = [at for at in places for _ in calls[at]]
    owners = talk.owners.take(pa.array(places, pa.int64())).to_pylist()
    functions, arguments = _functions(found)
    answers = _answers(talk, columns, places, owners, found.values["id"])
    results = _results(talk.found)
    texts = columns["content"].take(pa.array(answers, pa.int64())).to_pylist()
    counts = [0] * len(talk.found.counts)
    for owner in owners:
        counts[owner] += 1
    return counts, found.columns() | {
        "message_index": [at - talk.first[owner] for at, owner in zip(places, owners, strict=True)],
        "tool_call_index": positions(found.counts),
        "function_name": functions,
        "arguments": arguments,
        "result": [
            text if at is None else results.get(at, text) for at, text in zip(answers, texts, strict=True)
        ],
        "result_message_index": [
            None if at is None else at - talk.first[owner] for at, owner in zip(answers, owners, strict=True)
        ],
        "extra": found.extras(),
    }


def _answers(
    talk: _Talk, columns: Columns, places: list[int], owners: list[int], ids: list[str | None]
) -> list[int | None]:
    """For each call, the first message after it that answers to its id, and to no call before."""
    named = columns["tool_call_id"]
    answering = pc.indices_nonzero(
        pc.and_(pc.is_valid(named), pc.is_in(columns["role"], value_set=RESULT_ROLES))
    )
    waiting: dict[tuple[int, str], list[int]] = {}
    for at, owner, call_id in zip(
        answering.to_pylist(),
        talk.owners.take(answering).to_pylist(),
        named.take(answering).to_pylist(),
        strict=True,
    ):
        waiting.setdefault((owner, call_id), []).append(at)
    found: list[int | None] = []
    for place, owner, call_id in zip(places, owners, ids, strict=True):
        mine = waiting.get((owner, call_id), []) if call_id is not None else []
        answer = next((at for at in mine if at > place), None)
        if answer is not None:
            mine.remove(answer)
        found.append(answer)
    return found


def _functions(calls: Gathered) -> tuple[list[str | None], list[str | None]]:
    """Names and arguments."""
    nothing = FUNCTION.struct()
    found = calls.reader.gather(FUNCTION, [[function or nothing for function in calls.values["function"]]])
    arguments = list(map(json_or_none, found.values["arguments"]))
    for at, text in enumerate(arguments):
        if text is not None and text[0] == '"':
            arguments[at] = decode(text)
        elif text is not None:
            found.mark(at, "arguments$json", "true")
    for at, rest in enumerate(found.extras()):
        if rest is not None:
            calls.mark(at, "function", rest)
    return found.values["name"], arguments


def _results(messages: Gathered) -> dict[int, str]:
    """What messages give as a `result`, by place: it counts for one role, and is kept for all."""
    found: dict[int, str] = {}
    raws = messages.values["result"]
    for at in [] if _nowhere(raws) else [at for at, raw in enumerate(raws) if raw is not ABSENT]:
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
    """For each session, how many of its rows the mask selects."""
    sums = pc.cumulative_sum(mask.fill_null(False).cast(pa.int32()))
    sums = pa.concat_arrays([pa.array([0], pa.int32()), sums])
    edges = pa.array(starts(counts), pa.int64())
    return pc.subtract(sums.take(edges[1:]), sums.take(edges[:-1]))
