"""The main job as a Prefect flow: plan, fetch windows as mapped tasks, merge, publish, leave a table of the run.

`python flows/sync.py` runs it once, with the same settings as the command line (`VAPI_API_KEY`, `VAPI_BASE_URL`,
`VAPI_WAREHOUSE`, …). The logic is `vapi_sessions.pipeline`'s: the flow and `vapi-sessions sync` are two doors to it.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    from vapi_sessions import streams

    streams.secure()  # before Prefect opens files and starts its server

os.environ.setdefault(
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "60"
)  # the first start takes 11 to 17 s

import logging
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from vapi_sessions import pipeline
from vapi_sessions.config import Settings, load_settings
from vapi_sessions.progress import LogProgress
from vapi_sessions.timestamps import show

# No retries here: the client has them and knows what may be asked again. No cache: the default policy could answer a
# fetch with what an earlier run fetched.
RUNNER: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=8)
_STEP: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False, "retries": 0}
#: Tasks get the run's id, never the run: it holds the client, and parameters are shown and stored.
_runs: dict[str, pipeline.Run] = {}


@task(name="plan", **_STEP)
def plan(run_id: str) -> int:
    """Fix the bound and cut what is to be read into windows; returns how many."""
    return len(_runs[run_id].plan().windows)


@task(name="fetch window", task_run_name="fetch window {index}", **_STEP)
def fetch_window(index: int, run_id: str) -> int:
    """Read one window completely; returns its sessions."""
    return _runs[run_id].fetch(index)


@task(name="merge", **_STEP)
def merge(run_id: str) -> None:
    """Wait until everything fetched is committed."""
    _runs[run_id].finish()


@task(name="publish", **_STEP)
def publish(run_id: str) -> bool:
    """Publish the committed state; returns whether data files were written."""
    return _runs[run_id].publish()


def run_steps(settings: Settings, command: str) -> pipeline.Summary:
    """One run, each step a task. Call it inside a flow."""
    logger = get_run_logger()
    with pipeline.Run(settings, progress=LogProgress(logger.info), command=command) as run:
        _runs[run.run_id] = run
        try:
            futures = fetch_window.map(list(range(plan(run.run_id))), run_id=run.run_id)
            try:
                futures.result()
            except BaseException:
                run.stopping.set()
                futures.wait()
                raise
            merge(run.run_id)
            publish(run.run_id)
            summary = run.summary()
        finally:
            del _runs[run.run_id]
    _leave_table(summary)
    return summary


def _leave_table(summary: pipeline.Summary) -> None:
    counts = summary.counts
    facts = {
        "run": summary.run_id,
        "organisation": summary.org_id or "not seen",
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


@flow(name="vapi-sessions sync", task_runner=RUNNER, persist_result=False)  # type: ignore[arg-type]  # Prefect declares it invariant
def sync_flow() -> None:
    """One incremental sync. No parameters: settings and key come from the environment."""
    run_steps(load_settings(), "sync flow")


if __name__ == "__main__":
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sync_flow()
