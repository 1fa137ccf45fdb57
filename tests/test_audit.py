"""The audit reports advisories for locked versions, and warns if it cannot reach the database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import audit


@pytest.fixture
def service() -> Iterator[str]:
    """A database with one advisory, for version 1.0 of `bad`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            results = [
                {"vulns": [{"id": "X-1"}]} if (q["package"]["name"], q["version"]) == ("bad", "1.0") else {}
                for q in asked
            ]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": results}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """A folder with one lock, with hashes and markers."""
    (tmp_path / "a.txt").write_text(
        "good==2.0 \\\n    --hash=sha256:0\nbad==1.0 ; python_version > '3' \\\n    # via x\n"
    )
    return tmp_path


def test_an_advisory_fails_until_it_is_accepted_with_a_reason(
    locks: Path, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names package, version, lock and advisory. An accepted advisory needs a reason."""
    assert audit.main(locks, service) == 1
    assert "bad 1.0 (a.txt): X-1" in capsys.readouterr().out
    (locks / "advisories.txt").write_text("# looked at\nX-1 concerns a function that we do not call\n")
    assert audit.main(locks, service) == 0
    (locks / "advisories.txt").write_text("X-1\n")
    with pytest.raises(ValueError, match="needs its reason"):
        audit.main(locks, service)


def test_an_unreachable_database_gives_a_warning_and_no_failure(
    locks: Path, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The warning cannot be mistaken for a clean audit."""
    assert audit.main(locks, "http://127.0.0.1:9/nobody") == 0
    assert "NOT AUDITED" in capsys.readouterr().err


def test_every_locked_package_is_looked_up() -> None:
    """Dependencies of the program and development tools."""
    packages = audit.locked(audit.ROOT / "requirements")
    assert {"duckdb", "httpx", "ruff", "uv"} <= {name for name, _ in packages}
    assert len(packages) > 100
