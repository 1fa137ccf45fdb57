"""Finds and marks deletions as a Prefect flow: `python flows/reconcile.py`. The logic is in `vapi_sessions.operations.reconcile`."""

from __future__ import annotations

from typing import Any

if __name__ == "__main__":
    from vapi_sessions.cli import streams
    from vapi_sessions.core import telemetry

    streams.secure()  # before Prefect opens files and starts its server
    telemetry.off()

from prefect import flow, get_run_logger

from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import run_report
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.schedule import load_flow
from vapi_sessions.settings import Settings, load_settings

_artifacts = load_flow("artifacts")
_shared = load_flow("shared")
#: Hours in a hundred years, the longest duration.
_LONGEST = 876_000


@flow(
    name="vapi-sessions reconcile",
    description="Mark sessions that were deleted at the source, fetch missing ones, and read recent ones again.",
    flow_run_name=_shared.name_at_start("reconcile"),
    persist_result=False,
    validate_parameters=False,  # `_recheck` does it, with an error of one line
)
def reconcile_flow(recheck_hours: float = 48, accept_deletions: bool = False) -> Any:
    """Compare counts, mark deleted sessions, re-read recent ones. The key comes from the environment.

    Args:
        recheck_hours: Also read sessions again that were created in the last hours, this many. 0 for none.
        accept_deletions: Mark deletions even if there are more at once than the safety limit allows.
    """
    return _shared.flow_state(lambda: _reconcile(load_settings(), _recheck(recheck_hours), accept_deletions))


def _recheck(hours: object) -> int:
    """The hours in µs. Over Prefect's API, any JSON may arrive. Raises ConfigurationError."""
    if isinstance(hours, int | float) and not isinstance(hours, bool) and 0 <= hours <= _LONGEST:
        return int(hours * HOUR)
    raise ConfigurationError(
        f"recheck_hours: a number of hours is needed (given: {hours!r}).", "For example 48; 0 for none."
    )


def _reconcile(settings: Settings, recheck: int, accept_deletions: object) -> Any:
    logger = get_run_logger()
    _shared.warn(settings)
    progress = _artifacts.FlowProgress(logger)
    with _artifacts.Page(progress, logger) as page:
        done = reconcile(
            settings, recheck=recheck, accept_deletions=accept_deletions is True, progress=progress
        )
        headline, complete = run_report.reconciled(done), run_report.complete_until(done.run)
        concerns = run_report.concerns(done.run)
        page.key = _shared.artifact_key(settings.warehouse, done.org_id, "reconcile")
        text = run_report.markdown(
            headline, run_report.reconcile_facts(done), concerns, settings.warehouse, complete
        )
        page.markdown("summary", text, f"Summary of the run {done.run.run_id}.")
    return _shared.completed("; ".join(filter(None, [headline, complete])), concerns)


def settings() -> Settings:
    """The settings of `python flows/reconcile.py`."""
    _shared.no_arguments()
    return load_settings()


if __name__ == "__main__":
    _shared.command("reconcile", settings, reconcile_flow)
