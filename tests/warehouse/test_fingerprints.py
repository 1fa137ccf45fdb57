"""Fingerprints of a session's rows do not depend on other sessions, and change with every row."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_sessions import FEW, SESSIONS, version
from vapi_sessions import schema
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.warehouse import fingerprints

DB = duckdb.connect(config={"threads": 1})
WHOLE = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "[]"},
    ],
    "costs": [{"type": "session", "cost": 0.1}, {"type": "session", "cost": 0.1}],
    "artifact": {"structuredOutputs": {"o": {"name": "CSAT", "result": 5}}},
}


@FEW
@given(st.lists(SESSIONS, min_size=1, max_size=4))
def test_a_fingerprint_does_not_depend_on_other_sessions(
    bodies: list[dict[str, Any]],
) -> None:
    """A page is compared with rows that were flattened in another batch."""
    versions = [
        version(json.dumps(body | {"id": f"s{i}"}), session_id=f"s{i}") for i, body in enumerate(bodies)
    ]
    alone: dict[str, fingerprints.Fingerprint] = {}
    for one in versions:
        alone |= fingerprints.of_rows(DB, flatten([one]).tables)
    assert fingerprints.of_rows(DB, flatten(versions).tables) == alone
    assert alone.keys() == {one.session_id for one in versions}


@pytest.mark.parametrize("table", schema.TABLES, ids=lambda table: table.name)
def test_a_missing_or_repeated_row_changes_the_fingerprint(table: schema.Table) -> None:
    """In each table. Two equal rows do not cancel each other out."""
    tables = flatten([version(json.dumps(WHOLE | {"id": "s1"}), session_id="s1")]).tables
    rows = tables[table.name]
    assert rows.num_rows
    twice = pa.concat_tables([rows, rows])
    found = [
        fingerprints.of_rows(DB, {**tables, table.name: changed}).get("s1")
        for changed in (rows, rows.slice(1), twice, pa.concat_tables([twice, rows]))
    ]
    assert len(set(found)) == 4
