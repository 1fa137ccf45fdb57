"""`status`: as JSON, as text, and as an alarm."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from desk import OURS, Desk
from documents import ROOT
from vapi_sessions.schema import TABLES


def test_status_as_json(desk: Desk) -> None:
    """It has the organisation, the claim, the rows, the runs and the sizes."""
    found = json.loads(desk.run("status", "--json").out)
    assert (found["org_id"], found["base_url"]) == (OURS, desk.server.url)
    assert found["warehouse"] == str(desk.warehouse)
    assert found["gaps"] == []
    assert found["origin_reason"] == "oldest session"
    assert found["watermark"].endswith("Z")
    assert found["age_seconds"] >= 0
    for table in TABLES:
        assert [(found["rows"][table.name],)] == desk.rows(f"SELECT count(*) FROM {table.name}")
    assert [(run["outcome"], run["sessions_new"]) for run in found["last_runs"]] == [("done", 120)]
    assert found["bytes"]["raw"] == sum(p.stat().st_size for p in (desk.warehouse / "raw").iterdir())
    assert found["unmerged_raw_files"] == 0
    assert (found["checks"], found["unchecked_parts"]) == ({}, 0)


def test_status_as_json_is_as_its_schema_says(desk: Desk) -> None:
    """The documented schema describes every member, and `make docs` keeps it up to date."""
    found = json.loads(desk.run("status", "--json").out)
    schema = json.loads((ROOT / "docs" / "status.schema.json").read_text())
    jsonschema.validate(found, schema, format_checker=jsonschema.FormatChecker())
    assert list(found) == list(schema["properties"]) == schema["required"]
    assert found["schema_version"] == schema["properties"]["schema_version"]["const"] == 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "gaps": None}, schema)


def test_status_as_metrics(desk: Desk) -> None:
    """What a run writes to VAPI_METRICS_FILE."""
    ran = desk.run("status", "--prometheus")
    assert ran.code == 0
    assert f'vapi_sessions_rows{{warehouse="{desk.warehouse}",table="sessions"}} 120\n' in ran.out


def test_status_as_text(desk: Desk) -> None:
    """One fact per line."""
    ran = desk.run("status")
    facts = dict(line.split(maxsplit=1) for line in ran.out.splitlines() if not line.startswith(" "))
    assert (ran.code, ran.err) == (0, "")
    assert facts["organisation"] == OURS
    assert facts["gaps"] == "none"
    assert facts["checks"] == "none fails"
    assert facts["rows"].startswith("120 sessions, ")


def test_status_fits_the_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long fact continues below its value, with every word; without a terminal it is one line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    whole = desk.run("status").out
    monkeypatch.setenv("COLUMNS", "60")
    lines = desk.run("status").out.splitlines()
    assert max(len(line) for line in lines if "/" not in line) <= 60 < max(map(len, whole.splitlines()))
    after = lines[lines.index(next(line for line in lines if line.startswith("rows "))) + 1]
    assert after.startswith(" " * 16)
    # The age grows meanwhile.
    words, there = (re.sub(r"\d+\s+(s|min)\b", "0 s", text).split() for text in (whole, " ".join(lines)))
    assert [word for word in words if word in there] == words


@pytest.mark.parametrize(("age", "code"), [("7d", 0), ("0s", 6)])
def test_status_exits_with_6_if_the_warehouse_is_too_old(desk: Desk, age: str, code: int) -> None:
    """It still prints the status; the error names the remedy."""
    ran = desk.run("status", "--json", "--max-age", age)
    assert ran.code == code
    assert json.loads(ran.out)["rows"]["sessions"] == 120
    assert (ran.err == "") == (code == 0)
    if code:
        assert "more than 0s" in ran.message[0]
        assert "vapi-sessions sync" in ran.message[1]
