"""Prefect's server for `schedule` and for flows that are run once: the configured one, or one that we start and that ends with us."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Final
from urllib.parse import urlsplit

from vapi_sessions.core import child, files, telemetry
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.errors import ConfigurationError

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
#: Where people expect Prefect's pages.
USUAL_PORT: Final = 4200


@contextlib.contextmanager
def server(say: Callable[[str], None], port: int | None = None) -> Iterator[Callable[[], bool]]:
    """A Prefect server: the configured one, or one that we start on loopback and that ends with this process, even if it is killed.

    Prefect's own temporary server cannot schedule, and survives a parent that is killed. `port` is that of a server that we start: 0 for
    any, None for 4200 if that is free. Yields a function that tells whether a server of ours has ended. Raises ConfigurationError if
    no server can be used.
    """
    never_by_proxy(os.environ)
    telemetry.off()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if api := PREFECT_API_URL.value():
        check_server(api, "Start that server, or correct or unset PREFECT_API_URL and PREFECT_API_KEY.")
        yield lambda: False
        return
    with reserved(port) as chosen:
        api = f"http://127.0.0.1:{chosen}/api"
        say("Starting Prefect's server (the first start takes up to a minute) …")
        process = child.start(
            "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(chosen),
            environment={**without_settings(os.environ), "PREFECT_API_URL": api, "PREFECT_UI_API_URL": api},
        )  # fmt: skip
        atexit.register(child.stop, process)  # Prefect's threads end before and send their last log lines
        wait_until_up(api, process)
        say(f"Prefect's server and its pages: http://127.0.0.1:{chosen} (until this command ends)")
        os.environ["PREFECT_API_URL"] = api  # for the processes of the runs
        try:
            with temporary_settings({PREFECT_API_URL: api}):
                check_server(api, "Check the proxy settings and Prefect's own (prefect config view).")
                yield lambda: process.poll() is not None
        finally:
            del os.environ["PREFECT_API_URL"]


def check_port(port: int | None) -> None:
    """Raises ConfigurationError if --port cannot be used: another program has it, or a server is configured."""
    if port is None:
        return
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        raise ConfigurationError(
            f"--port {port} is for a server that this command starts, but PREFECT_API_URL names one.",
            "Leave out --port, or unset PREFECT_API_URL (see also: prefect config view).",
        )
    if _free(port) is None:
        raise _taken(port)


@contextlib.contextmanager
def reserved(port: int | None) -> Iterator[int]:
    """The port for our server: the given one, any for 0, and for None Prefect's usual one if it is free, else any.

    Raises ConfigurationError if the given one is taken. A lock keeps it from other commands that start a server at the same time: it is
    in use only seconds later, and each of them would take the answers of the first server for those of its own.
    """
    from prefect.settings import PREFECT_HOME

    home = PREFECT_HOME.value()
    for candidate in (USUAL_PORT, 0) if port is None else (port,):
        if (free := _free(candidate)) is None:
            continue
        if candidate == 0:  # the system does not give the same one twice so soon
            yield free
            return
        with disk_errors(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = files.open_lock_file(home / f"vapi-sessions-{free}.lock")
        try:
            if files.lock(descriptor, home):
                yield free
                return
        finally:
            os.close(descriptor)
    raise _taken(port)


def _free(port: int) -> int | None:
    """The port if it is free, any free one for 0; else None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections do not keep a port
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    return None


def _taken(port: int | None) -> ConfigurationError:
    return ConfigurationError(
        f"Port {port} is taken by another program.",
        "Give another --port; if a Prefect server has this one, set "
        f"PREFECT_API_URL=http://127.0.0.1:{port}/api to use it.",
    )


def check_server(api: str, remedy: str) -> None:
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


def wait_until_up(api: str, process: subprocess.Popen[bytes], patience: float = 300.0) -> None:
    """Wait (seconds) until a server that we started answers. Raises ConfigurationError if it ends, or takes too long.

    The first start creates a database, which takes long on a busy machine. A server that fails ends at once.
    """
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
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
