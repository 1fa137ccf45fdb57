"""The main job as a Prefect flow: plans, fetches windows as mapped tasks, merges, publishes, and leaves artifacts of the run.

`python flows/sync.py` runs it once, with the same settings as the command line (`VAPI_API_KEY`, `VAPI_BASE_URL`, `VAPI_WAREHOUSE`,
…), and ends with the same messages and exit codes. Like `vapi-sessions sync`, it uses `vapi_sessions.operations.sync`.
"""

from __future__ import annotations

if __name__ == "__main__":
    from vapi_sessions.cli import streams
    from vapi_sessions.core import telemetry

    streams.secure()  # before Prefect opens files and starts its server
    telemetry.off()

from typing import Any, Final

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled
from prefect.task_runners import ThreadPoolTaskRunner

from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.operations import run_report
from vapi_sessions.operations.schedule import load_flow
from vapi_sessions.operations.sync import Run
from vapi_sessions.settings import Settings, load_settings

_artifacts = load_flow("artifacts")
_shared = load_flow("shared")

#: Rows of the table of windows.
MOST_WINDOWS: Final = 100
# No retries here: the client retries, and knows which requests may be repeated. No cache: with the default policy a fetch could
# return the result of an earlier run.
RUNNER: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=8)
_TASK: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False, "retries": 0}
#: Runs by id. Tasks get the id as a parameter, because Prefect shows and stores parameters, and the run holds the client.
_runs: dict[str, Run] = {}


@task(name="plan", task_run_name="plan", **_TASK)
def plan(run_id: str) -> Any:
    """Fix the bound and cut the time to be read into windows; returns the plan."""
    return _shared.as_state(_runs[run_id].plan)


@task(name="fetch window", task_run_name="fetch window {number} of {windows} ({bounds})", **_TASK)
def fetch_window(number: int, bounds: str, windows: int, run_id: str) -> Any:
    """Read one window completely; returns how many sessions it held. `number` from 1."""
    return _shared.as_state(lambda: _fetch(_runs[run_id], number - 1))


def _fetch(run: Run, index: int) -> Any:
    try:
        sessions = run.fetch(index)
    except VapiSessionsError:
        if not run.stopping.is_set():
            raise
    return Cancelled(message="The run was stopped.") if run.stopping.is_set() else sessions


@task(name="merge", task_run_name="merge", **_TASK)
def merge(run_id: str) -> Any:
    """Commit everything that was fetched."""
    return _shared.as_state(_runs[run_id].finish)


@task(name="publish", task_run_name="publish", **_TASK)
def publish(run_id: str) -> Any:
    """Publish the committed state; returns whether data files were written."""
    return _shared.as_state(_runs[run_id].publish)


def run_tasks(settings: Settings, title: str) -> Any:
    """One run, each step a task; returns its state. `title` is `sync` or `backfill`. Call it inside a flow."""
    logger = get_run_logger()
    _shared.warn(settings)
    progress = _artifacts.FlowProgress(logger)
    with _artifacts.Page(progress, logger) as page:
        with Run(settings, progress=progress, command=f"{title} flow") as run:
            _runs[run.run_id] = run
            try:
                planned = _shared.result(plan(run.run_id, return_state=True))
                page.key = _shared.artifact_key(settings.warehouse, planned.org_id, title)
                if span := run_report.span(planned.windows, planned.bound):
                    page.rename(f"{title} {span}")
                _fetch_all(run, [run_report.bounds(window) for window in planned.windows])
                _shared.result(merge(run.run_id, return_state=True))
                _shared.result(publish(run.run_id, return_state=True))
                summary = run.summary()
                rows = run_report.window_rows(run.index.windows(run.run_id, MOST_WINDOWS))
            finally:
                del _runs[run.run_id]
        headline, complete = run_report.synced(summary), run_report.complete_until(summary)
        concerns = run_report.concerns(summary)
        if rows:
            of = (
                f"the last {len(rows)} of {summary.windows:,}; all are"
                if summary.windows > len(rows)
                else "also"
            )
            page.table(
                "windows", rows, f"Windows of updatedAt that the run read ({of} in sync.windows). UTC."
            )
        text = run_report.markdown(
            headline, run_report.sync_facts(summary), concerns, settings.warehouse, complete
        )
        page.markdown("summary", text, f"Summary of the run {summary.run_id}.")
    if complete:
        logger.info("%s · query %s", complete, settings.warehouse / "vapi.duckdb")
    return _shared.completed("; ".join(filter(None, [headline, complete])), concerns)


def _fetch_all(run: Run, bounds: list[str]) -> None:
    futures = fetch_window.map(
        list(range(1, len(bounds) + 1)), bounds, windows=len(bounds), run_id=run.run_id
    )
    try:
        futures.result()
    except BaseException:
        run.stopping.set()
        futures.wait()
        raise


@flow(
    name="vapi-sessions sync",
    description="Fetch all sessions on the first run, then only changes, and publish them.",
    flow_run_name=_shared.name_at_start("sync"),
    task_runner=RUNNER,  # type: ignore[arg-type]  # Prefect declares it invariant
    persist_result=False,
)
def sync_flow() -> Any:
    """One incremental sync. No parameters: settings and key come from the environment."""
    return _shared.flow_state(lambda: run_tasks(load_settings(), "sync"))


def settings() -> Settings:
    """The settings of `python flows/sync.py`."""
    _shared.no_arguments()
    return load_settings()


if __name__ == "__main__":
    _shared.command("sync", settings, sync_flow)
