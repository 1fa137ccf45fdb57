"""What the flows share: the states in which they end, and `python flows/….py` as a command.

States: *Completed*; *CompletedWithWarnings*, which is of the same type; *Failed* with the message of our error; *Skipped* if another run
holds the warehouse; *Interrupted* after Ctrl-C or SIGTERM. The last two are of the type Cancelled, like a run that a concurrency limit
of Prefect cancels: they are no failure to be alarmed about, and what waits for new data (`run_deployment`, an automation on
Completed) does not take them for a success.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from vapi_sessions.cli import exit_codes, options, signals
from vapi_sessions.core import child
from vapi_sessions.errors import ConfigurationError, VapiSessionsError, WarehouseBusyError, plain
from vapi_sessions.operations import schedule
from vapi_sessions.settings import Settings
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.schedule_lock import warehouse_name

#: Characters of a state's message.
_LONGEST: Final = 2_000

# A scheduled run ends with the schedule that started it: its process imports this module first, and would otherwise wait for ever
# for a Prefect server that has ended too. Does nothing in a process that no schedule started.
child.follow_parent()


def _of_interest(record: logging.LogRecord) -> bool:
    """Drop a message that is also logged as "Finished in state …", without a repr of the state and an empty traceback.

    Windows that were left because the run was stopped are no errors beside the one that stopped it.
    """
    message = record.getMessage()
    if message.startswith(("Finished in state Cancelled", "Finished in state Interrupted")):
        record.levelno, record.levelname = logging.INFO, "INFO"
    return not message.startswith("Task run failed with state:")


logging.getLogger("prefect.task_runs").addFilter(_of_interest)


class InterruptedRunError(Exception):
    """Ctrl-C or SIGTERM has ended the work of a task or of a flow. KeyboardInterrupt itself would end Prefect's event loop."""


class _FirstLine(logging.Filter):
    """Prefect's server is gone for a while: its clients would log this with a traceback, or for each event. Once, in a line, is enough."""

    told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the first record pass, without its traceback."""
        record.exc_info, first = None, not self.told
        self.told = True
        return first


logging.getLogger("prefect.events.clients").addFilter(_FirstLine())
logging.getLogger("prefect.FlowRunSuspendingObserver").addFilter(_FirstLine())
# It repeats the former with the content of the event. A level would not do: Prefect resets it when it sets up its logs.
logging.getLogger("prefect._internal.concurrency").addFilter(
    lambda record: "failed to process item" not in str(record.msg)
)
# A callback of that observer fails when it is cancelled while the server is away.
logging.getLogger("asyncio").addFilter(lambda record: "FlowRunSuspendingObserver" not in record.getMessage())
#: How the work of the last flow run in this process ended: with an error of ours, an interruption, or None. Empty until then.
_ended: list[VapiSessionsError | InterruptedRunError | None] = []


def _as_it_is(record: logging.LogRecord) -> bool:
    """Prefect logs the end of a failed flow run as INFO. And an error after the work has ended is Prefect's: a line is enough."""
    if _ended and record.exc_info:
        record.exc_info = None
    if record.getMessage().startswith("Finished in state Failed"):
        record.levelno, record.levelname = logging.ERROR, "ERROR"
    return True


logging.getLogger("prefect.flow_runs").addFilter(_as_it_is)


def flow_state(work: Callable[[], object]) -> Any:
    """The work of a whole flow run: `as_state`, and how it ended is remembered.

    SIGTERM stops it like Ctrl-C. Prefect's own handler would cut a publication short, and report a crash.
    """
    _ended.clear()
    with signals.listening(_first_signal):
        state = as_state(work)
    error = getattr(state, "data", None)
    _ended.append(error if isinstance(error, VapiSessionsError | InterruptedRunError) else None)
    return state


def _first_signal(postponed: bool) -> str:
    """The line to print at once; none in the process of a scheduled run, where nobody can press a key again."""
    return exit_codes.first_interrupt(postponed) if options.current.command is not None else ""


def as_state(work: Callable[[], object]) -> Any:
    """Do the work. An error of ours becomes a state with its message; if it were raised, Prefect would print a traceback.

    The result of the state raises the error. Prefect keeps states until the process ends, so the error drops its traceback, whose
    frames hold the run and its database.
    """
    try:
        return work()
    except VapiSessionsError as caught:
        error = caught.with_traceback(None)
        error.__cause__ = error.__context__ = None
        message = f"{error.fact} {error.remedy}".strip()
        if isinstance(error, WarehouseBusyError):
            return Cancelled(name="Skipped", message=message, data=error)
        return Failed(message=message, data=error)
    except KeyboardInterrupt:
        return _interrupted()
    except RuntimeError:
        if signals.received is None:
            raise
        return _interrupted()  # DuckDB's form of KeyboardInterrupt


def _interrupted() -> State[InterruptedRunError]:
    """The state after Ctrl-C or SIGTERM. If KeyboardInterrupt left a task or a flow, Prefect would call it a crash, and keep it with the
    frames of the run.
    """
    message = "Interrupted by a signal. What was stored is kept; the next run continues from there."
    return Cancelled(name="Interrupted", message=message, data=InterruptedRunError())


def result(state: State[Any]) -> Any:
    """The result of a task. Raises the error of its work, and KeyboardInterrupt if it was interrupted."""
    try:
        return state.result()
    except InterruptedRunError:
        raise KeyboardInterrupt from None


def completed(figures: str, concerns: Sequence[str] = ()) -> State[None]:
    """The state of a run that succeeded, with its figures."""
    if not concerns:
        return Completed(message=plain(figures, _LONGEST))
    message = plain(f"{figures}. Warnings: {'; '.join(concerns)}", _LONGEST)
    return Completed(name="CompletedWithWarnings", message=message)


def name_at_start(title: str) -> Callable[[], str]:
    """A function that names a flow run by the time of its start."""
    return lambda: f"{title} {datetime.now(UTC):%Y-%m-%d %H:%M}"


def artifact_key(warehouse: Path, org_id: str | None, title: str) -> str:
    """The beginning of the keys of a flow's artifacts. No other warehouse has it."""
    return f"vapi-sessions-{warehouse_name(warehouse, org_id or '')}-{title}"


def warn(settings: Settings) -> None:
    """Log doubts about the warehouse's directories."""
    for doubt in Layout(settings.warehouse).doubts():
        get_run_logger().warning("%s", plain(doubt))


def command(name: str, settings: Callable[[], Settings], run: Callable[[], object]) -> NoReturn:
    """`python flows/….py`: run the flow once, and end with the messages and exit codes of `vapi-sessions NAME`."""
    from vapi_sessions.cli.app import end_with

    options.current = options.GlobalOptions(command=name)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    end_with(lambda: schedule.run_now(settings(), lambda: run_once(run)))


def run_once(run: Callable[[], object]) -> None:
    """Run a flow. Raises the error of its work. If only Prefect fails, after the work has ended, that is a warning."""
    from vapi_sessions.cli.output import warn as print_warning

    _ended.clear()
    try:
        run()
    except VapiSessionsError:
        raise
    except InterruptedRunError:
        raise KeyboardInterrupt from None
    except Exception as error:
        if not _ended:
            raise
        print_warning(f"Prefect could not record how this run ended ({type(error).__name__}).")
        if isinstance(_ended[0], InterruptedRunError):
            raise KeyboardInterrupt from None
        if _ended[0] is not None:
            raise _ended[0] from None


def no_arguments() -> None:
    """Raises ConfigurationError if the script was given arguments, which would have no effect."""
    if sys.argv[1:]:
        raise ConfigurationError(
            f"{Path(sys.argv[0]).name} takes no arguments (given: {sys.argv[1]}).",
            "Settings come from the environment: VAPI_WAREHOUSE, VAPI_SINCE and others.",
        )
