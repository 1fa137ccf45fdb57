"""The columns of each table, for one or a few sessions."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_sessions import CREATED, SESSIONS, plain_json, row, rows, session, version
from selection import examples
from vapi_sessions import schema
from vapi_sessions.core.timestamps import parse
from vapi_sessions.transform.flatten import flatten


@examples(25)
@given(st.lists(SESSIONS, min_size=1, max_size=6))
def test_every_json_column_casts_in_duckdb(bodies: list[dict[str, Any]]) -> None:
    """The published views cast these columns to JSON, for anything that the source sends."""
    flat = flatten([version(body | {"id": f"s{i}"}, session_id=f"s{i}") for i, body in enumerate(bodies)])
    with duckdb.connect() as connection:
        for table in schema.TABLES:
            connection.register("t", flat.tables[table.name])
            for column in table.columns:
                if column.type == "JSON":
                    connection.execute(f"SELECT {column.name}::JSON FROM t").fetchall()


@examples(25)
@given(st.lists(SESSIONS, max_size=5))
def test_rows_are_in_the_order_of_the_versions(bodies: list[dict[str, Any]]) -> None:
    """In every table; within a session, in the order of positions."""
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


def test_tables_have_the_declared_columns() -> None:
    """Exactly these, also for no sessions. Columns for deletions are null."""
    for versions in ([], [version(session())], [version("[]")]):
        flat = flatten(versions)
        for table in schema.TABLES:
            assert flat.tables[table.name].schema == table.arrow
            flat.tables[table.name].validate(full=True)
        assert all(r["deleted_at"] is r["aged_out_at"] is None for r in rows(flat, "sessions"))


def test_expiry_defaults_to_a_day() -> None:
    """The contract's default applies only to expires_at."""
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
    """The first of them with a value."""
    found = row(session(**fields))
    assert (found["assistant_name"], found["model_provider"], found["model_name"]) == expected
    assert found["extra"] is None


def test_content_parts_are_joined() -> None:
    """Text parts, by a newline; content_json has the original."""
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "output_text", "text": "b"}]
    found = row(session(messages=[{"role": "user", "content": parts}]), "messages")
    assert (found["content"], json.loads(found["content_json"])) == ("a\nb", parts)


def test_a_tool_call_finds_its_result() -> None:
    """The first later answer with its id that belongs to no earlier call."""
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
    """A string is unchanged; any other value becomes JSON text, which `extra` records."""
    calls = [{"function": {"arguments": '{"a" : 1.0}'}}, {"function": {"arguments": {"a": 1}}}]
    flat = flatten([version(session(messages=[{"tool_calls": calls}]))])
    found = [(r["arguments"], r["extra"]) for r in rows(flat, "tool_calls")]
    assert found == [('{"a" : 1.0}', None), ('{"a":1}', '{"function":{"arguments$json":true}}')]


def test_a_pending_cost_is_null() -> None:
    """An absent cost and a null cost are both null, not zero."""
    flat = flatten(
        [version(session(cost=None, costs=[{"type": "model", "cost": None}, {"type": "session"}]))]
    )
    assert rows(flat, "sessions")[0]["cost_usd"] is None
    assert [r["cost_usd"] for r in rows(flat, "costs")] == [None, None]


def test_structured_outputs_of_another_shape_are_kept_whole() -> None:
    """The whole value is the result if it has neither name nor result."""
    outputs = {"a": {"name": "CSAT", "result": {"x": 1}}, "b": [1], "c": {"value": 2}}
    flat = flatten([version(session(artifact={"structuredOutputs": outputs}))])
    found = {r["structured_output_id"]: (r["name"], r["result"]) for r in rows(flat, "structured_outputs")}
    assert found == {"a": ("CSAT", '{"x":1}'), "b": (None, "[1]"), "c": (None, '{"value":2}')}


def test_times_are_read_as_epoch_milliseconds() -> None:
    """Exact to the microsecond. A time outside of the range of timestamps is kept in `extra`."""
    flat = flatten([version(session(messages=[{"time": 1.5, "endTime": 10**17, "secondsFromStart": 2}]))])
    (found,) = rows(flat, "messages")
    assert (found["sent_at"], found["ended_at"], found["seconds_from_start"]) == (1500, None, 2.0)
    assert json.loads(found["extra"]) == {"endTime": 10**17}
