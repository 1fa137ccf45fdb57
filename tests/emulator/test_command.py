"""`emulate`: what it says, what it does, how it fails."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from vapi_emulator import EmulatorError
from vapi_emulator.command import emulate, parse_keys
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG

from .conftest import connect

SCRIPT = "import typer; from vapi_emulator.command import emulate; typer.run(emulate)"


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command in a process of its own; yields it with what it said up to the line to type next."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, "--port", "0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line.rstrip("\n"))
            if line.strip() == "vapi-sessions sync":
                break
        yield process, said
    finally:
        process.kill()
        process.communicate(timeout=250)


def fail(*arguments: str) -> str:
    """Run the command to its error; returns what it said."""
    app = typer.Typer()
    app.command()(emulate)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def test_it_says_what_to_type_next_and_works(tmp_path: Path) -> None:
    """Address, key, number of sessions and two lines; the key and the address are good; SIGTERM ends it cleanly."""
    store = tmp_path / "sessions.sqlite"
    with running("--sessions", "30", "--store", str(store), "--key", "my-key", "--live", "50") as (
        process,
        said,
    ):
        assert re.fullmatch(
            r"Vapi's Sessions API, emulated, on http://127\.0\.0\.1:\d+ with 3\d sessions\. .*", said[0]
        )
        exported = dict(pair.split("=", 1) for pair in said[-2].split()[1:])
        assert exported["VAPI_API_KEY"] == "my-key"
        answer = httpx.get(f"{exported['VAPI_BASE_URL']}/session", headers={"Authorization": "Bearer my-key"})
        assert answer.json()["metadata"]["totalItems"] >= 20
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=250)
        assert (process.returncode, rest) == (0, "")
    with EmulatorServer(store_path=store) as server:
        assert server.store.count() >= 20


def test_a_store_that_is_filled_is_not_filled_again(tmp_path: Path) -> None:
    """A restart goes on with what is there; the interrupt key ends it with 0."""
    store = tmp_path / "sessions.sqlite"
    with EmulatorServer(store_path=store) as server, connect(server) as client:
        client.post("/session", json={})
    with running("--store", str(store), "--sessions", "10") as (process, said):
        assert "holds 1 sessions already" in said[0]
        assert "with 1 sessions" in said[1]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=250)
        assert process.returncode == 0


def test_a_bad_file_is_exit_code_2(tmp_path: Path) -> None:
    """Fact and remedy, no traceback."""
    path = tmp_path / "bad.jsonl"
    path.write_text("{\n")
    said = fail("--port", "0", "--load", str(path))
    assert said.splitlines()[0] == f"Line 1 of {path} cannot be loaded: it is no JSON text."
    assert len(said.splitlines()) == 2


def test_a_port_in_use_is_exit_code_2() -> None:
    """With the port."""
    with EmulatorServer() as server:
        assert f"127.0.0.1:{server.port}" in fail("--port", str(server.port), "--sessions", "1")


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--fault", "500"], "--fault 500 has no probability"),
        (["--fault", "flood=0.1"], "Unknown kind of fault: 'flood'"),
        (["--key", "k=zzz"], "is no UUID"),
        (["--key", ""], "--key is empty"),
        (["--ignore-parameter", "updatedAt"], "no parameter 'updatedAt'"),
        (["--live", "0"], "0 changes per second"),
        (["--days", "0"], "over 0 days"),
        (["--store", "/dev/null/x"], "Cannot use"),
    ],
)
def test_bad_options_are_exit_code_2(arguments: list[str], fact: str) -> None:
    """Each with its value."""
    assert fact in fail("--port", "0", "--sessions", "1", *arguments)


def test_a_host_that_others_can_reach_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows the key reads and writes there."""
    monkeypatch.setattr(EmulatorServer, "serve", lambda _self, _ready: None)
    app = typer.Typer()
    app.command()(emulate)
    options = ["--port", "0", "--sessions", "1", "--host"]
    assert "Warning: 0.0.0.0" in CliRunner().invoke(app, [*options, "0.0.0.0"]).stderr  # noqa: S104  (what is tested)
    assert "Warning" not in CliRunner().invoke(app, [*options, "127.0.0.1"]).stderr


def test_keys_name_their_organisation_or_get_one() -> None:
    """The first gets the default organisation, further ones each their own."""
    other = "0e111a70-0000-4000-8000-00000000000b"
    keys = parse_keys(["a", f"b={other}", "c"])
    assert (keys["a"], keys["b"]) == (DEFAULT_ORG, other)
    assert len(set(keys.values())) == 3
    with pytest.raises(EmulatorError):
        parse_keys(["a b"])
