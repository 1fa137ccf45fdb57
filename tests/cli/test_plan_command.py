"""`plan`: it requests only counts and writes nothing."""

from __future__ import annotations

import re

from desk import Desk


def test_plan_requests_only_counts_and_changes_nothing(desk: Desk) -> None:
    """Each request asks for one row, and no file of the warehouse changes."""
    before = desk.files()
    ran = desk.run("plan", "--full", "--page-size", "10")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"\d windows, 120 sessions, about \d+ requests, about ", ran.out)
    assert {request.parameters["limit"] for request in desk.server.requests} == {"1"}
    assert desk.files() == before


def test_plan_does_not_create_a_warehouse(desk: Desk) -> None:
    elsewhere = desk.warehouse.parent / "elsewhere"
    assert desk.run("plan", "--warehouse", str(elsewhere)).code == 0
    assert not elsewhere.exists()
