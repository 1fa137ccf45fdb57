"""The strict and the lenient decoder give the same rows, and ordinary sessions need only the strict one."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beside import CORPUS, needs_corpus
from reassembly import loaded, promised, reassemble
from sample_sessions import FEW, ORDINARY, SESSIONS, UPDATED, plain_json, rows, session, version, with_member
from vapi_emulator.generate import History, generate
from vapi_sessions import schema
from vapi_sessions.core.timestamps import parse
from vapi_sessions.transform.decoders import ObjectDecoder
from vapi_sessions.transform.flatten import Flat, Version, flatten, flatten_with


def comparable(tables: dict[str, pa.Table]) -> dict[str, list[dict[str, Any]]]:
    parsed = {}
    for table in schema.TABLES:
        jsons = {column.name for column in table.columns if column.type == "JSON"}
        found = [
            {name: loaded(value) if name in jsons else value for name, value in r.items()}
            for r in rows(Flat(tables, Counter(), []), table.name)
        ]
        parsed[table.name] = sorted(found, key=lambda r: [str(r[name]) for name in table.key])
    return parsed


def assert_both_ways(*versions: Version) -> Flat:
    """Asserts that both decoders give the same rows and the same drift; returns the result."""
    strict, lenient = flatten(versions), flatten_with(ObjectDecoder(strict=False), versions)
    assert comparable(strict.tables) == comparable(lenient.tables)
    assert (strict.drift, strict.heads) == (lenient.drift, lenient.heads)
    return strict


def read_leniently(*versions: Version) -> int:
    """The number of objects that the strict decoder leaves to the lenient one."""
    decoder = ObjectDecoder()
    flatten_with(decoder, versions)
    return decoder.lenient


@FEW
@given(st.lists(SESSIONS, min_size=1, max_size=4), st.booleans())
def test_both_decoders_give_the_same(bodies: list[dict[str, Any]], spaced: bool) -> None:
    """Rows and drift are equal for any mixture of ordinary and irregular sessions."""
    texts = [(json.dumps if spaced else plain_json)(body | {"id": f"s{i}"}) for i, body in enumerate(bodies)]
    assert_both_ways(*(version(text, session_id=f"s{i}") for i, text in enumerate(texts)))


@FEW
@given(st.lists(ORDINARY, min_size=1, max_size=4))
def test_the_strict_decoder_reads_all_ordinary_sessions(bodies: list[dict[str, Any]]) -> None:
    """None is left to the lenient decoder, whose rows would be the same."""
    versions = [
        version(session(**body) | {"id": f"s{i}"}, session_id=f"s{i}") for i, body in enumerate(bodies)
    ]
    assert read_leniently(*versions) == 0
    assert_both_ways(*versions)


#: Messages as the contract declares them, and as they occur in practice.
TIMES_OF_ONE = {"time": 1770595260605, "endTime": 1770595260905.5, "secondsFromStart": 0.3, "duration": 300}
CALLS_OF_ONE = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1.50}}}]
SEEN: list[dict[str, Any]] = [
    {"role": "system", "message": "x", "time": 0, "secondsFromStart": 0},
    {"role": "user", "message": "x", **TIMES_OF_ONE, "isFiltered": False, "detectedThreats": ["y"], "originalMessage": "z",
     "speakerLabel": "s", "confidence": 0.9, "confidenceSource": "derived", "metadata": {"wordLevelConfidence": [{"word": "x"}]}},
    {"role": "assistant", "content": None, "refusal": "no", "tool_calls": CALLS_OF_ONE, "name": "n", "metadata": {}},
    {"role": "tool", "content": "x", "tool_call_id": "c", "name": "f"},
    {"role": "developer", "content": "x"},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}, {"type": "image"}, "c"]},
    {"role": "bot", "message": "x", "source": "", **TIMES_OF_ONE},
    {"role": "tool_calls", "message": "", "toolCalls": CALLS_OF_ONE, **TIMES_OF_ONE},
    {"role": "tool_call_result", "toolCallId": "c", "name": "f", "result": "{}", **TIMES_OF_ONE},
    {"role": "function", "name": "f", "content": "x"},
    {"role": "assistant", "content": "x", "tool_calls": CALLS_OF_ONE},
    {"role": "somebody", "content": "x", "anything": {"new": 1}},
]  # fmt: skip
SEEN_COSTS: list[dict[str, Any]] = [
    {"type": "model", "model": {"provider": "p", "model": "m", "temperature": 1}, "promptTokens": 1, "completionTokens": 2,
     "cachedPromptTokens": 3, "reasoningTokens": 4, "seconds": 1.5, "usageComplete": False, "cost": 0.1},
    {"type": "analysis", "analysisType": "summary", "model": {}, "promptTokens": 1, "completionTokens": 2, "cost": None,
     "structuredOutputBreakdown": [{"name": "x"}]},
    {"type": "session"},
    {"type": "chat", "cost": 0.1, "minutes": None},
]  # fmt: skip


def test_the_strict_decoder_reads_every_shape_of_the_contract_and_of_practice() -> None:
    """Each alone, and all together in one session."""
    extras = {"number": "+1", "extension": "7", "numberE164CheckEnabled": False, "assistantOverrides": {}}
    whole = session(
        messages=SEEN, costs=SEEN_COSTS, cost=None, customer=extras, channel="sms", artifact={"structuredOutputs": {"u": 1}},
        assistant={"name": "a"}, squad={"name": "s"}, phoneNumber={}, metadata={"variableValues": {}}, expirationSeconds=60,
    )  # fmt: skip
    bodies = [session(messages=[m]) for m in SEEN] + [session(costs=[c]) for c in SEEN_COSTS] + [whole]
    versions = [version(body) for body in bodies]
    assert read_leniently(*versions) == 0
    assert_both_ways(versions[-1])
    assert promised(reassemble(flatten(versions[-1:]))) == promised(whole)


@pytest.mark.parametrize("size", [1_000, pytest.param(20_000, marks=pytest.mark.proof)])
def test_the_strict_decoder_reads_nearly_all_of_the_emulators_history(size: int) -> None:
    """The lenient decoder reads at most one session of a hundred."""
    history = History(org_id="0e111a70-0000-4000-8000-000000000001", sessions=size, until_us=parse(UPDATED))
    decoder = ObjectDecoder()
    for batch in generate(history):
        flatten_with(decoder, [version(row.body, session_id=row.id) for row in batch])
    assert decoder.lenient <= size / 100  # counts objects, of which a session may have several
    assert decoder.drift.counts["message.source"] > size / 100  # the history has members without a column


def test_both_decoders_read_minus_zero_as_zero() -> None:
    """JSON decoders differ about -0, and the other members of a session decide which of them reads it."""
    numbers = '"secondsFromStart":%s,"duration":%s,"confidence":%s'
    signs = set()
    for zero in ("-0", "-0.0", "0"):
        spoken = numbers % (zero, zero, zero)
        for message in (spoken, spoken + ',"colour":"red"', spoken + ',"name":7'):
            members = f'"cost":{zero},"costs":[{{"cost":{zero},"seconds":{zero}}}],"messages":[{{"time":{zero},{message}}}]'
            for flat in (
                flatten([with_member(members)]),
                flatten([with_member(members + ',"name":1')]),
            ):
                (found,) = rows(flat, "messages")
                signs |= {repr(found[c]) for c in ("seconds_from_start", "duration_seconds", "confidence")}
                signs.add(repr(rows(flat, "costs")[0]["billed_seconds"]))
                signs |= {repr(rows(flat, table)[0]["cost_usd"]) for table in ("sessions", "costs")}
    assert signs == {"0.0"}


@needs_corpus
def test_the_strict_decoder_reads_real_conversations_completely() -> None:
    """Every message of real conversations with a tool-calling agent can be restored from the rows."""
    lines = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    bodies = [
        session(messages=line["messages"], cost=line["user_cost"]) | {"id": f"s{i}"}
        for i, line in enumerate(lines)
    ]
    versions = [version(body, session_id=body["id"]) for body in bodies]
    assert read_leniently(*versions) == 0
    flat = flatten(versions)
    assert flat.tables["messages"].num_rows == sum(len(line["messages"]) for line in lines)
    answered = sum(r["result_message_index"] is not None for r in rows(flat, "tool_calls"))
    assert answered == sum(m["role"] == "tool" for line in lines for m in line["messages"])
    for body in bodies[::20]:
        assert reassemble(flat, body["id"]) == promised(body)
