"""Everything that the columns cannot hold is kept in `extra` and counted as drift."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reassembly import promised, reassemble
from sample_sessions import CREATED, FEW, SESSIONS, plain_json, row, rows, session, version, with_member
from vapi_sessions.core.json_text import MARK
from vapi_sessions.core.timestamps import parse
from vapi_sessions.transform.flatten import flatten, message_count


@FEW
@given(SESSIONS, st.booleans())
def test_a_session_can_be_restored_from_its_rows(body: dict[str, Any], spaced: bool) -> None:
    """Columns and `extra` together lose nothing, whether or not a session follows the contract."""
    text = json.dumps(body) if spaced else plain_json(body)
    one = version(text)
    assert promised(reassemble(flatten([one]))) == promised(json.loads(one.body))


def test_unknown_fields_are_kept_and_counted() -> None:
    """At every level of a session, with their names."""
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


def test_drift_shows_names_but_no_content() -> None:
    """Text that does not look like a name is shown as "?", and the number of names is bounded."""
    body = session(**{"call me on +1555": 1, **{f"f{i}": 1 for i in range(1000)}})
    drift = flatten([version(body)]).drift
    assert "session.?" in drift
    assert len(drift) <= 302
    assert sum(drift.values()) == 1001


def test_integers_of_any_length_are_kept() -> None:
    """To the last digit. Those that Python refuses to read become strings."""
    for length in (20, 4_300, 4_301, 100_000):
        number = "9" * length
        shown = number if length <= 4_300 else f'"{number}"'
        text = f'"metadata":{{"n":{number}}},"messages":[{{"metadata":[{number}],"time":{number}}}]'
        flat = flatten([with_member(text)])
        assert rows(flat, "sessions")[0]["metadata"] == f'{{"n":{shown}}}'
        (found,) = rows(flat, "messages")
        assert (found["metadata"], found["extra"]) == (f"[{shown}]", f'{{"time":{shown}}}')


def test_repairs_of_json_are_recorded_in_extra_and_drift() -> None:
    """The drift counts sessions. Any other value under the name of this record is an ordinary member."""
    body = session(name="cut \ud83d", metadata={"k": "\udc00"})
    flat = flatten([version(body)])
    (found,) = rows(flat, "sessions")
    assert (found["name"], found["metadata"]) == ("cut \ufffd", '{"k":"\ufffd"}')
    assert json.loads(found["extra"]) == {MARK: {"lone_surrogates": 2}}
    assert flat.drift == {"session.$normalised.lone_surrogates": 1}
    other = row(session(**{MARK: {"lone_surrogates": "my number is 5"}}))
    assert json.loads(other["extra"]) == {"$$normalised": {"lone_surrogates": "my number is 5"}}


def test_numbers_in_json_keep_their_text() -> None:
    """In JSON columns and in `extra`, to the last digit."""
    text = plain_json(session())[:-1] + ',"metadata":{"n":1.000,"e":1e400},"big":0.12345678901234567890123}'
    found = row(text)
    assert found["metadata"] == '{"n":1.000,"e":1e400}'
    assert found["extra"] == '{"big":0.12345678901234567890123}'


@pytest.mark.parametrize("body", ["[]", "7", "null", "", "{", '{"a":NaN}', '{"a":"\x01"}', b"\xff"])
def test_a_body_that_is_not_a_session_gets_a_row(body: str | bytes) -> None:
    """With the version's own columns, and the reason in `extra`."""
    found = row(body)
    assert found["session_id"] == "s1"
    assert found["message_count"] == 0
    assert found["extra"].startswith('{"$')
    assert message_count(version(body).body) == 0


def test_deep_nesting_does_not_raise() -> None:
    """A normalised body has a string instead. A body that was not normalised gets a row with the reason in `extra`."""
    text = "[" * 100_000 + "]" * 100_000
    deep = plain_json(session())[:-1] + ',"metadata":' + text + "}"
    inner = row(deep)["metadata"].strip("[]")
    levels = (len(row(deep)["metadata"]) - len(inner)) // 2
    assert "[" * levels + json.loads(inner) + "]" * levels == text
    (raw,) = rows(flatten([replace(version(session()), body=deep.encode())]), "sessions")
    assert raw["extra"].startswith('{"$unreadable":')
    assert message_count(deep.encode()) == 0


def test_nul_characters_survive_duckdb_and_parquet(tmp_path: Path) -> None:
    """In string columns and in JSON columns."""
    flat = flatten([version(session(name="a\u0000b", metadata={"k\u0000": "\u0000"}))])
    pq.write_table(flat.tables["sessions"].select(["name", "metadata"]), tmp_path / "s.parquet")
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT name, metadata::JSON FROM '{tmp_path}/s.parquet'").fetchone()
    assert found is not None
    assert (found[0], json.loads(found[1])) == ("a\u0000b", {"k\u0000": "\u0000"})


def test_a_body_that_contradicts_its_version_keeps_its_values_in_extra() -> None:
    """The columns have the values of the version."""
    found = row(session() | {"orgId": "other", "createdAt": 5})
    assert (found["org_id"], found["created_at"]) == ("o1", parse(CREATED))
    assert json.loads(found["extra"]) == {"orgId": "other", "createdAt": 5}
