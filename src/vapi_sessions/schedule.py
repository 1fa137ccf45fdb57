"""Serve the Prefect deployment of the sync. The only module of the package that reaches Prefect, through `flows/`."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

from vapi_sessions import resources
from vapi_sessions.config import Settings
from vapi_sessions.errors import ConfigurationError


def serve(settings: Settings, *, interval: int | None, cron: str | None, say: Callable[[str], None]) -> None:
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
    os.environ["VAPI_WAREHOUSE"] = str(settings.warehouse)
    os.environ["VAPI_BASE_URL"] = settings.base_url
    module = load_flow("sync")
    timing = {"cron": cron} if cron is not None else {"interval": timedelta(microseconds=interval or 0)}
    with _server(say):
        try:
            # limit: a run that is due while another one works is skipped; the warehouse's own lock is the safety
            module.sync_flow.serve(name="vapi-sessions", limit=1, **timing)
        except ValueError as error:
            raise ConfigurationError(
                f"Prefect does not accept the schedule: {str(error).splitlines()[0]}", "Look at --cron."
            ) from None


@contextlib.contextmanager
def _server(say: Callable[[str], None]) -> Iterator[None]:
    """A Prefect server to schedule on: the configured one, or one of our own on loopback for as long as we serve.

    Prefect's temporary server cannot schedule. Raises ConfigurationError if ours does not come up.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "PREFECT_API_URL": api, "PREFECT_UI_API_URL": api}
    server = subprocess.Popen(  # noqa: S603  # our own interpreter
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_until_up(api, server)
        say(f"Prefect's server and its pages: http://127.0.0.1:{port} (until this command ends)")
        os.environ["PREFECT_API_URL"] = api  # for the processes in which the runs work
        with temporary_settings({PREFECT_API_URL: api}):
            yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_until_up(api: str, server: subprocess.Popen[bytes], patience: float = 90.0) -> None:
    started = time.monotonic()
    while time.monotonic() - started < patience and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{api}/health", timeout=5) as answer:  # noqa: S310  # our own address
            if answer.status == 200:
                return
        time.sleep(0.5)
    raise ConfigurationError(
        "Prefect's server does not start.",
        "Start one with prefect server start and set PREFECT_API_URL to its address.",
    )


def load_flow(name: str) -> ModuleType:
    """Import `flows/<name>.py` from the wheel or the checkout.

    Under a name that the process of a scheduled run can import too: it gets the flow by reference.
    """
    directory = resources.directory("flows")
    if directory.parent == Path(__file__).resolve().parent:
        return importlib.import_module(f"{__package__}.{directory.name}.{name}")
    if str(directory.parent) not in sys.path:
        sys.path.append(str(directory.parent))
    return importlib.import_module(f"{directory.name}.{name}")
