"""Sessions to rows: what each column holds, that nothing is lost, and that both decoders give the same."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beside import CORPUS, needs_corpus
from selection import examples
from vapi_emulator.generate import History, generate
from vapi_sessions import schema
from vapi_sessions.core.json_text import MARK, normalised
from vapi_sessions.core.timestamps import parse
from vapi_sessions.transform.decoders import Reader
from vapi_sessions.transform.flatten import Flat, Version, flatten, flatten_with, merge_growth, message_count
from vapi_sessions.transform.messages import usual_keys

CREATED, UPDATED = "2026-03-01T10:00:00.123Z", "2026-03-02T11:00:00.456Z"
FEW = examples(80)


def session(**fields: Any) -> dict[str, Any]:
    return {"id": "s1", "orgId": "o1", "createdAt": CREATED, "updatedAt": UPDATED, **fields}


def version(body: Any, **fields: Any) -> Version:
    """A version of this body (JSON text, bytes, or a value), as it comes from the decoder."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()
    with contextlib.suppress(ValueError):
        body, _ = normalised(body)
    known = {
        "session_id": "s1", "org_id": "o1", "created_at": parse(CREATED), "updated_at": parse(UPDATED),
        "requested_at": 3, "seq": 7, "content_hash": "h",
    }  # fmt: skip
    return Version(**(known | fields), body=body)


def rows(flat: Flat, table: str) -> list[dict[str, Any]]:
    """Rows with times as microseconds."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in flat.tables[table].columns
    ]
    return pa.table(columns, flat.tables[table].column_names).to_pylist()


def row(body: Any, table: str = "sessions", **fields: Any) -> dict[str, Any]:
    (only,) = rows(flatten([version(body, **fields)]), table)
    return only


# ---------------------------------------------------------------------------------------------------------------------
# From rows back to JSON.

OURS = {"$value", "$keys", "$normalised", "$unreadable"}


def extra_of(text: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of the source in an `extra`, and our marks."""
    members: dict[str, Any] = {}
    marks: dict[str, Any] = {}
    for key, value in json.loads(text or "{}").items():
        suffix = re.search(r"(\$+)json\Z", key)
        if key in OURS or (suffix and len(suffix[1]) % 2):
            marks[key] = value
        else:
            members[key.replace("$$", "$")] = value
    return members, marks


def present(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}


def loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def whole(columns: dict[str, Any], extra: str | None) -> Any:
    members, marks = extra_of(extra)
    return marks["$value"] if "$value" in marks else present(columns) | members


def nested(columns: dict[str, Any], extra: dict[str, Any], name: str) -> None:
    """An object taken apart into columns, whose rest is in extra[name]; replaces it there."""
    rest = extra.get(name)
    if rest is None or isinstance(rest, dict):
        value = whole(columns, json.dumps(rest or {}))
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
    members, marks = extra_of(s["extra"])
    members |= {name: marks[name] for name in marks if name == MARK}
    customer = {
        "name": s["customer_name"], "number": s["customer_number"], "email": s["customer_email"],
        "sipUri": s["customer_sip_uri"], "externalId": s["customer_external_id"],
    }  # fmt: skip
    nested(customer, members, "customer")
    return present(columns) | members


def message(r: dict[str, Any], calls: list[Any] | None) -> Any:
    _, marks = extra_of(r["extra"])
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
    columns = {key: values[key] for key in marks.get("$keys", usual_keys(spoken, *has))}
    columns |= {
        "role": r["role"], "name": r["name"], "refusal": r["refusal"], "metadata": loaded(r["metadata"]),
        "time": r["sent_at"] if r["sent_at"] is None else r["sent_at"] / 1000,
        "endTime": r["ended_at"] if r["ended_at"] is None else r["ended_at"] / 1000,
        "secondsFromStart": r["seconds_from_start"], "duration": r["duration_seconds"], "confidence": r["confidence"],
    }  # fmt: skip
    return whole(columns, r["extra"])


def tool_call(r: dict[str, Any]) -> Any:
    members, marks = extra_of(r["extra"])
    if "$value" in marks:
        return whole({}, r["extra"])
    arguments = r["arguments"]
    if isinstance(members.get("function"), dict) and members["function"].get("arguments$json") is True:
        del members["function"]["arguments$json"]
        arguments = json.loads(arguments)
    nested({"name": r["function_name"], "arguments": arguments}, members, "function")
    return present({"id": r["tool_call_id"], "type": r["type"]}) | members


def cost(r: dict[str, Any]) -> Any:
    members, marks = extra_of(r["extra"])
    if "$value" in marks:
        return whole({}, r["extra"])
    nested({"provider": r["model_provider"], "model": r["model_name"]}, members, "model")
    columns = {
        "type": r["type"], "analysisType": r["analysis_type"], "promptTokens": r["prompt_tokens"],
        "completionTokens": r["completion_tokens"], "cachedPromptTokens": r["cached_prompt_tokens"],
        "reasoningTokens": r["reasoning_tokens"], "seconds": r["billed_seconds"], "usageComplete": r["usage_complete"],
        "cost": r["cost_usd"],
    }  # fmt: skip
    return present(columns) | members


RAW_ONLY = ("assistant", "assistantOverrides", "squad", "phoneNumber")


EMPTY: dict[str, Any] = {"messages": [], "costs": [], "customer": {}, "model": {}, "function": {}}


def plain(value: Any, *apart: str) -> Any:
    """What the rows promise to keep of an object: no nulls, and no empty things among those taken apart."""
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if v is not None and not (k in apart and v == EMPTY[k])}


def promised(body: dict[str, Any]) -> dict[str, Any]:
    """A session's JSON without what stays in raw only."""
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


# ---------------------------------------------------------------------------------------------------------------------
# Sessions as the contract has them, and as it does not.

TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\:,[]{}$\u0000é😀')), max_size=12)
ODD_TEXTS = st.one_of(TEXTS, TEXTS.map(lambda t: t + "\ud83d"), TEXTS.map(lambda t: "\udc00" + t))
NUMBERS = st.one_of(
    st.integers(-5, 10_000),
    st.integers(),
    st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, ODD_TEXTS)
KEYS = st.one_of(
    st.sampled_from(["x", "$value", "a$json", "$rest", "$normalised", "content", "$keys", "name", "foo", ""]),
    ODD_TEXTS,
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda n: VALUES if n == 0 else usual)


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Some of the fields, mostly of their type, rarely with others or something else altogether."""
    usual = st.fixed_dictionaries({}, optional={name: mostly(values) for name, values in fields.items()})
    odd = st.tuples(st.dictionaries(KEYS, VALUES, max_size=2), usual).map(lambda pair: pair[0] | pair[1])
    return st.integers(0, 19).flatmap(lambda n: VALUES if n == 0 else odd if n < 4 else usual)


CALL_IDS = st.sampled_from(["c1", "c2", "c3"])
TIMES = st.one_of(st.integers(0, 2 * 10**12), st.floats(0, 2e12), st.integers(-(10**17), 10**17))
CALLS = st.lists(
    objects(
        {
            "id": CALL_IDS,
            "type": st.just("function"),
            "function": objects({"name": TEXTS, "arguments": st.one_of(TEXTS, VALUES)}),
        }
    ),
    max_size=3,
)
PARTS = st.lists(
    st.one_of(TEXTS, VALUES, st.fixed_dictionaries({"type": st.just("text"), "text": ODD_TEXTS})), max_size=3
)
ROLES = st.sampled_from(
    ["system", "user", "assistant", "bot", "tool", "tool_calls", "tool_call_result", "owl"]
)
COMMON = {"role": ROLES, "metadata": VALUES, "name": TEXTS, "confidence": NUMBERS}
WRITTEN = {
    **COMMON, "content": st.one_of(TEXTS, ODD_TEXTS, PARTS), "tool_calls": CALLS, "tool_call_id": CALL_IDS, "refusal": TEXTS,
}  # fmt: skip
SPOKEN = {
    **COMMON, "message": TEXTS, "time": TIMES, "endTime": TIMES, "secondsFromStart": NUMBERS, "duration": NUMBERS,
    "toolCalls": CALLS, "toolCallId": CALL_IDS, "result": VALUES,
}  # fmt: skip
MODELS = objects({"provider": TEXTS, "model": TEXTS})
COSTS = objects(
    {
        "type": st.sampled_from(["model", "analysis", "session", "chat"]), "analysisType": TEXTS, "model": MODELS,
        "promptTokens": NUMBERS, "completionTokens": NUMBERS, "cachedPromptTokens": NUMBERS, "reasoningTokens": NUMBERS,
        "seconds": NUMBERS, "usageComplete": st.one_of(st.booleans(), VALUES), "cost": NUMBERS,
    }
)  # fmt: skip
EMBEDDED = objects({"name": ODD_TEXTS, "model": MODELS})
SESSION_FIELDS = {
    "name": ODD_TEXTS, "status": st.sampled_from(["active", "completed"]), "expirationSeconds": NUMBERS,
    "assistantId": TEXTS, "squadId": TEXTS, "customerId": TEXTS, "phoneNumberId": TEXTS, "cost": NUMBERS,
    "assistant": EMBEDDED, "assistantOverrides": EMBEDDED, "squad": EMBEDDED, "phoneNumber": VALUES,
    "customer": objects(
        {
            "name": TEXTS, "number": TEXTS, "email": TEXTS, "sipUri": TEXTS, "externalId": TEXTS, "extension": TEXTS,
            "numberE164CheckEnabled": st.booleans(), "assistantOverrides": EMBEDDED,
        }
    ),
    "costs": st.lists(COSTS, max_size=3),
    "messages": st.lists(st.one_of(objects(WRITTEN), objects(SPOKEN), objects(WRITTEN | SPOKEN)), max_size=5),
    "artifact": objects(
        {"structuredOutputs": st.dictionaries(ODD_TEXTS, objects({"name": TEXTS, "result": VALUES}), max_size=2)}
    ),
    "metadata": VALUES,
    "workflowId": TEXTS,
}  # fmt: skip
SESSIONS = (
    objects(SESSION_FIELDS).filter(lambda value: isinstance(value, dict)).map(lambda value: value | session())
)


def plain_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


@FEW
@given(SESSIONS, st.booleans())
def test_a_session_can_be_put_together_again_from_its_rows(body: dict[str, Any], spaced: bool) -> None:
    """Nothing of the contract's fields, nor of what violates it, is lost between the columns and extra."""
    text = json.dumps(body) if spaced else plain_json(body)
    one = version(text)
    assert promised(reassemble(flatten([one]))) == promised(json.loads(one.body))


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
    """Strict and lenient give the same rows and the same drift."""
    strict, lenient = flatten(versions), flatten_with(Reader(strict=False), versions)
    assert comparable(strict.tables) == comparable(lenient.tables)
    assert (strict.drift, strict.heads) == (lenient.drift, lenient.heads)
    return strict


def read_leniently(*versions: Version) -> int:
    """How many objects the strict decoder leaves to the lenient one."""
    reader = Reader()
    flatten_with(reader, versions)
    return reader.lenient


@FEW
@given(st.lists(SESSIONS, min_size=1, max_size=4), st.booleans())
def test_both_decoders_give_the_same(bodies: list[dict[str, Any]], spaced: bool) -> None:
    """The same rows and the same drift, whatever mixture of ordinary and odd sessions a batch has."""
    texts = [(json.dumps if spaced else plain_json)(body | {"id": f"s{i}"}) for i, body in enumerate(bodies)]
    assert_both_ways(*(version(text, session_id=f"s{i}") for i, text in enumerate(texts)))


ORDINARY = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": ROLES},
                optional={
                    "content": st.one_of(st.none(), TEXTS), "tool_call_id": CALL_IDS, "metadata": st.just({"a": None}),
                    "tool_calls": st.lists(
                        st.fixed_dictionaries(
                            {"id": CALL_IDS, "function": st.fixed_dictionaries({"name": TEXTS, "arguments": TEXTS})}
                        ), max_size=2,
                    ),
                },
            ), max_size=6,
        ),
        "costs": st.lists(
            st.fixed_dictionaries({"cost": st.floats(0, 9)}, optional={"model": st.just({"model": "m", "t": 1})}),
            max_size=2,
        ),
        "customer": st.just({"name": "n", "numberE164CheckEnabled": True}),
        "artifact": st.just({"structuredOutputs": {"u": {"name": "CSAT", "result": [1, None]}}}),
    },
)  # fmt: skip


@FEW
@given(st.lists(ORDINARY, min_size=1, max_size=4))
def test_ordinary_sessions_go_the_strict_way(bodies: list[dict[str, Any]]) -> None:
    """All of them, and the rows are the lenient ones."""
    versions = [
        version(session(**body) | {"id": f"s{i}"}, session_id=f"s{i}") for i, body in enumerate(bodies)
    ]
    assert read_leniently(*versions) == 0
    assert_both_ways(*versions)


#: What the contract declares, and what was seen in practice.
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


def test_every_declared_shape_and_what_was_seen_is_ordinary() -> None:
    """The lenient decoder is not needed, alone or for all of them together."""
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
def test_of_the_emulators_history_hardly_anything_is_read_leniently(size: int) -> None:
    """At most one session of a hundred."""
    history = History(org_id="0e111a70-0000-4000-8000-000000000001", sessions=size, until_us=parse(UPDATED))
    reader = Reader()
    for batch in generate(history):
        flatten_with(reader, [version(row.body, session_id=row.id) for row in batch])
    assert reader.lenient <= size / 100  # objects, so sessions all the more
    assert reader.drift.counts["message.source"] > size / 100  # it is one with members that have no column


@FEW
@given(SESSIONS)
def test_message_count_is_what_flatten_counts(body: dict[str, Any]) -> None:
    """The cheap count and the column agree for every shape."""
    item = version(body)
    assert message_count(item.body) == rows(flatten([item]), "sessions")[0]["message_count"]


@examples(25)
@given(st.lists(SESSIONS, min_size=1, max_size=6))
def test_every_json_column_casts_in_duckdb(bodies: list[dict[str, Any]]) -> None:
    """Whatever the source sends, the published views' cast to JSON takes it."""
    flat = flatten([version(body | {"id": f"s{i}"}, session_id=f"s{i}") for i, body in enumerate(bodies)])
    with duckdb.connect() as connection:
        for table in schema.TABLES:
            connection.register("t", flat.tables[table.name])
            for column in table.columns:
                if column.type == "JSON":
                    connection.execute(f"SELECT {column.name}::JSON FROM t").fetchall()


# ---------------------------------------------------------------------------------------------------------------------
# Order, and what tells which tables have changed.


@examples(25)
@given(st.lists(SESSIONS, max_size=5))
def test_rows_are_in_the_order_of_the_versions(bodies: list[dict[str, Any]]) -> None:
    """In every table, however odd some of the sessions are; those of one session by their positions."""
    names = [f"s{(i * 3) % 5}" for i in range(len(bodies))]
    versions = [version(plain_json(b | {"id": n}), session_id=n) for b, n in zip(bodies, names, strict=True)]
    flat = flatten(versions)
    for table in schema.TABLES:
        numbers = [name for name in table.key if name.endswith("_index")]
        found = [
            (names.index(r["session_id"]), *(r[name] for name in numbers)) for r in rows(flat, table.name)
        ]
        assert found == sorted(found)
    assert [h.message_count for h in flat.heads] == [r["message_count"] for r in rows(flat, "sessions")]


@pytest.mark.parametrize("odd", [{}, {"status": 7}], ids=["ordinary", "odd"])
@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("messages", [{"role": "bot"}]),
        ("costs", [{"cost": 1}]),
        ("artifact", {"structuredOutputs": {"u": 1}}),
    ],
)
def test_a_hash_says_which_tables_have_changed(part: str, value: Any, odd: dict[str, Any]) -> None:
    """Each of what is in its own tables alone; equal in every process."""
    before = session(name="a", messages=[], **odd)
    changed = before | {"name": "b", part: value}
    (old,), (other,), (new,) = (
        flatten([version(b)]).heads for b in (before, before | {"name": "b"}, changed)
    )
    assert old == other
    names = {"messages": "messages_hash", "costs": "costs_hash", "artifact": "outputs_hash"}
    for each, name in names.items():
        assert (getattr(old, name) == getattr(new, name)) == (each != part)
    assert old.messages_hash == 5399268765281079703


# ---------------------------------------------------------------------------------------------------------------------
# Growth.

STEPS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5)


@given(STEPS, STEPS, STEPS)
@examples(100)
def test_growth_does_not_depend_on_the_order_of_arrival(a: Any, b: Any, c: Any) -> None:
    """merge_growth is commutative, associative and idempotent."""
    assert merge_growth(a, b) == merge_growth(b, a)
    assert merge_growth(merge_growth(a, b), c) == merge_growth(a, merge_growth(b, c))
    assert merge_growth(merge_growth(a, b), b) == merge_growth(a, b)


@given(STEPS)
@examples(100)
def test_growth_ascends_in_both(steps: Any) -> None:
    """What is left is a staircase on which nothing is dominated."""
    merged = merge_growth(steps, None)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(merged))


# ---------------------------------------------------------------------------------------------------------------------
# Columns.


def test_tables_have_the_declared_columns() -> None:
    """Each table is exactly its declaration, marks are null, and it may be empty."""
    for versions in ([], [version(session())], [version("[]")]):
        flat = flatten(versions)
        for table in schema.TABLES:
            assert flat.tables[table.name].schema == table.arrow
            flat.tables[table.name].validate(full=True)
        assert all(r["deleted_at"] is r["aged_out_at"] is None for r in rows(flat, "sessions"))


def test_expiry_defaults_to_a_day() -> None:
    """The contract's default applies to expires_at only."""
    found = row(session())
    assert (found["expiration_seconds"], found["expires_at"]) == (None, parse(CREATED) + 86_400_000_000)
    assert row(session(expirationSeconds=60))["expires_at"] == parse(CREATED) + 60_000_000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"assistant": {"name": "A", "model": {"provider": "p", "model": "m"}}}, ("A", "p", "m")),
        ({"assistantOverrides": {"name": "O", "model": {"model": "o"}}}, ("O", None, "o")),
        ({"costs": [{"type": "session"}, {"model": {"provider": "c"}}]}, (None, "c", None)),
        ({"assistant": {"model": 3}, "assistantOverrides": {"name": "O"}}, ("O", None, None)),
    ],
)
def test_names_come_from_the_embedded_assistant_its_overrides_or_the_costs(
    fields: Any, expected: Any
) -> None:
    """The first of them that knows."""
    found = row(session(**fields))
    assert (found["assistant_name"], found["model_provider"], found["model_name"]) == expected
    assert found["extra"] is None


def test_unknown_fields_are_kept_and_counted() -> None:
    """At every level, by name."""
    body = session(
        foo={"a": [1.50]},
        messages=[{"role": "weird", "bar": 1}, 7],
        costs=[{"type": "chat", "sub": {}}],
        cost="free",
    )
    flat = flatten([version(body)])
    assert json.loads(rows(flat, "sessions")[0]["extra"]) == {"foo": {"a": [1.50]}, "cost": "free"}
    assert flat.drift == {
        "session.foo": 1, "session.cost:retyped": 1, "message.role=weird": 1, "message.bar": 1, "message.$value": 1,
        "cost.type=chat": 1, "cost.sub": 1,
    }  # fmt: skip


def test_drift_never_shows_contents() -> None:
    """A name that does not look like one is not repeated, and their number is bounded."""
    body = session(**{"call me on +1555": 1, **{f"f{i}": 1 for i in range(1000)}})
    drift = flatten([version(body)]).drift
    assert "session.?" in drift
    assert len(drift) <= 302
    assert sum(drift.values()) == 1001


def test_content_parts_are_joined() -> None:
    """Text parts by a newline, the original beside them."""
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "output_text", "text": "b"}]
    found = row(session(messages=[{"role": "user", "content": parts}]), "messages")
    assert (found["content"], json.loads(found["content_json"])) == ("a\nb", parts)


def test_a_tool_call_finds_its_result() -> None:
    """By id, the first unused answer after the call."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = session(
        messages=[
            {"role": "tool", "tool_call_id": "c", "content": "before"},
            {"role": "assistant", "tool_calls": [call, call]},
            {"role": "tool", "tool_call_id": "c", "content": "one"},
            {"role": "tool_call_result", "toolCallId": "c", "result": "two", "time": 1},
        ]
    )
    for flat in (flatten([version(body)]), flatten([version(session(messages=body["messages"][:3]))])):
        found = [(r["result"], r["result_message_index"]) for r in rows(flat, "tool_calls")]
        assert found[0] == ("one", 2)
    assert [r["result"] for r in rows(flatten([version(body)]), "tool_calls")] == ["one", "two"]


def test_arguments_stay_as_received() -> None:
    """A string is not touched; anything else becomes JSON text, and says so."""
    calls = [{"function": {"arguments": '{"a" : 1.0}'}}, {"function": {"arguments": {"a": 1}}}]
    flat = flatten([version(session(messages=[{"tool_calls": calls}]))])
    found = [(r["arguments"], r["extra"]) for r in rows(flat, "tool_calls")]
    assert found == [('{"a" : 1.0}', None), ('{"a":1}', '{"function":{"arguments$json":true}}')]


def test_a_pending_cost_is_null() -> None:
    """Neither an absent cost nor a null one is zero."""
    flat = flatten(
        [version(session(cost=None, costs=[{"type": "model", "cost": None}, {"type": "session"}]))]
    )
    assert rows(flat, "sessions")[0]["cost_usd"] is None
    assert [r["cost_usd"] for r in rows(flat, "costs")] == [None, None]


def test_structured_outputs_of_another_shape_are_kept_whole() -> None:
    """Name and result where there are such, else the whole value is the result."""
    outputs = {"a": {"name": "CSAT", "result": {"x": 1}}, "b": [1], "c": {"value": 2}}
    flat = flatten([version(session(artifact={"structuredOutputs": outputs}))])
    found = {r["structured_output_id"]: (r["name"], r["result"]) for r in rows(flat, "structured_outputs")}
    assert found == {"a": ("CSAT", '{"x":1}'), "b": (None, "[1]"), "c": (None, '{"value":2}')}


def test_times_are_epoch_milliseconds() -> None:
    """Exact to the microsecond; what is not representable stays in extra."""
    flat = flatten([version(session(messages=[{"time": 1.5, "endTime": 10**17, "secondsFromStart": 2}]))])
    (found,) = rows(flat, "messages")
    assert (found["sent_at"], found["ended_at"], found["seconds_from_start"]) == (1500, None, 2.0)
    assert json.loads(found["extra"]) == {"endTime": 10**17}


def with_member(members: str, number: int = 0) -> Version:
    """An ordinary session's version, its JSON with these members at the end, as they are written."""
    body = session() | {"id": f"s{number}"}
    return version(plain_json(body)[:-1] + "," + members + "}", session_id=f"s{number}")


def test_integers_of_any_length_arrive() -> None:
    """To the last digit; those that Python would refuse to read as strings."""
    for length in (20, 4_300, 4_301, 100_000):
        number = "9" * length
        shown = number if length <= 4_300 else f'"{number}"'
        text = f'"metadata":{{"n":{number}}},"messages":[{{"metadata":[{number}],"time":{number}}}]'
        flat = flatten([with_member(text)])
        assert rows(flat, "sessions")[0]["metadata"] == f'{{"n":{shown}}}'
        (found,) = rows(flat, "messages")
        assert (found["metadata"], found["extra"]) == (f"[{shown}]", f'{{"time":{shown}}}')


def test_a_zero_has_no_sign_whichever_way_it_came() -> None:
    """Decoders do not agree about -0, and which one reads a session may depend on those beside it."""
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


def test_what_was_odd_about_the_json_is_told() -> None:
    """Counted once a session and kind, whatever the count; what only looks like the mark is a member like any other."""
    body = session(name="cut \ud83d", metadata={"k": "\udc00"})
    flat = flatten([version(body)])
    (found,) = rows(flat, "sessions")
    assert (found["name"], found["metadata"]) == ("cut \ufffd", '{"k":"\ufffd"}')
    assert json.loads(found["extra"]) == {MARK: {"lone_surrogates": 2}}
    assert flat.drift == {"session.$normalised.lone_surrogates": 1}
    other = row(session(**{MARK: {"lone_surrogates": "my number is 5"}}))
    assert json.loads(other["extra"]) == {"$$normalised": {"lone_surrogates": "my number is 5"}}


def test_numbers_keep_their_text() -> None:
    """In JSON columns and in extra, to the last digit."""
    text = plain_json(session())[:-1] + ',"metadata":{"n":1.000,"e":1e400},"big":0.12345678901234567890123}'
    found = row(text)
    assert found["metadata"] == '{"n":1.000,"e":1e400}'
    assert found["extra"] == '{"big":0.12345678901234567890123}'


@pytest.mark.parametrize("body", ["[]", "7", "null", "", "{", '{"a":NaN}', '{"a":"\x01"}', b"\xff"])
def test_what_is_no_session_gets_a_row(body: str | bytes) -> None:
    """The version's own columns, and in extra why there is nothing else."""
    found = row(body)
    assert found["session_id"] == "s1"
    assert found["message_count"] == 0
    assert found["extra"].startswith('{"$')
    assert message_count(version(body).body) == 0


def test_deep_nesting_does_not_raise() -> None:
    """What the decoder made of it is a string; a body that did not come through the decoder is a row that says so."""
    text = "[" * 100_000 + "]" * 100_000
    deep = plain_json(session())[:-1] + ',"metadata":' + text + "}"
    inner = row(deep)["metadata"].strip("[]")
    levels = (len(row(deep)["metadata"]) - len(inner)) // 2
    assert "[" * levels + json.loads(inner) + "]" * levels == text
    (raw,) = rows(flatten([replace(version(session()), body=deep.encode())]), "sessions")
    assert raw["extra"].startswith('{"$unreadable":')
    assert message_count(deep.encode()) == 0


def test_nul_characters_survive_duckdb_and_parquet(tmp_path: Path) -> None:
    """In text columns and in JSON columns."""
    flat = flatten([version(session(name="a\u0000b", metadata={"k\u0000": "\u0000"}))])
    pq.write_table(flat.tables["sessions"].select(["name", "metadata"]), tmp_path / "s.parquet")
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT name, metadata::JSON FROM '{tmp_path}/s.parquet'").fetchone()
    assert found is not None
    assert (found[0], json.loads(found[1])) == ("a\u0000b", {"k\u0000": "\u0000"})


def test_a_body_that_contradicts_its_version_says_so() -> None:
    """The version's columns win; the body's own values are kept."""
    found = row(session() | {"orgId": "other", "createdAt": 5})
    assert (found["org_id"], found["created_at"]) == ("o1", parse(CREATED))
    assert json.loads(found["extra"]) == {"orgId": "other", "createdAt": 5}


@needs_corpus
def test_real_conversations_are_ordinary_and_complete() -> None:
    """Every message of real conversations with a tool-calling agent comes back from the rows, by the strict way."""
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
