"""`sync` and `rebuild`: their summaries, and where the key must not appear."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

import vapi_sessions
from constants import KEY
from desk import Desk, always
from selection import first
from vapi_emulator.server import EmulatorServer
from vapi_sessions.operations import sync
from worlds import settings_for


def test_a_first_sync_prints_its_summary(tmp_path: Path, source: EmulatorServer) -> None:
    """The summary is on stdout, progress on stderr, and the key on neither."""
    desk = Desk(source, tmp_path / "new" / "warehouse")
    desk.warehouse.parent.mkdir()
    ran = desk.start("sync", "--page-size", "50")
    assert ran.code == 0
    assert re.match(r"120 sessions read: 120 new, 0 changed, [\d,]+ messages written, in ", ran.out)
    assert "complete until 2" in ran.out
    assert "sync: 120 sessions to read in " in ran.err
    assert KEY not in ran.out + ran.err
    assert desk.rows("SELECT count(*) FROM sessions") == [(120,)]


def test_no_file_of_the_warehouse_contains_the_key(desk: Desk) -> None:
    """Neither after a success nor after a failure."""
    always("500")(desk)
    desk.server.faults.script(None, None)
    with pytest.raises(vapi_sessions.errors.VapiSessionsError):
        sync.sync(
            settings_for(desk.server, desk.warehouse, api_key=SecretStr(KEY)),
            environment=sync.Environment(sleep=lambda seconds: None),
        )
    files = desk.files()
    assert {"index.duckdb", "vapi.duckdb"} < files.keys()
    assert [name for name, (content, _) in files.items() if KEY.encode() in content] == []


def test_a_wrong_time_zone_is_refused_before_any_request(desk: Desk) -> None:
    """By option and by variable, with exit code 2 and a remedy."""
    desk.server.clear_requests()
    by_option = desk.run("sync", "--time-zone", "Mars/Olympus_Mons")
    desk.environment["VAPI_TIME_ZONE"] = "Mars/Olympus_Mons"
    by_variable = desk.run("sync")
    assert (by_option.code, by_variable.code) == (2, 2)
    assert by_option.err.startswith("error: --time-zone: 'Mars/Olympus_Mons' is not a time zone")
    assert "Correct VAPI_TIME_ZONE, or unset it." in by_variable.err
    assert desk.server.requests == []


@pytest.mark.parametrize("command", first(["sync", "rebuild"]))
def test_the_time_zone_is_an_option(desk: Desk, command: str) -> None:
    """It wins over the variable."""
    desk.environment["VAPI_TIME_ZONE"] = "UTC"
    ran = desk.run(command, "--time-zone", "Asia/Kolkata")
    assert ran.code == 0
    assert desk.rows("SELECT value FROM sync.state WHERE key = 'time_zone'") == [("Asia/Kolkata",)]


def test_rebuild_prints_its_summary(desk: Desk) -> None:
    """The contents are equal, and no other database is left."""
    before = desk.contents()
    ran = desk.run("rebuild")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "Rebuilt 120 sessions from 1 raw file.\n"
    assert {path.name for path in desk.warehouse.glob("*.duckdb*")} == {"index.duckdb", "vapi.duckdb"}
    assert desk.contents() == before
