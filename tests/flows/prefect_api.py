"""The part of Prefect's API that names and artifacts need, on this machine: it remembers what it was sent."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest

NOW: Final = "2026-11-29T14:00:00Z"


class PrefectApi:
    """`artifacts` by id, as they are now; `names` of flow runs; `updates`: the number of changes to artifacts."""

    def __init__(self) -> None:
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.names: list[str] = []
        self.updates = 0

    def handle(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the answer."""
        if method == "POST":
            made = {"id": str(uuid.uuid4()), "created": NOW, "updated": NOW, **body}
            self.artifacts[made["id"]] = made
            return 201, made
        if path.startswith("/api/flow_runs/"):
            self.names.append(body["name"])
        else:
            self.updates += 1
            self.artifacts[path.rpartition("/")[2]] |= body
        return 200, {}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The artifacts of a type."""
        return [artifact for artifact in self.artifacts.values() if artifact["type"] == kind]


@contextmanager
def serving(api: PrefectApi) -> Iterator[str]:
    """Serve it; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if "csrf" in self.path:  # Prefect's way to say that it wants no such token
                status, found = 422, {"detail": "CSRF protection is disabled."}
            else:
                status, found = api.handle(self.command, self.path, json.loads(body))
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815  # names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def using(url: str) -> Iterator[None]:
    """Prefect's client asks this address, and sends no events."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect.events.utilities.emit_event", lambda *_, **__: None)
        yield
