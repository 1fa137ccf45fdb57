"""A run's name, progress and artifacts in Prefect. An API that refuses, hangs or is gone changes nothing for the run."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import uuid

import pytest
from prefect_api import PrefectApi, serving, using

from servers import Behaviour, ScriptedServer, hangs, http_response, sends
from vapi_sessions.operations.schedule import load_flow

RUN = uuid.UUID(int=1)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    """A logger whose lines `caplog` gets."""
    caplog.set_level(logging.INFO, "of the run")
    return logging.getLogger("of the run")


def test_a_run_leaves_its_name_a_table_and_a_text(log: logging.Logger) -> None:
    """With keys that Prefect allows, and the id of the run."""
    flows, api = load_flow("artifacts"), PrefectApi()
    new_page = flows.Page(flows.FlowProgress(log), log, flow_run_id=RUN)
    with serving(api) as url, using(url), new_page as page:
        page.key = "vapi-sessions-My_Warehouse.é-1a2b3c4d-sync"
        page.rename("sync 14:15 → 14:30")
        page.table("windows", [{"from": "a", "to": "b"}], "Windows.")
        page.markdown("summary", "## Done", "Summary.")
    assert api.names == ["sync 14:15 → 14:30"]
    (table,), (text,) = api.of("table"), api.of("markdown")
    assert table["key"] == "vapi-sessions-my-warehouse-1a2b3c4d-sync-windows"
    assert (json.loads(table["data"]), table["description"]) == ([{"from": "a", "to": "b"}], "Windows.")
    assert (text["key"].endswith("-summary"), text["data"]) == (True, "## Done")
    assert {table["flow_run_id"], text["flow_run_id"]} == {str(RUN)}
    assert api.of("progress") == []  # a short run needs none


def test_a_longer_run_shows_its_progress(log: logging.Logger) -> None:
    """From any number of threads; one artifact, updated, complete at the end only."""
    flows, api = load_flow("artifacts"), PrefectApi()
    progress = flows.FlowProgress(log)
    with serving(api) as url, using(url), flows.Page(progress, log, flow_run_id=RUN, every=0.005) as page:
        page.key = "key"
        progress.planned(4, 400)
        threads = [threading.Thread(target=lambda: [progress.read(1) for _ in range(100)]) for _ in "1234"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        progress.window_done()
        while not any("400 of 400" in one["description"] for one in api.of("progress")):
            time.sleep(0.002)
        (shown,) = api.of("progress")
        assert shown["data"] == 99
        updates = api.updates
        time.sleep(0.02)
        assert api.updates == updates  # nothing new, no request
    (shown,) = api.of("progress")
    assert (shown["key"], shown["data"]) == ("key-progress", 100)
    assert shown["description"] == "400 of 400 sessions read, 1 of 4 windows"


def test_the_progress_of_a_failed_run_stays_where_it_was(log: logging.Logger) -> None:
    """It does not become 100."""
    flows, api = load_flow("artifacts"), PrefectApi()
    progress = flows.FlowProgress(log)

    def fail() -> None:
        with flows.Page(progress, log, flow_run_id=RUN, every=0.002) as page:
            page.key = "key"
            progress.planned(1, 10)
            progress.read(4)
            while not api.of("progress"):
                time.sleep(0.002)
            raise ValueError

    with serving(api) as url, using(url), pytest.raises(ValueError):
        fail()
    assert [one["data"] for one in api.of("progress")] == [40]


@pytest.mark.parametrize(
    ("behaviour", "patience", "reason"),
    [
        (sends(http_response(b'{"detail": "no"}', status="403 Forbidden")), 60.0, "it answers 403"),
        (hangs, 0.5, "it did not answer within 0.5 s"),
        pytest.param(
            sends(http_response(b"{}", status="500 No")), 60.0, "it answers 500", marks=pytest.mark.proof
        ),
        pytest.param(sends(http_response(b"not JSON")), 60.0, "Error", marks=pytest.mark.proof),
    ],
)
def test_an_api_that_refuses_fails_nothing_and_is_told_once(
    behaviour: Behaviour,
    patience: float,
    reason: str,
    log: logging.Logger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end of the run waits for as long as it is told to."""
    flows = load_flow("artifacts")
    progress = flows.FlowProgress(log)
    with ScriptedServer(behaviour) as server, using(f"{server.url}/api"):
        with flows.Page(progress, log, flow_run_id=RUN, every=0.01, patience=patience) as page:
            page.key = "key"
            progress.planned(1, 10)
            page.rename("a name")
            page.table("windows", [], "Windows.")
            page.markdown("summary", "text", "Summary.")
        assert server.heads or behaviour is hangs
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert reason in warnings[0]
    assert "The run itself is not affected." in warnings[0]


@pytest.mark.proof  # Prefect's client connects again for a second
def test_an_api_that_is_gone_fails_nothing(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing listens at its address."""
    flows = load_flow("artifacts")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    new_page = flows.Page(flows.FlowProgress(log), log, flow_run_id=RUN)
    with using(f"http://127.0.0.1:{port}/api"), new_page as page:
        page.rename("a name")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_outside_of_a_flow_run_nothing_is_sent(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """There is no run to name."""
    flows = load_flow("artifacts")
    with ScriptedServer(hangs) as server, using(f"{server.url}/api"):
        with flows.Page(flows.FlowProgress(log), log) as page:
            page.rename("a name")
            page.markdown("summary", "text", "Summary.")
        assert server.heads == []
    assert caplog.records == []


def test_a_long_run_logs_its_progress_now_and_then(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """And warnings as warnings."""
    flows = load_flow("artifacts")
    now = [0.0]
    progress = flows.FlowProgress(log, monotonic=lambda: now[0])
    progress.planned(2, 1_000)
    for at in (1.0, 31.0, 40.0, 62.0):
        now[0] = at
        progress.read(100)
    progress.warn("look at this")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "1,000 sessions to read in 2 windows"),
        ("INFO", "200 of 1,000 sessions read, 0 of 2 windows"),
        ("INFO", "400 of 1,000 sessions read, 0 of 2 windows"),
        ("WARNING", "look at this"),
    ]


def test_without_a_plan_progress_is_a_count(log: logging.Logger) -> None:
    """A reconcile does not know how much it will read."""
    progress = load_flow("artifacts").FlowProgress(log)
    progress.read(7)
    assert (progress.percent, progress.text) == (None, "7 sessions read")
