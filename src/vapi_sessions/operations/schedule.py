"""Serves the Prefect deployment of the sync, or runs a flow once. The only module of the package that uses Prefect and `flows/`."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from types import FrameType, ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from vapi_sessions.core import child, resources
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.settings import Settings
from vapi_sessions.warehouse.schedule_lock import scheduling

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def serve(settings: Settings, *, interval: int | None, cron: str | None, say: Callable[[str], None]) -> None:
    """Run the sync flow on an interval (µs) or a cron expression until stopped.

    SIGTERM and SIGHUP stop it like Ctrl-C, at any moment. The flow reads its settings from the environment, so that the key never
    becomes a parameter. Raises ConfigurationError, and WarehouseBusyError if this warehouse is scheduled already.
    """
    if (interval is None) == (cron is None):
        raise ConfigurationError(
            "A schedule needs either --every or --cron.", 'For example --every 15m, or --cron "0 * * * *".'
        )
    if interval is not None and interval < 1_000_000:
        raise ConfigurationError("--every is shorter than a second.", "For example --every 15m.")
    settings.key()  # a missing key is an error now, not at the first run
    with scheduling(settings.warehouse) as name, _ending_on_signals():
        os.environ["VAPI_WAREHOUSE"] = str(settings.warehouse)
        os.environ["VAPI_BASE_URL"] = settings.base_url
        flow = load_flow("sync").sync_flow
        timing: dict[str, Any] = (
            {"cron": cron} if cron is not None else {"interval": timedelta(microseconds=interval or 0)}
        )
        with _server(say):
            _serve(flow, name, timing, say)


def run_now(settings: Settings, flow: Callable[[], object]) -> None:
    """Run a flow once in this process, on the configured Prefect server or on a temporary one.

    Raises the errors of the flow, and ConfigurationError before the server starts if there is no key.
    """
    settings.key()
    with _server(lambda text: print(text, file=sys.stderr)):
        flow()


def _serve(flow: Any, name: str, timing: dict[str, Any], say: Callable[[str], None]) -> None:
    from prefect.runner import Runner

    async def run() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        class EndingRunner(Runner):
            def handle_sigterm(self, *_: object, **__: object) -> None:
                """End at once. Prefect's own handler fails before the runner has started, and later waits for all runs."""
                child.terminate_all()
                if task is not None:
                    loop.call_soon_threadsafe(task.cancel)

        # limit: one process at a time; a run that is due meanwhile waits. The warehouse's own lock is the safety.
        # Prefect's limit for deployments (`global_limit`) does not work: its database counts the slots, but only its memory knows
        # their holders. After `kill -9` during a run, Prefect 3.8.8 cancelled all later runs.
        runner = EndingRunner(name=name, limit=1)
        try:
            await runner.aadd_flow(flow, name=name, **timing)
        except ValueError as error:
            raise ConfigurationError(
                f"Prefect does not accept the schedule: {str(error).splitlines()[0]}", "Correct --cron."
            ) from None
        say(f"The deployment '{flow.name}/{name}' runs as scheduled until this command ends.")
        await runner.start()

    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(run())


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """SIGTERM ends the process with a clean-up, and SIGHUP does the same as SIGTERM. Ignored signals stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    def hang_up(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)  # the runner may have replaced its handler

    handlers = {signal.SIGTERM: end, signal.SIGHUP: hang_up}
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] != signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def _server(say: Callable[[str], None]) -> Iterator[None]:
    """A Prefect server: the configured one, or one that we start on loopback and that ends with this process, even if it is killed.

    Prefect's own temporary server cannot schedule, and survives a parent that is killed. Raises ConfigurationError if no server can
    be used.
    """
    never_by_proxy(os.environ)
    os.environ.setdefault(
        "PREFECT_SERVER_ANALYTICS_ENABLED", "false"
    )  # no telemetry, unless the user wants it
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if api := PREFECT_API_URL.value():
        _try(api, "Start that server, or correct or unset PREFECT_API_URL and PREFECT_API_KEY.")
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    server = child.start(
        "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port),
        environment={**without_settings(os.environ), "PREFECT_API_URL": api, "PREFECT_UI_API_URL": api},
    )  # fmt: skip
    atexit.register(child.stop, server)  # Prefect's threads end before and send their last log lines
    wait_until_up(api, server)
    say(f"Prefect's server and its pages: http://127.0.0.1:{port} (until this command ends)")
    os.environ["PREFECT_API_URL"] = api  # for the processes of the runs
    try:
        with temporary_settings({PREFECT_API_URL: api}):
            _try(api, "Check the proxy settings and Prefect's own (prefect config view).")
            yield
    finally:
        del os.environ["PREFECT_API_URL"]


def _try(api: str, remedy: str) -> None:
    """Send Prefect's API a request, as the runs will do. Raises ConfigurationError if it fails."""
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client.read_flows(limit=1)
    except Exception as error:  # of Prefect, of its HTTP client, or about the address
        raise ConfigurationError(
            f"Prefect's server at {_shown(api)} cannot be used: {_reason(error)}.", remedy
        ) from error


def _shown(address: str) -> str:
    """The address without user, password and query, which may be secrets."""
    try:
        parts = urlsplit(address)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return "PREFECT_API_URL"


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"it answers {status}"
    text = next(iter(str(error).splitlines()), "").rstrip(".")
    return f"{type(error).__name__}: {text}" if text and "@" not in text else type(error).__name__


def wait_until_up(api: str, server: subprocess.Popen[bytes], patience: float = 300.0) -> None:
    """Wait (seconds) until a server that we started answers. Raises ConfigurationError if it ends, or takes too long.

    The first start creates a database, which takes long on a busy machine. A server that fails ends at once.
    """
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), directly.open(f"{api}/health", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise ConfigurationError(
        "Prefect's server does not start.",
        "Start one with: prefect server start. Then set PREFECT_API_URL to its address.",
    )


def never_by_proxy(environment: MutableMapping[str, str]) -> None:
    """Exclude this machine from proxies, for this process and those it starts. Existing exclusions stay.

    Sets both spellings, because the lower-case one wins where both are set.
    """
    given = environment["no_proxy"] if "no_proxy" in environment else environment.get("NO_PROXY", "")
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(hosts)


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without our variables: Prefect's server needs no key, and other processes can read its environment."""
    return {name: value for name, value in environment.items() if not name.upper().startswith("VAPI_")}


def load_flow(name: str) -> ModuleType:
    """Import `flows/<name>.py` from the wheel or, with an editable installation, from the checkout.

    It gets a name that the process of a scheduled run can import too, because that process gets the flow by reference.
    """
    package = "vapi_sessions._flows" if resources.directory("flows").name == "_flows" else "flows"
    return importlib.import_module(f"{package}.{name}")
