"""The main job as a Prefect flow: plans, fetches windows as mapped tasks, merges, publishes, and leaves a table artifact of the run.

`python flows/sync.py` runs it once, with the same settings as the command line (`VAPI_API_KEY`, `VAPI_BASE_URL`, `VAPI_WAREHOUSE`,
…), and ends with the same messages and exit codes. Like `vapi-sessions sync`, it uses `vapi_sessions.operations.sync`.
"""

from __future__ import annotations

if __name__ == "__main__":
    from vapi_sessions.cli import streams

    streams.secure()  # before Prefect opens files and starts its server

import logging
from collections.abc import Callable
from typing import Any, NoReturn

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner

from vapi_sessions.core import child
from vapi_sessions.core.timestamps import show
from vapi_sessions.errors import VapiSessionsError, plain
from vapi_sessions.operations import schedule
from vapi_sessions.operations.progress import LogProgress
from vapi_sessions.operations.sync import Run, Summary
from vapi_sessions.settings import Settings, load_settings
from vapi_sessions.warehouse.layout import Layout

# No retries here: the client retries, and knows which requests may be repeated. No cache: with the default policy a fetch could
# return the result of an earlier run.
RUNNER: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=8)
_TASK: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False, "retries": 0}
#: Runs by id. Tasks get the id as a parameter, because Prefect shows and stores parameters, and the run holds the client.
_runs: dict[str, Run] = {}
# A scheduled run ends with the schedule that started it: its process imports this module first, and would otherwise wait for ever
# for a Prefect server that has ended too. Does nothing in a process that no schedule started.
child.follow_parent()
# The message of a task's state is also logged as "Finished in state …", without a repr of the state and an empty traceback.
logging.getLogger("prefect.task_runs").addFilter(
    lambda record: not record.getMessage().startswith("Task run failed with state:")
)


def as_state(work: Callable[[], object]) -> Any:
    """Do the work. An error of ours becomes the state *Failed* with its message; if it were raised, Prefect would print a traceback.

    The result of the state raises the error. Prefect keeps states until the process ends, so the error drops its traceback, whose
    frames hold the run and its database.
    """
    try:
        return work()
    except VapiSessionsError as caught:
        error = caught.with_traceback(None)
        error.__cause__ = error.__context__ = None
        return Failed(message=f"{error.fact} {error.remedy}".strip(), data=error)


@task(name="plan", **_TASK)
def plan(run_id: str) -> Any:
    """Fix the bound and cut the time to be read into windows; returns how many."""
    return as_state(lambda: len(_runs[run_id].plan().windows))


@task(name="fetch window", task_run_name="fetch window {index}", **_TASK)
def fetch_window(index: int, run_id: str) -> Any:
    """Read one window completely; returns how many sessions it held."""
    return as_state(lambda: _runs[run_id].fetch(index))


@task(name="merge", **_TASK)
def merge(run_id: str) -> Any:
    """Commit everything that was fetched."""
    return as_state(lambda: _runs[run_id].finish())


@task(name="publish", **_TASK)
def publish(run_id: str) -> Any:
    """Publish the committed state; returns whether data files were written."""
    return as_state(lambda: _runs[run_id].publish())


def warn(settings: Settings) -> None:
    """Log doubts about the warehouse's directories."""
    for doubt in Layout(settings.warehouse).doubts():
        get_run_logger().warning("%s", plain(doubt))


def run_tasks(settings: Settings, command: str) -> None:
    """One run, each step a task. Call it inside a flow."""
    logger = get_run_logger()
    warn(settings)
    with Run(settings, progress=LogProgress(logger.info), command=command) as run:
        _runs[run.run_id] = run
        try:
            windows = plan(run.run_id, return_state=True).result()
            futures = fetch_window.map(list(range(windows)), run_id=run.run_id)
            try:
                futures.result()
            except BaseException:
                run.stopping.set()
                futures.wait()
                raise
            merge(run.run_id, return_state=True).result()
            publish(run.run_id, return_state=True).result()
            summary = run.summary()
        finally:
            del _runs[run.run_id]
    _leave_table(summary)


def _leave_table(summary: Summary) -> None:
    counts = summary.counts
    facts = {
        "run": summary.run_id,
        "organisation": plain(summary.org_id or "not seen", 100),
        "complete until": show(summary.watermark) if summary.watermark is not None else "nothing yet",
        "windows": summary.windows,
        "requests": summary.requests,
        "seconds": round(summary.seconds, 1),
        "sessions read": counts.sessions_read,
        "sessions new": counts.sessions_new,
        "sessions changed": counts.sessions_changed,
        "messages written": counts.messages_written,
        "late rows": counts.late_rows,
        "silent changes": counts.silent_changes,
        "new data published": summary.published,
        "failing checks": ", ".join(summary.failing_checks) or "none",
    }
    create_table_artifact(
        key="vapi-sessions-run",
        table=[{"fact": name, "value": str(value)} for name, value in facts.items()],
        description="Results of the last run.",
    )


def command(settings: Callable[[], Settings], run: Callable[[], object]) -> NoReturn:
    """`python flows/….py`: run the flow once, and end with the messages and exit codes of `vapi-sessions`."""
    from vapi_sessions.cli.app import end_with

    logging.getLogger("httpx").setLevel(logging.WARNING)
    end_with(lambda: schedule.run_now(settings(), run))


@flow(name="vapi-sessions sync", task_runner=RUNNER, persist_result=False)  # type: ignore[arg-type]  # Prefect declares it invariant
def sync_flow() -> Any:
    """One incremental sync. No parameters: settings and key come from the environment."""
    return as_state(lambda: run_tasks(load_settings(), "sync flow"))


if __name__ == "__main__":
    command(load_settings, sync_flow)
