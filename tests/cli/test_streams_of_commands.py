"""Streams that cannot be written: they end no run and hide no exit code."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

import vapi_sessions
from selection import first
from shell import Shell
from vapi_sessions.operations import sync


def test_a_sync_works_if_its_output_cannot_be_written(shell: Shell, broken: int) -> None:
    """It fetches everything and exits with 0."""
    shutil.rmtree(shell.warehouse)
    assert shell.run("sync", "--page-size", "10", out=broken, err=broken) == 0
    assert shell.sessions() == shell.listed()


@pytest.mark.parametrize("command", first(["reconcile", "rebuild", "verify", "forget no-such-session"], 1))
def test_a_command_completes_if_its_output_cannot_be_written(
    shell: Shell, closed: int, full: int, command: str
) -> None:
    """It exits with 0."""
    assert shell.run(*command.split(), out=closed, err=closed) == 0
    assert shell.run(*command.split(), out=full, err=full) == 0


def test_forget_erases_if_its_output_cannot_be_written(shell: Shell, closed: int) -> None:
    with vapi_sessions.connect(shell.warehouse) as db:
        ((one,),) = db.execute("SELECT min(session_id) FROM sessions").fetchall()
    assert shell.run("forget", one, out=closed, err=closed) == 0
    assert shell.sessions() == shell.listed() - 1


@pytest.mark.proof
def test_a_demo_completes_if_its_output_cannot_be_written(shell: Shell, closed: int, tmp_path: Path) -> None:
    """Both syncs are done."""
    arguments = ("demo", "--dir", str(tmp_path / "demo"), "--sessions", "20")
    assert shell.run(*arguments, out=closed, err=closed) == 0
    with vapi_sessions.connect(tmp_path / "demo" / "warehouse") as db:
        assert db.execute("SELECT count(*) FROM sync.runs WHERE outcome = 'done'").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [(6, "status --max-age 1ms"), (5, "sync"), (2, "sql --format xml x"), (2, "sync --nope")],
)
def test_broken_streams_do_not_change_an_exit_code(
    shell: Shell, broken: int, code: int, arguments: str
) -> None:
    """The code is the same as with good streams."""
    if arguments == "sync":
        (shell.warehouse / "index.duckdb").write_bytes(b"x" * 20_000)
    assert shell.run(*arguments.split(), out=broken, err=broken) == code


def test_broken_streams_do_not_hide_a_difference(shell: Shell, broken: int) -> None:
    """`verify` prints the differences before it exits with 6."""
    store, one = shell.source.store, {"id": str(uuid4()), "orgId": shell.source.org_id}
    store.add(one, created_us=store.now_us() - 86_400_000_000)
    try:
        assert shell.run("verify", out=broken, err=broken) == 6
    finally:
        store.delete(one["orgId"], one["id"])


def test_a_broken_pipe_other_than_stdout_is_an_error(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Typer exits for every EPIPE as if stdout were closed."""

    def fail(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe", "/somewhere")

    monkeypatch.setattr(sync, "sync", fail)
    code, _, err = shell.capture("sync", encoding="utf-8", tmp_path=tmp_path)
    assert (code, err.splitlines()[0]) == (5, "error: /somewhere: Broken pipe.")


@pytest.mark.parametrize(
    "command", ["plan", "status", "status --json", "describe", "sql --format csv FROM\tsessions"]
)
def test_a_full_stdout_is_an_error_of_commands_that_only_print(
    shell: Shell, full: int, tmp_path: Path, command: str
) -> None:
    """Exit code 5 with the reason: losing the output silently would look like success."""
    arguments = [word.replace("\t", " ") for word in command.split(" ")]
    with (tmp_path / "err").open("wb") as err:
        assert shell.run(*arguments, out=full, err=err.fileno()) == 5
    said = (tmp_path / "err").read_text().splitlines()
    assert said[0] == "error: stdout cannot be written: No space left on device."
    assert len(said) == 2


@pytest.mark.parametrize(
    "command", ["plan", "status", "describe", "sql --format json FROM\tmessages", "sql FROM\tmessages"]
)
def test_a_closed_stdout_is_not_an_error(shell: Shell, closed: int, tmp_path: Path, command: str) -> None:
    """As with `| head`: exit code 0 and no message."""
    arguments = [word.replace("\t", " ") for word in command.split(" ")]
    with (tmp_path / "err").open("wb") as err:
        assert shell.run(*arguments, out=closed, err=err.fileno()) == 0
    assert (tmp_path / "err").read_text() == ""


def test_a_sync_warns_if_its_output_was_lost(shell: Shell, full: int, tmp_path: Path) -> None:
    """The exit code is 0."""
    with (tmp_path / "err").open("wb") as err:
        assert shell.run("sync", out=full, err=err.fileno()) == 0
    assert "warning: stdout cannot be written: No space left on device." in (tmp_path / "err").read_text()


@pytest.mark.parametrize("output", ["csv", "line", "markdown"])
def test_a_query_stops_when_nobody_reads_its_output(shell: Shell, closed: int, output: str) -> None:
    """Otherwise this one would take a day."""
    query = "FROM range(1000000000000)"
    assert shell.run("sql", "--format", output, query, out=closed, err=closed) == 0
