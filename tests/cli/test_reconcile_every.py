"""`sync --reconcile-every`: one command does both, and ends with the code of what failed."""

from __future__ import annotations

import pytest

from desk import Desk
from vapi_sessions.operations import reconcile
from vapi_sessions.settings import load_settings


def test_a_due_reconcile_follows_the_sync(desk: Desk) -> None:
    """Both print their summaries."""
    ran = desk.run("sync", "--reconcile-every", "1ms")
    assert (ran.code, ran.err.count("error")) == (0, 0)
    first, _, third, _ = ran.out.splitlines()
    assert " read: " in first
    assert third.startswith("0 marked as deleted, ")
    commands = desk.rows("SELECT command, outcome FROM sync.runs ORDER BY started_at")
    assert commands == [("sync", "done"), ("sync", "done"), ("reconcile", "done")]


def test_the_reconcile_gives_the_exit_code_if_it_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that of the circuit breaker; the sync has succeeded and says so."""
    monkeypatch.setattr(reconcile, "most_at_once", lambda live: -1)
    ran = desk.run("sync", "--reconcile-every", "1ms")
    assert (ran.code, "complete until" in ran.out) == (7, True)
    assert ran.message[1] == "If they were really deleted, run again with --accept-deletions."
    last = desk.rows("SELECT command, outcome FROM sync.runs ORDER BY started_at DESC LIMIT 2")
    assert last == [("reconcile", "failed"), ("sync", "done")]


def test_a_failed_sync_is_not_followed_by_a_reconcile(desk: Desk) -> None:
    """The code is the sync's."""
    desk.environment["VAPI_API_KEY"] = "another"
    ran = desk.run("sync", "--reconcile-every", "1ms")
    assert (ran.code, "marked" in ran.out) == (3, False)


@pytest.mark.parametrize("given", ["0s", "often", "-1h"])
def test_a_wrong_interval_is_refused(desk: Desk, given: str) -> None:
    """Before anything is read."""
    desk.server.clear_requests()
    ran = desk.run("sync", f"--reconcile-every={given}")
    assert (ran.code, ran.message[0].split(":")[1]) == (2, " --reconcile-every")
    assert desk.server.requests == []
    assert load_settings(reconcile_every="90m").reconcile_every == 5_400_000_000
