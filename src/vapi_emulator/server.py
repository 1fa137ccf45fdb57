"""Running the emulator: in a thread for tests, or in the foreground for the command line."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvicorn

from vapi_emulator import EmulatorError
from vapi_emulator.api import create_app
from vapi_emulator.injector import FaultInjector
from vapi_emulator.live import LiveTraffic
from vapi_emulator.state import Emulator, RequestRecord
from vapi_emulator.store import Store
from vapi_emulator.switches import EmulatorSettings
from vapi_emulator.times import Clock, system_clock, to_us

_READERS: Final = 4
#: Seconds that open connections get to finish when the server stops, and again after they were aborted.
GRACE: Final = 1
#: Seconds after which a stop no longer waits for the server's thread.
_GIVES_UP: Final = 10

_log: Final = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Stops sooner than uvicorn's own server, since tests start and stop many; then aborts connections that stay open."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.02)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        await self._until_idle(lambda connection: connection.shutdown())
        # A client that does not read its response would keep the connection open for ever.
        await self._until_idle(lambda connection: connection.transport.abort())

    async def _until_idle(self, end: Callable[[Any], None]) -> None:
        """End all connections, also those that are accepted meanwhile, and wait for them."""
        latest = time.monotonic() + GRACE
        while (self.server_state.connections or self.server_state.tasks) and time.monotonic() < latest:
            for connection in list(self.server_state.connections):
                end(connection)
            await asyncio.sleep(0.002)


class EmulatorServer:
    """The Sessions API on this machine: a context manager that serves from a background thread.

    Without a `store_path` the store is temporary and removed with the server. Port 0 takes a free port.

        with EmulatorServer() as server:
            httpx.get(f"{server.url}/session", headers={"Authorization": f"Bearer {server.key}"})
    """

    def __init__(
        self,
        settings: EmulatorSettings | None = None,
        *,
        clock: Clock = system_clock,
        store_path: Path | str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        settings = settings or EmulatorSettings()
        self.host = host
        self.port = port
        self._temporary = tempfile.TemporaryDirectory(prefix="vapi-emulator-") if store_path is None else None
        path = Path(self._temporary.name, "sessions.sqlite") if self._temporary else Path(store_path or "")
        try:
            self.store = Store(
                path,
                clock=clock,
                sub_millisecond=settings.sub_millisecond,
                commit_delay_seconds=settings.commit_delay_seconds,
                seed=settings.faults.seed,
            )
        except EmulatorError:
            self._remove_temporary()
            raise
        pool = ThreadPoolExecutor(_READERS, thread_name_prefix="emulator-store")
        self.faults = FaultInjector(settings.faults, lambda: to_us(clock()))
        self._emulator = Emulator(self.store, settings, clock, self.faults, pool)
        self._uvicorn: _Server | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    # -- used by tests

    @property
    def url(self) -> str:
        """The base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def key(self) -> str:
        """The first API key."""
        return next(iter(self.settings.keys))

    @property
    def org_id(self) -> str:
        """The organisation of the first key."""
        return next(iter(self.settings.keys.values()))

    @property
    def settings(self) -> EmulatorSettings:
        """The current settings."""
        return self._emulator.settings

    @property
    def requests(self) -> list[RequestRecord]:
        """A copy of the log of requests, oldest first; it keeps the newest 100,000."""
        return list(self._emulator.requests)

    def clear_requests(self) -> None:
        """Empty the log of requests."""
        self._emulator.requests.clear()

    def configure(self, **changes: Any) -> None:
        """Replace settings while the server runs: `configure(ties="shuffled")`."""
        self._emulator.configure(**changes)

    def reset(self, settings: EmulatorSettings | None = None) -> None:
        """Empty the store and apply these settings, as after a restart: for tests that share a running server."""
        settings = settings or EmulatorSettings()
        self.store.clear()
        self._emulator.configure(
            **{name: getattr(settings, name) for name in EmulatorSettings.__dataclass_fields__}
        )
        self._emulator.cache.clear()
        self.faults.forget_script()
        self.clear_requests()

    def traffic(self, **options: Any) -> LiveTraffic:
        """Traffic on the first organisation's sessions, by the current settings; `options` as for `LiveTraffic`."""
        moves = self.settings.late_cost_moves_updated_at
        return LiveTraffic(self.store, self.org_id, **{"late_cost_moves_updated_at": moves, **options})

    # -- running

    def bind(self) -> None:
        """Bind the port. Raises EmulatorError if it is in use."""
        if self._socket is not None:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # asyncio sets TCP_NODELAY only if the protocol is named; without it each small response takes 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self.host, self.port))
        except OSError as error:
            listening.close()
            raise EmulatorError(
                f"Cannot listen on {self.host}:{self.port}: {error.strerror or error}.",
                "Choose another --port (0 takes a free one) or --host.",
            ) from error
        self._socket = listening
        self.port = listening.getsockname()[1]

    def _server(self) -> _Server:
        # A response that is cut off is a wanted fault, not an error to log.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        config = uvicorn.Config(
            create_app(self._emulator),
            http="httptools",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE,
        )
        return _Server(config)

    def start(self) -> Self:
        """Serve from a background thread; returns when the server accepts requests."""
        self.bind()
        assert self._socket is not None  # noqa: S101  # for the type checker; `bind` sets it
        self._uvicorn = self._server()
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([self._socket],), name="emulator-http", daemon=True
        )
        self._thread.start()
        while not self._uvicorn.started:
            if not self._thread.is_alive():
                raise RuntimeError("the emulator's server ended while it started")
            time.sleep(0.002)
        return self

    def serve(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGINT or SIGTERM (from the main thread only); calls `ready` when the server accepts requests."""
        end = threading.Event()
        signals = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, lambda *_: end.set()) for number in signals]
        try:
            self.start()
            ready()
            while not end.wait(1.0):
                pass
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def stop(self) -> None:
        """Stop serving, close the store, and remove it if it is temporary. May be called again."""
        self._emulator.stopping.set()
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join(_GIVES_UP)
            if self._thread.is_alive():
                _log.warning(
                    "The emulator's server did not stop within %s s; its thread keeps running.", _GIVES_UP
                )
            self._thread = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._emulator.pool.shutdown()
        self.store.close()
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
