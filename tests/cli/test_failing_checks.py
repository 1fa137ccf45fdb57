"""A failing check at the command line: a warning of the run that finds it, a line of `status`, a difference for `verify`."""

from __future__ import annotations

import json

import pytest

from desk import Desk
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock
from verifying import plant

pytestmark = pytest.mark.checks

FINDS = "the check messages_of_sessions finds 1 row; see: "


@pytest.fixture(name="desk")
def with_a_wrong_row(desk: Desk) -> Desk:
    """A warehouse with a wrong count in one row. The next run writes another table of all parts, and checks them."""
    plant(
        desk,
        "UPDATE sessions SET message_count = 99 WHERE session_id = (SELECT min(session_id) FROM sessions)",
    )
    layout = Layout(desk.warehouse)
    with writer_lock(layout), Index(layout.index, layout.scratch) as index:
        index.run("UPDATE sync.parts SET dirty = true WHERE table_name = 'costs'")
    return desk


def test_a_failing_check_is_a_warning_and_counted_by_status(desk: Desk) -> None:
    """Every run that publishes names it, and its exit code stays 0."""
    for _ in range(2):
        ran = desk.run("sync")
        assert ran.code == 0
        assert ran.err.count(f"sync: warning: {FINDS}") == 1
    (line,) = [line for line in desk.run("status").out.splitlines() if line.startswith("checks ")]
    assert FINDS in line
    assert json.loads(desk.run("status", "--json").out)["checks"] == {"messages_of_sessions": 1}


def test_a_failing_check_is_a_difference_for_verify(desk: Desk) -> None:
    """With the id, and the remedy, which repairs it."""
    ran = desk.run("verify")
    assert ran.code == 6
    assert FINDS in ran.out
    assert "remedy: vapi-sessions rebuild" in ran.out
    assert desk.rows("SELECT min(session_id) FROM sessions")[0][0] in ran.out
    rebuilt = desk.run("rebuild")
    assert (rebuilt.code, rebuilt.err) == (0, "")
    assert "none fails" in desk.run("status").out
    assert desk.run("verify").code == 0
