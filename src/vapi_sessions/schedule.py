"""Serve the Prefect deployment of the sync. The only module of the package that reaches Prefect, through `flows/`."""

from __future__ import annotations

import importlib.util
import os
import sys
from datetime import timedelta
from types import ModuleType

from vapi_sessions import resources
from vapi_sessions.config import Settings
from vapi_sessions.errors import ConfigurationError


def serve(settings: Settings, *, interval: int | None, cron: str | None) -> None:
    """Run the sync flow on an interval (µs) or a cron expression until interrupted. Raises ConfigurationError.

    The flow reads its settings from the environment, like the command line, so that no key becomes a parameter.
    """
    if (interval is None) == (cron is None):
        raise ConfigurationError(
            "A schedule needs either --every or --cron.", 'For example --every 15m, or --cron "0 * * * *".'
        )
    if interval is not None and interval < 1_000_000:
        raise ConfigurationError("--every is shorter than a second.", "For example --every 15m.")
    settings.key()  # a missing key is told now, not at the first run
    os.environ["VAPI_WAREHOUSE"] = str(settings.warehouse.resolve())
    os.environ["VAPI_BASE_URL"] = settings.base_url
    flow = load_flow("sync").sync_flow
    schedule = {"cron": cron} if cron is not None else {"interval": timedelta(microseconds=interval or 0)}
    try:
        flow.serve(name="vapi-sessions", limit=1, **schedule)
    except ValueError as error:
        raise ConfigurationError(
            f"Prefect does not accept the schedule: {str(error).splitlines()[0]}", "Look at --cron."
        ) from None


def load_flow(name: str) -> ModuleType:
    """Import `flows/<name>.py` from the wheel or the checkout."""
    path = resources.directory("flows") / f"{name}.py"
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "60")
    spec = importlib.util.spec_from_file_location(f"vapi_sessions_flow_{name}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is missing.", "Install vapi-sessions again.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
