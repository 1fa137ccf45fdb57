"""The command `emulate`: its messages and errors, and how it starts and stops."""

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

import command
from vapi_emulator import EmulatorError
from vapi_emulator.command import parse_keys
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG

from .conftest import connect

SCRIPT = "import typer; from vapi_emulator.command import emulate; typer.run(emulate)"


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command in a process of its own; yields the process and its lines up to the last command to type next."""
    started = [sys.executable, "-W", "error", "-c", SCRIPT, "--port", "0", *arguments]
    process = subprocess.Popen(started, stderr=subprocess.PIPE, text=True)
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
    """Run the command, which must fail with exit code 2; returns its error."""
    ran = command.run("emulate", *arguments, environment={})
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert len(ran.message) == 2
    return ran.err


def test_emulate_prints_the_next_commands_and_serves(tmp_path: Path) -> None:
    """The address, the key and the number of sessions are right; SIGTERM ends the process with 0."""
    store = tmp_path / "sessions.sqlite"
    with running("--sessions", "30", "--store", str(store), "--key", "my-key", "--live", "50") as (
        process,
        said,
    ):
        assert re.fullmatch(
            r"The emulator of Vapi's Sessions API serves 3\d sessions on http://127\.0\.0\.1:\d+\. .*",
            said[0],
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


def test_a_filled_store_is_not_filled_again(tmp_path: Path) -> None:
    """A restart continues with the stored sessions; Ctrl-C ends the process with 0."""
    store = tmp_path / "sessions.sqlite"
    with EmulatorServer(store_path=store) as server, connect(server) as client:
        client.post("/session", json={})
    with running("--store", str(store), "--sessions", "10") as (process, said):
        assert "already holds 1 session:" in said[0]
        assert "serves 1 session on" in said[1]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=250)
        assert process.returncode == 0


def test_a_bad_file_is_exit_code_2(tmp_path: Path) -> None:
    """The error names the line, the file and the remedy."""
    path = tmp_path / "bad.jsonl"
    path.write_text("{\n")
    said = fail("--port", "0", "--load", str(path))
    assert said.splitlines()[0] == f"error: Line 1 of {path} cannot be loaded: it is not JSON."


def test_a_port_in_use_is_exit_code_2() -> None:
    """The error names the address and the port."""
    with EmulatorServer() as server:
        assert f"127.0.0.1:{server.port}" in fail("--port", str(server.port), "--sessions", "1")


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--fault", "500"], "--fault 500 has no probability"),
        (["--fault", "flood=0.1"], "Unknown kind of fault: 'flood'"),
        (["--key", "k=zzz"], "is not a UUID"),
        (["--key", ""], "--key is empty"),
        (["--ignore-parameter", "updatedAt"], "no parameter 'updatedAt'"),
        (["--live", "0"], "0 changes per second"),
        (["--days", "0"], "over 0 days"),
        (["--store", "/dev/null/x"], "Cannot use"),
    ],
)
def test_bad_options_are_exit_code_2(arguments: list[str], fact: str) -> None:
    """The error names the option and its value."""
    assert fact in fail("--port", "0", "--sessions", "1", *arguments)


def test_a_host_that_other_machines_can_reach_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone with the key could read and write there."""
    monkeypatch.setattr(EmulatorServer, "serve", lambda _self, _ready: None)
    options = ["emulate", "--port", "0", "--sessions", "1", "--host"]
    public, local = (command.run(*options, host, environment={}) for host in ("0.0.0.0", "127.0.0.1"))  # noqa: S104  # the tested value
    assert "warning: other machines can reach 0.0.0.0" in public.err
    assert "warning" not in local.err


def test_keys_name_their_organisation_or_get_one() -> None:
    """The first key gets the default organisation, each further key one of its own."""
    other = "0e111a70-0000-4000-8000-00000000000b"
    keys = parse_keys(["a", f"b={other}", "c"])
    assert (keys["a"], keys["b"]) == (DEFAULT_ORG, other)
    assert len(set(keys.values())) == 3
    with pytest.raises(EmulatorError):
        parse_keys(["a b"])
