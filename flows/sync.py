"""The main job as a Prefect flow: plan, fetch windows as mapped tasks, merge, publish, leave a table of the run.

`python flows/sync.py` runs it once, with the same settings as the command line (`VAPI_API_KEY`, `VAPI_BASE_URL`,
`VAPI_WAREHOUSE`, …), and ends with the same messages and exit codes. The logic is `vapi_sessions.operations.sync`'s: the flow and
`vapi-sessions sync` are two doors to it.
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
from vapi_sessions.operations import schedule, sync
from vapi_sessions.operations.progress import LogProgress
from vapi_sessions.settings import Settings, load_settings
from vapi_sessions.warehouse.layout import Layout

# No retries here: the client has them and knows what may be asked again. No cache: the default policy could answer a
# fetch with what an earlier run fetched.
RUNNER: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=8)
_STEP: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False, "retries": 0}
#: Tasks get the run's id, never the run: it holds the client, and parameters are shown and stored.
_runs: dict[str, sync.Run] = {}
# A scheduled run ends with the schedule that started it. Its process imports this before it does anything else, and waits for
# Prefect's server soon after, for ever if that ended as well. Where nothing of the kind started the process, this does nothing.
child.follow_parent()
#: What a task's state says is logged as "Finished in state …" as well, without the repr of the state and an empty traceback.
logging.getLogger("prefect.task_runs").addFilter(
    lambda record: not record.getMessage().startswith("Task run failed with state:")
)


def told(step: Callable[[], object]) -> Any:
    """Do a step; an error of ours becomes the state *Failed* with its message. Raised, Prefect would print its traceback.

    The state carries the error: whoever asks a flow or a future for its result gets it raised. Prefect keeps states to the
    end of the process, so the error lets go of the frames that it went through: they hold the run, and its database.
    """
    try:
        return step()
    except VapiSessionsError as caught:
        error = caught.with_traceback(None)
        error.__cause__ = error.__context__ = None
        return Failed(message=f"{error.fact} {error.remedy}".strip(), data=error)


@task(name="plan", **_STEP)
def plan(run_id: str) -> Any:
    """Fix the bound and cut what is to be read into windows; returns how many."""
    return told(lambda: len(_runs[run_id].plan().windows))


@task(name="fetch window", task_run_name="fetch window {index}", **_STEP)
def fetch_window(index: int, run_id: str) -> Any:
    """Read one window completely; returns its sessions."""
    return told(lambda: _runs[run_id].fetch(index))


@task(name="merge", **_STEP)
def merge(run_id: str) -> Any:
    """Wait until everything fetched is committed."""
    return told(lambda: _runs[run_id].finish())


@task(name="publish", **_STEP)
def publish(run_id: str) -> Any:
    """Publish the committed state; returns whether data files were written."""
    return told(lambda: _runs[run_id].publish())


def warn(settings: Settings) -> None:
    """Log what is doubtful about the warehouse's directories."""
    for doubt in Layout(settings.warehouse).doubts():
        get_run_logger().warning("%s", plain(doubt))


def run_steps(settings: Settings, command: str) -> None:
    """One run, each step a task. Call it inside a flow."""
    logger = get_run_logger()
    warn(settings)
    with sync.Run(settings, progress=LogProgress(logger.info), command=command) as run:
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


def _leave_table(summary: sync.Summary) -> None:
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
    }
    create_table_artifact(
        key="vapi-sessions-run",
        table=[{"fact": name, "value": str(value)} for name, value in facts.items()],
        description="What the last run read and wrote.",
    )


def command(settings: Callable[[], Settings], run: Callable[[], object]) -> NoReturn:
    """`python flows/….py`: run the flow once, and end as `vapi-sessions` does, with its messages and exit codes."""
    from vapi_sessions.cli.app import end_with

    logging.getLogger("httpx").setLevel(logging.WARNING)
    end_with(lambda: schedule.run_now(settings(), run))


@flow(name="vapi-sessions sync", task_runner=RUNNER, persist_result=False)  # type: ignore[arg-type]  # Prefect declares it invariant
def sync_flow() -> Any:
    """One incremental sync. No parameters: settings and key come from the environment."""
    return told(lambda: run_steps(load_settings(), "sync flow"))


if __name__ == "__main__":
    command(load_settings, sync_flow)
