"""Finds and marks deletions as a Prefect flow: `python flows/reconcile.py`. The logic is in `vapi_sessions.operations.reconcile`."""

from __future__ import annotations

from typing import Any

if __name__ == "__main__":
    from vapi_sessions.cli import streams

    streams.secure()  # before Prefect opens files and starts its server

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.operations.progress import LogProgress
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.schedule import load_flow
from vapi_sessions.settings import load_settings

_sync = load_flow("sync")


@flow(name="vapi-sessions reconcile", persist_result=False)
def reconcile_flow(recheck_hours: float = 48, accept_deletions: bool = False) -> Any:
    """Compare counts, mark deleted sessions, re-read recent ones. The key comes from the environment."""
    return _sync.as_state(lambda: _reconcile(recheck_hours, accept_deletions))


def _reconcile(recheck_hours: float, accept_deletions: bool) -> None:
    settings = load_settings()
    _sync.warn(settings)
    done = reconcile(
        settings,
        recheck=int(recheck_hours * HOUR),
        accept_deletions=accept_deletions,
        progress=LogProgress(get_run_logger().info),
    )
    facts = {
        "marked as deleted": done.counts.deleted,
        "marked as aged out": done.counts.aged_out,
        "restored": done.counts.restored,
        "missing sessions found": done.counts.sessions_new,
        "changed": done.counts.sessions_changed,
        "differing windows": done.differing,
        "requests": done.requests,
    }
    get_run_logger().info("%s", facts)
    create_table_artifact(
        key="vapi-sessions-reconcile",
        table=[{"fact": name, "value": str(value)} for name, value in facts.items()],
        description="Results of the last reconcile.",
    )


if __name__ == "__main__":
    _sync.command(load_settings, reconcile_flow)
