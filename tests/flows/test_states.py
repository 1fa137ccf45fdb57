"""The states in which flow runs end, without a Prefect server."""

from __future__ import annotations

import fcntl
import logging
import signal
import threading
import types
import weakref
from pathlib import Path

import pytest

from vapi_sessions.cli import exit_codes, options
from vapi_sessions.core import interruption
from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError, WarehouseBusyError
from vapi_sessions.operations.schedule import load_flow

pytestmark = pytest.mark.usefixtures("warehouse")


def test_an_error_of_ours_becomes_a_failed_state_with_its_message() -> None:
    """In one line. The result raises the error itself, and so has its exit code."""
    flows = load_flow("shared")

    def refuses() -> None:
        raise SourceRefusedError("The source says no (403).", "Look at the key.")

    state = flows.as_state(refuses)
    assert (state.is_failed(), state.name) == (True, "Failed")
    assert state.message == "The source says no (403). Look at the key."
    assert state.data.__traceback__ is None  # it would keep the run and its database alive
    with pytest.raises(SourceRefusedError):
        state.result()
    assert flows.as_state(lambda: 7) == 7


def test_a_server_that_is_gone_at_the_end_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """The work was done; Prefect fails when it records the state."""
    flows = load_flow("shared")

    def run() -> None:
        flows.flow_state(lambda: flows.completed("7 sessions read"))
        raise ConnectionError

    flows.run_once(run)
    assert capsys.readouterr().err == (
        "warning: Prefect could not record how this run ended (ConnectionError).\n"
    )


def test_an_error_of_ours_is_not_hidden_by_one_of_prefect(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of our error."""
    flows = load_flow("shared")

    def refuses() -> None:
        raise SourceRefusedError("No.")

    def run() -> None:
        flows.flow_state(refuses)
        raise ConnectionError

    with pytest.raises(SourceRefusedError):
        flows.run_once(run)


def test_a_bug_is_raised_as_it_is() -> None:
    """Also after a run that ended well."""
    flows = load_flow("shared")
    flows.run_once(lambda: flows.flow_state(lambda: flows.completed("")))

    def bug() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        flows.run_once(lambda: flows.flow_state(bug))


def test_only_errors_of_our_work_are_logged_with_a_traceback() -> None:
    """What fails after it is Prefect."""
    flows, logger = load_flow("shared"), logging.getLogger("prefect.flow_runs")

    def traceback_of_an_error() -> bool:
        error = ConnectionError()
        record = logger.makeRecord("x", logging.ERROR, "x", 1, "x", (), (ConnectionError, error, None))
        assert logger.filter(record)
        return record.exc_info is not None

    flows.run_once(lambda: None)
    assert traceback_of_an_error()
    flows.flow_state(lambda: flows.completed(""))
    assert not traceback_of_an_error()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_flow_as_interrupted(
    number: signal.Signals, code: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while a task works, whose result is then an interruption, too. The handlers are those of before; the exit code tells the
    signal.
    """
    flows = load_flow("shared")
    monkeypatch.setattr(options, "current", options.GlobalOptions(command="maintain"))
    before = signal.getsignal(number)
    states = []

    def task() -> None:
        states.append(flows.as_state(lambda: signal.raise_signal(number)))
        flows.result(states[0])

    def run() -> None:
        states.append(flows.flow_state(task))
        states[1].result()

    assert exit_codes.exit_code(lambda: flows.run_once(run)) == code
    assert [(state.name, state.is_cancelled()) for state in states] == [("Interrupted", True)] * 2
    assert "the next run continues" in states[1].message
    assert signal.getsignal(number) == before
    assert capfd.readouterr().err == "error: Interrupted.\n"


def test_a_signal_lets_a_publication_in_a_flow_end_first() -> None:
    """As without Prefect."""
    flows = load_flow("shared")
    published = []

    def work() -> None:
        with interruption.postponed():
            signal.raise_signal(signal.SIGTERM)
            published.append(True)

    state = flows.flow_state(work)
    assert (state.name, published) == ("Interrupted", [True])


@pytest.mark.parametrize(("state", "level"), [("Failed('No.')", "ERROR"), ("Skipped('Locked.')", "INFO")])
def test_only_a_failed_run_ends_with_an_error_in_the_log(state: str, level: str) -> None:
    """Prefect logs each end of a flow run as INFO."""
    load_flow("shared")
    logger = logging.getLogger("prefect.flow_runs")
    record = logger.makeRecord("x", logging.INFO, "x", 1, f"Finished in state {state}", (), None)
    assert logger.filter(record)
    assert (record.levelname, record.levelno) == (level, logging.getLevelName(level))


def test_a_server_that_is_away_during_a_run_is_told_in_one_line() -> None:
    """Prefect would log it for each event, with the event or a traceback."""
    flows = load_flow("shared")

    def record(name: str, message: str) -> logging.LogRecord:
        info = (ConnectionError, ConnectionError(), None)
        return logging.getLogger(name).makeRecord("x", logging.ERROR, "x", 1, message, (), info)

    once = flows._FirstLine()
    away = record("prefect.events.clients", "Unable to connect")
    assert [once.filter(away), once.filter(away), away.exc_info] == [True, False, None]
    for name, message in (
        ("prefect._internal.concurrency", "Service %r failed to process item %r"),
        ("asyncio", "Exception in callback FlowRunSuspendingObserver._handle_polling_task_done()"),
    ):
        assert not logging.getLogger(name).filter(record(name, message))


def test_an_interruption_lets_go_of_the_run() -> None:
    """Prefect keeps the state; DuckDB reports objects that are alive at the end of the process as leaks."""
    flows = load_flow("shared")
    kept: list[weakref.ref[object]] = []

    def run() -> None:
        database = threading.Event()
        kept.append(weakref.ref(database))
        raise KeyboardInterrupt

    state = flows.flow_state(run)
    assert state.name == "Interrupted"
    assert kept[0]() is None


def test_windows_that_a_stopped_run_left_are_cancelled_and_no_errors() -> None:
    """What stopped the run is the only error in the log."""
    flows = load_flow("sync")
    stopped = threading.Event()

    def stops(index: int) -> None:
        raise SourceUnavailableError("The run was stopped.")

    run = types.SimpleNamespace(fetch=lambda index: 7 + index, stopping=stopped)
    assert flows._fetch(run, 1) == 8
    stopped.set()
    state = flows._fetch(run, 1)
    assert (state.is_cancelled(), state.message) == (True, "The run was stopped.")
    amid = types.SimpleNamespace(fetch=stops, stopping=stopped)
    assert flows._fetch(amid, 1).is_cancelled()
    stopped.clear()
    with pytest.raises(SourceUnavailableError):
        flows._fetch(amid, 1)
    logger = logging.getLogger("prefect.task_runs")
    record = logger.makeRecord("x", logging.ERROR, "x", 1, "Finished in state %s", (state,), None)
    assert logger.filter(record)
    assert record.levelname == "INFO"
    repeated = logger.makeRecord("x", logging.ERROR, "x", 1, "Task run failed with state: %s", (state,), None)
    assert not logger.filter(repeated)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("sync", []), ("backfill", ["2026-01-01"]), ("reconcile", []), ("maintain", [])],
)
def test_a_flow_on_a_locked_warehouse_is_skipped(name: str, parameters: list[str], warehouse: Path) -> None:
    """Neither a failure nor a success. The message names the other process; the result raises the error with exit code 5."""
    from prefect.logging import disable_run_logger

    flow = getattr(load_flow(name), f"{name}_flow")
    (warehouse / "raw").mkdir(parents=True)
    with (warehouse / ".lock").open("w") as lock, disable_run_logger():
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = flow.fn(*parameters)
    assert (state.is_cancelled(), state.name) == (True, "Skipped")
    assert "is writing to" in state.message
    assert "\n" not in state.message
    with pytest.raises(WarehouseBusyError) as error:
        state.result()
    assert error.value.exit_code == 5


def test_a_run_without_findings_is_completed_and_shows_its_figures() -> None:
    """In the state's message."""
    state = load_flow("shared").completed("7 sessions read; complete until now")
    assert (state.is_completed(), state.name) == (True, "Completed")
    assert state.message == "7 sessions read; complete until now"


def test_a_run_that_needs_a_look_is_completed_with_warnings() -> None:
    """Of the same type, so that nothing treats it as a failure; the message has a bounded length."""
    state = load_flow("shared").completed("7 sessions read", ["1 check fails", "x" * 3_000])
    assert (state.is_completed(), state.name) == (True, "CompletedWithWarnings")
    assert state.message.startswith("7 sessions read. Warnings: 1 check fails; xxx")
    assert len(state.message) == 2_000


@pytest.mark.parametrize("name", ["sync", "backfill", "reconcile", "maintain"])
def test_runs_of_all_flows_have_names_that_say_which_and_when(name: str) -> None:
    """Instead of Prefect's random words."""
    flow = getattr(load_flow(name), f"{name}_flow")
    assert flow.name == f"vapi-sessions {name}"
    assert flow.flow_run_name().startswith(f"{name} 20")


def test_two_warehouses_have_different_artifacts(tmp_path: Path) -> None:
    """Also with the same directory name, and before they are scheduled."""
    key = load_flow("shared").artifact_key
    here, there = tmp_path / "a" / "warehouse", tmp_path / "b" / "warehouse"
    assert key(here, "an-org", "sync") != key(there, "an-org", "sync")
    assert key(here, "an-org", "sync") != key(here, "another", "sync")
    assert key(here, None, "sync") == key(here, None, "sync")


def test_artifacts_of_a_scheduled_warehouse_have_its_deployments_name(tmp_path: Path) -> None:
    """So that both are found by one search."""
    from vapi_sessions.warehouse.schedule_lock import scheduling

    with scheduling(tmp_path / "warehouse") as deployment:
        found = load_flow("shared").artifact_key(tmp_path / "warehouse", "an-org", "sync")
        assert found == f"vapi-sessions-{deployment}-sync"


def test_a_maintenance_is_completed_with_what_it_did(warehouse: Path) -> None:
    """With the settings of the environment, and without a source."""
    from prefect.logging import disable_run_logger

    (warehouse / "raw").mkdir(parents=True)
    with disable_run_logger():
        state = load_flow("maintain").maintain_flow.fn()
    assert (state.name, state.is_completed()) == ("Completed", True)
    assert state.message.endswith("0 snapshots kept.")
