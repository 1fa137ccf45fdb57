"""Parameters of the flows: typed and described for Prefect's pages, and checked with errors of one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from constants import KEY
from vapi_sessions.core.timestamps import parse
from vapi_sessions.operations.schedule import load_flow


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Iterator[None]:
    """With a key, a source that gets no request, and no warehouse; restored at the end."""
    before = dict(os.environ)
    os.environ.update(
        VAPI_API_KEY=KEY, VAPI_BASE_URL="http://127.0.0.1:9", VAPI_WAREHOUSE=str(tmp_path / "warehouse")
    )
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("sync", {}),
        ("maintain", {}),
        ("backfill", {"since": "date-time", "until": "date-time"}),
        ("reconcile", {"recheck_hours": "number", "accept_deletions": "boolean"}),
    ],
)
def test_prefect_shows_a_form_for_the_parameters(name: str, types: dict[str, str]) -> None:
    """With a type and a sentence for each."""
    flow = getattr(load_flow(name), f"{name}_flow")
    properties = flow.parameters.model_dump()["properties"]
    assert properties.keys() == types.keys()
    for parameter, expected in types.items():
        assert expected in str(properties[parameter])
        assert properties[parameter]["description"].endswith(".")
    assert flow.description.endswith(".")


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-31T10:00:00"),
    ],
)
def test_a_backfill_takes_moments_and_text(since: Any, expected: str) -> None:
    """Prefect's pages send text, Python code a datetime."""
    settings = load_flow("backfill").settings(since)
    assert (settings.since, settings.until) == (parse(expected), None)
    assert load_flow("backfill").settings(since, "2026-02-01").until == parse("2026-02-01")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("backfill", ["yesterday"], "--since: 'yesterday' is not a date"),
        ("backfill", [""], "A backfill needs a date to begin at."),
        ("backfill", [7], "--since: a date is needed, not int."),
        ("backfill", ["2026-01-01", {"a": 1}], "--until: a date is needed, not dict."),
        ("backfill", ["2026-02-01", "2026-01-01"], "--since 2026-02-01T00:00:00.000Z is not before --until"),
        ("backfill", ["2999-01-01"], "--since 2999-01-01T00:00:00.000Z is in the future."),
        ("reconcile", ["two days"], "recheck_hours: a number of hours is needed (given: 'two days')."),
        ("reconcile", [-1], "recheck_hours: a number of hours is needed (given: -1)."),
        ("reconcile", [True], "recheck_hours: a number of hours is needed (given: True)."),
        ("reconcile", [float("nan")], "recheck_hours: a number of hours is needed (given: nan)."),
    ],
)
def test_wrong_parameters_of_a_deployment_fail_with_one_line(
    name: str, parameters: list[Any], message: str
) -> None:
    """Parameters are user input too."""
    from prefect.logging import disable_run_logger

    with disable_run_logger():
        state = getattr(load_flow(name), f"{name}_flow").fn(*parameters)
    assert state.is_failed()
    assert state.message.startswith(message)
    assert "\n" not in state.message
