"""Keeps the warehouse small as a Prefect flow: `python flows/maintain.py`. The logic is in `vapi_sessions.operations.maintain`."""

from __future__ import annotations

from typing import Any

if __name__ == "__main__":
    from vapi_sessions.cli import streams
    from vapi_sessions.core import telemetry

    streams.secure()  # before Prefect opens files and starts its server
    telemetry.off()

from prefect import flow, get_run_logger

from vapi_sessions.operations import run_report
from vapi_sessions.operations.schedule import load_flow
from vapi_sessions.settings import Settings, load_settings

_artifacts = load_flow("artifacts")
_shared = load_flow("shared")


@flow(
    name="vapi-sessions maintain",
    description="Free space: remove old snapshots, merge small raw files, remove leftovers.",
    flow_run_name=_shared.name_at_start("maintain"),
    persist_result=False,
)
def maintain_flow() -> Any:
    """Free space in the warehouse. No parameters: settings come from the environment."""
    return _shared.flow_state(lambda: _maintain(load_settings()))


def _maintain(settings: Settings) -> Any:
    from vapi_sessions.operations.maintain import maintain

    logger = get_run_logger()
    _shared.warn(settings)
    progress = _artifacts.FlowProgress(logger)
    with _artifacts.Page(progress, logger) as page:
        done = maintain(settings, progress=progress)
        headline = " ".join(run_report.maintained(done))
        page.key = _shared.artifact_key(settings.warehouse, None, "maintain")
        text = run_report.markdown(headline, run_report.maintain_facts(done), [], settings.warehouse)
        page.markdown("summary", text, "What the maintenance did.")
    return _shared.completed(headline)


def settings() -> Settings:
    """The settings of `python flows/maintain.py`."""
    _shared.no_arguments()
    return load_settings()


if __name__ == "__main__":
    _shared.command("maintain", settings, maintain_flow)
