"""`demo`: a whole run without an account."""

from __future__ import annotations

import re
import stat

import pytest

import vapi_sessions
from desk import Desk


@pytest.mark.parametrize("start", [False, pytest.param(True, marks=pytest.mark.proof)], ids=["", "process"])
def test_the_demo_runs(desk: Desk, start: bool) -> None:
    """Without an account: two syncs and first answers. It replaces an earlier demo."""
    shown = desk.warehouse.parent / "shown"
    shown.mkdir()
    (shown / ".vapi-sessions-demo").touch()
    (shown / "emulator.sqlite").write_text("of an earlier demo")
    desk.environment = {
        name: value for name, value in desk.environment.items() if not name.startswith("VAPI_")
    }
    run = desk.start if start else desk.run
    ran = run("demo", "--dir", "shown", "--sessions", "80", "--days", "4")
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    assert "First sync: 80 sessions" in ran.out
    steps = " ".join(ran.out.partition("Complete until")[0].split())
    happened = re.search(r"Together: (\d+) new sessions?, (\d+) changed", steps)
    found = re.search(r"Second sync: (\d+) new and (\d+) changed sessions", steps)
    assert happened is not None
    assert found is not None
    assert happened.groups() == found.groups()
    assert [line for line in ran.out.partition("Try next")[0].splitlines() if len(line) > 80] == []
    assert f"Views, for any DuckDB: {(shown / 'warehouse' / 'vapi.duckdb').resolve()}\n" in ran.out
    assert stat.S_IMODE((shown / "emulator.sqlite").stat().st_mode) == 0o600
    report = (shown / "report.html").resolve()
    assert ran.out.endswith(f"Report, for a web browser: {report}\n")
    assert report.read_text("utf-8").startswith("<!doctype html>")
    with vapi_sessions.connect(shown / "warehouse") as db:
        assert db.execute("SELECT count(*) >= 80 FROM sessions").fetchall() == [(True,)]


def test_the_demo_refuses_a_directory_with_other_files(desk: Desk) -> None:
    """The files stay unchanged."""
    before = desk.files()
    ran = desk.run("demo", "--dir", str(desk.warehouse))
    assert (ran.code, ran.out) == (2, "")
    assert "holds files that are not from a demo" in ran.message[0]
    assert "--dir" in ran.message[1]
    assert desk.files() == before
