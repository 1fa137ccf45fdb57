"""When `schedule` runs what: wrong options are told before a server starts; overdue runs come at once."""

from __future__ import annotations

import logging
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import command
from constants import KEY
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, SECOND
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.schedule_timing import Timing, due, duration, last_run
from worlds import World


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ([], "A schedule needs either --every or --cron."),
        (["--every", "15m", "--cron", "0 * * * *"], "A schedule needs either --every or --cron."),
        (["--every", "soon"], "--every: 'soon' is not a duration"),
        (["--every", "0.5s"], "--every is shorter than a second."),
        (
            ["--every", "15m", "--reconcile-every", "0s"],
            "--reconcile-every: no time is no interval; give one such as 24h",
        ),
        (["--cron", "61 * * * *"], "--cron: '61' is not valid for the minute (0-59)."),
        (["--cron", "0 24 * * *"], "--cron: '24' is not valid for the hour (0-23)."),
        (["--cron", "0 0 * * noday"], "--cron: 'noday' is not valid for the day of the week"),
        (["--cron", "*/0 * * * *"], "--cron: '*/0' is not valid for the minute"),
        (["--cron", "H * * * *"], "--cron: 'H' is not valid for the minute"),
        (["--cron", "0 0 * *"], "--cron: '0 0 * *' has 4 fields; a cron expression has five"),
        (["--cron", "0 0 0 * * *"], "--cron: '0 0 0 * * *' has 6 fields"),
        (["--cron", ""], "--cron: '' has 0 fields"),
        (["--cron", "@hourl"], "--cron: Prefect does not accept '@hourl'."),
        (["--cron", "0 0 30 2 *"], "--cron: '0 0 30 2 *' names a day that no month has."),
        (["--cron", "0 0 * * *", "--cron-time-zone", "Mars/X"], "--cron-time-zone: Prefect does not know"),
        (["--every", "15m", "--cron-time-zone", "Europe/Berlin"], "--cron-time-zone needs --cron."),
        (["--every", "15m", "--port", "0"], "--port: it must be greater than or equal to 1."),
    ],
)
def test_a_wrong_option_is_told_before_anything_starts(
    arguments: list[str], fact: str, tmp_path: Path
) -> None:
    """Exit code 2, two lines, and no warehouse."""
    ran = command.run("schedule", *arguments, environment={"VAPI_API_KEY": KEY}, directory=tmp_path)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {fact}")
    assert len(ran.err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "cron", ["0 * * * *", "*/15 8-18 * * mon-fri", "@daily", "0 3 29 2 *", "0 0 1,15 * 7"]
)
def test_a_right_cron_expression_is_accepted(cron: str) -> None:
    """In every form that Prefect knows."""
    Timing(cron=cron, zone="Europe/Berlin").check()


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (15 * MINUTE, "15m"),
        (90 * MINUTE, "90m"),
        (DAY, "24h"),
        (7 * DAY, "7d"),
        (20 * SECOND, "20s"),
        (SECOND * 3 // 2, "1.5s"),
    ],
)
def test_an_interval_is_shown_in_a_unit_that_fits(interval: int, text: str) -> None:
    """Not as microseconds."""
    assert duration(interval) == text


@pytest.mark.parametrize(
    ("last", "now", "anchor"),
    [
        (None, False, 100 * HOUR),
        (90 * HOUR, False, 90 * HOUR),
        (76 * HOUR, True, 100 * HOUR),
        (0, True, 100 * HOUR),
    ],
)
def test_an_overdue_run_comes_at_once(last: int | None, now: bool, anchor: int) -> None:
    """One that is not overdue keeps its rhythm over restarts of the schedule; without a past it waits for its first interval."""
    when = due(last, 24 * HOUR, 100 * HOUR)
    assert (when.now, when.anchor) == (now, anchor)


def test_the_last_run_is_the_last_success(world: World) -> None:
    """Without one it is the first run of all: a reconcile is due a day after the first sync. Nothing published: none."""
    assert last_run(world.warehouse, "reconcile") is None
    world.generate(3)
    world.sync()
    first = last_run(world.warehouse, "reconcile")
    assert first is not None
    world.clock.forward(hours=2)
    reconcile(world.settings(), environment=world.environment())
    last = last_run(world.warehouse, "reconcile")
    assert last is not None
    assert last >= first + 2 * HOUR


def flow_run(minute: int, deployment: Any, *, by_schedule: bool = True) -> Any:
    """A scheduled run as Prefect's API gives it."""
    from prefect.client.schemas.objects import FlowRun

    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    return FlowRun(
        flow_id=uuid4(),
        deployment_id=deployment,
        next_scheduled_start_time=moment,
        auto_scheduled=by_schedule,
    )


def test_of_overdue_runs_only_the_newest_of_a_deployment_is_kept() -> None:
    """After a night's sleep there is one sync, not a hundred; runs that somebody asked for are all kept."""
    from vapi_sessions.operations.schedule_runner import outdated

    sync, backfill = uuid4(), uuid4()
    old, older, newest = flow_run(2, sync), flow_run(1, sync), flow_run(3, sync)
    asked = [flow_run(minute, backfill, by_schedule=False) for minute in (1, 2)]
    assert outdated([old, *asked, newest, older]) == [older, old]
    assert outdated([newest, *asked]) == []


def test_a_killed_run_is_told_although_prefects_runner_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A run that the system ended for want of memory leaves no other line."""
    from vapi_sessions.operations import schedule_runner

    runner, killed = (logging.getLogger(f"prefect.runner{name}") for name in ("", ".flow_run_executor"))
    before = runner.level, killed.level
    try:
        caplog.set_level(logging.INFO, "prefect")
        with warnings.catch_warnings():
            schedule_runner.quieten()
        assert (runner.isEnabledFor(logging.INFO), killed.isEnabledFor(logging.INFO)) == (False, True)
    finally:
        runner.setLevel(before[0])
        killed.setLevel(before[1])
