"""Registers the deployments of one warehouse with Prefect and executes their runs, one at a time, until the process is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.runner import Runner
from prefect.schedules import Cron, Interval, Schedule
from prefect.settings import PREFECT_API_URL, PREFECT_RUNNER_POLL_FREQUENCY
from prefect.states import Cancelled, Crashed, Scheduled

from vapi_sessions.core import child
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.schedule_server import check_server

#: Loggers that tell nothing new, unless the user wants debugging: each run logs for itself, and we report that a server
#: cannot be reached.
_QUIET: Final = {
    "prefect.runner": logging.WARNING,
    "prefect.FlowRunCancellingObserver": logging.CRITICAL,
    "asyncio": logging.CRITICAL,  # a callback of that observer fails when the server is lost
}
#: Below `prefect.runner`, the only one that tells of a run whose process was killed, for want of memory for example.
_KILLED: Final = "prefect.runner.flow_run_executor"
#: So many failures in a row, each so soon (seconds) after the start, are tried again. A busy machine can cause one.
_MOST: Final = 3
_SOON: Final = 60.0
#: Seconds between two attempts to reach a server that has gone.
_PAUSE: Final = 10.0
#: Seconds between two looks at a server of ours.
_LOOK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A flow to serve: on a cron expression, on an interval (µs) counted from `anchor` (µs), or on demand only.

    `now`: also run it as soon as it is served. `told` is the schedule in words.
    """

    flow: Any
    told: str
    cron: str | None = None
    zone: str = "UTC"
    interval: int | None = None
    anchor: int = 0
    now: bool = False

    def schedule(self) -> Schedule | None:
        """The schedule as Prefect's object."""
        if self.cron is not None:
            return Cron(self.cron, timezone=self.zone)
        if self.interval is not None:
            return Interval(timedelta(microseconds=self.interval), anchor_date=to_datetime(self.anchor))
        return None


def run(
    name: str, deployments: Sequence[Deployment], say: Callable[[str], None], server_ended: Callable[[], bool]
) -> None:
    """Serve the deployments under this name until SIGTERM or Ctrl-C. A server that cannot be reached for a while is waited for.

    Raises ConfigurationError as soon as a server of ours has ended.
    """
    quieten()
    terminate = signal.getsignal(signal.SIGTERM)
    served, failures = threading.Event(), 0
    while True:
        began = time.monotonic()
        try:
            # Prefect prints the failures that it has counted to stdout.
            with contextlib.redirect_stdout(io.StringIO()):
                asyncio.run(_serve(name, deployments, say, served, server_ended))
        except ConfigurationError:
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            return
        except Exception as error:
            failures = failures + 1 if time.monotonic() - began < _SOON else 1
            reason = _unreachable()
            if reason is None and failures > _MOST:
                raise
            say(
                f"{reason or f'Prefect failed ({type(error).__name__}).'} Trying again until it can be reached."
            )
            signal.signal(signal.SIGTERM, terminate)  # the runner's would use a loop that has ended
            _wait(server_ended)


def quieten() -> None:
    """Keep Prefect's loggers from repeating in the output of `schedule` what is known already."""
    logging.getLogger(_KILLED).setLevel(logging.getLogger(_KILLED).getEffectiveLevel())
    for logger, level in _QUIET.items():
        if logging.getLogger(logger).getEffectiveLevel() >= logging.INFO:
            logging.getLogger(logger).setLevel(level)
    # The observer leaves it behind when the server is lost.
    warnings.filterwarnings("ignore", r"coroutine 'Runner\._handle_cancel", RuntimeWarning)


def _wait(server_ended: Callable[[], bool]) -> None:
    """Wait until the server can be used again. Raises ConfigurationError if it has ended and was ours."""
    while True:
        if server_ended():
            raise _server_ended() from None
        time.sleep(_PAUSE)
        if _unreachable() is None:
            return


def _server_ended() -> ConfigurationError:
    return ConfigurationError("Prefect's server has ended.", "Start the schedule again.")


def _unreachable() -> str | None:
    """Why Prefect's server cannot be used; None if it can."""
    try:
        check_server(PREFECT_API_URL.value(), "")
    except ConfigurationError as error:
        return error.fact
    return None


async def _serve(
    name: str,
    deployments: Sequence[Deployment],
    say: Callable[[str], None],
    served_before: threading.Event,
    server_ended: Callable[[], bool],
) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    class EndingRunner(Runner):
        def handle_sigterm(self, *_: object, **__: object) -> None:
            """End at once. Prefect's own handler fails before the runner has started, and later waits for all runs."""
            child.terminate_all()
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)

    async def ended_with_server() -> None:
        """End when a server of ours has ended. Prefect would try for minutes to reach it."""
        while not server_ended():
            await asyncio.sleep(_LOOK)
        runner.pause_on_shutdown = False
        runner.handle_sigterm()

    # A run that ends because the schedule does is not told.
    logging.getLogger(_KILLED).addFilter(lambda record: task is None or not task.cancelling())
    # limit: one process at a time; a run that is due meanwhile waits. The warehouse's own lock is the safety. docs/deployments.md
    # says why Prefect's limit for deployments is not used.
    runner = EndingRunner(name=name, limit=1)
    served = {
        await runner.aadd_flow(one.flow, name=name, schedule=one.schedule()): one for one in deployments
    }
    async with get_client() as client:
        await _end_killed_runs(client, list(served))
        if not served_before.is_set():
            at_once = [deployment_id for deployment_id, one in served.items() if one.now]
            for place, deployment_id in enumerate(at_once):
                moment = datetime.now(UTC) + timedelta(milliseconds=place)  # they run in this order
                await client.create_flow_run_from_deployment(
                    deployment_id, state=Scheduled(scheduled_time=moment)
                )
            say("Served until this command ends:")
            for one in deployments:
                say(f"  {one.flow.name}/{name}: {one.told}")
            served_before.set()
        dropping = asyncio.create_task(_drop_outdated(client, list(served)))
        watching = asyncio.create_task(ended_with_server())
        try:
            await runner.start()
        except (Exception, asyncio.CancelledError):
            if watching.done():
                raise _server_ended() from None
            if task is not None and task.cancelling():  # told to stop; only pausing the deployments failed
                raise asyncio.CancelledError from None
            raise
        finally:
            dropping.cancel()
            watching.cancel()


async def _end_killed_runs(client: PrefectClient, deployments: list[UUID]) -> None:
    """Runs that Prefect shows as running become *Crashed*: their schedule was killed, or its server could not be reached when they ended.

    None of them is alive: this schedule has the lock and has not begun, and runs end with their schedule.
    """
    active = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    for one in await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployments)),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=active)),
    ):
        await client.set_flow_run_state(
            one.id,
            Crashed(message="The run was killed, or Prefect could not be told how it ended."),
            force=True,
        )


async def _drop_outdated(client: PrefectClient, deployments: list[UUID]) -> None:
    """Of the scheduled runs of a deployment that are overdue, keep the newest; the others become *Skipped*.

    They add up while a long run is going on, while the machine sleeps, and after a schedule was killed. Runs that somebody asked for
    are kept.
    """
    while True:
        with contextlib.suppress(Exception):  # the runner reports that the server cannot be reached
            for one in outdated(
                await client.get_scheduled_flow_runs_for_deployments(deployments, datetime.now(UTC))
            ):
                await client.set_flow_run_state(
                    one.id, Cancelled(name="Skipped", message="A later run of the schedule is due, too.")
                )
        await asyncio.sleep(PREFECT_RUNNER_POLL_FREQUENCY.value())


def outdated(due: Sequence[FlowRun]) -> list[FlowRun]:
    """The runs by schedule that have a later one of their deployment among those that are due."""
    ordered = sorted((one for one in due if one.next_scheduled_start_time), key=_moment)
    newest = {one.deployment_id: one for one in ordered}
    return [one for one in ordered if one.auto_scheduled and newest[one.deployment_id] is not one]


def _moment(one: FlowRun) -> datetime:
    assert one.next_scheduled_start_time is not None  # noqa: S101  # selected by the caller
    return one.next_scheduled_start_time
