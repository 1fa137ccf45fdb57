"""Nothing about a standard stream decides what a command does: closed, full, missing, or of another encoding."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

import vapi_sessions
from broken_streams import closed_pipe, full_device, not_for_writing
from conftest import settings_for
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_sessions import __main__ as entry
from vapi_sessions.operations import sync

SESSIONS: Final = 40


BROKEN: Final = (closed_pipe, full_device, not_for_writing)


@pytest.fixture(scope="module")
def source() -> Iterator[EmulatorServer]:
    """A source with a history."""
    with EmulatorServer() as server:
        history = History(org_id=server.org_id, sessions=SESSIONS, days=5, until_us=server.store.now_us())
        fill(server.store, history)
        yield server


@pytest.fixture(scope="module")
def synced(source: EmulatorServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse that tests get a copy of."""
    warehouse = tmp_path_factory.mktemp("streams") / "warehouse"
    sync.sync(settings_for(source, warehouse))
    return warehouse


@dataclass
class Shell:
    """Runs commands in this process, on streams of ours."""

    source: EmulatorServer
    warehouse: Path
    monkeypatch: pytest.MonkeyPatch

    def environment(self) -> dict[str, str]:
        """What a command is told."""
        return {
            "VAPI_API_KEY": self.source.key,
            "VAPI_BASE_URL": self.source.url,
            "VAPI_WAREHOUSE": str(self.warehouse),
            "VAPI_SETTLE": "0s",
        }

    def run(self, *arguments: str, out: int, err: int, encoding: str = "utf-8") -> int:
        """The exit code of a command whose stdout and stderr are these."""
        with (
            self.monkeypatch.context() as patch,
            open(out, "w", encoding=encoding, closefd=False) as stdout,  # a descriptor
            open(err, "w", encoding=encoding, closefd=False) as stderr,
        ):
            for name, stream in (("stdout", stdout), ("stderr", stderr)):
                patch.setattr(sys, name, stream)
                patch.setattr(sys, f"__{name}__", stream)
            for name, value in self.environment().items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["vapi-sessions", *arguments])
            with pytest.raises(SystemExit) as ended:
                entry.main()
            sys.stdout.flush()  # as the interpreter does at its end
            sys.stderr.flush()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def capture(self, *arguments: str, encoding: str, tmp_path: Path) -> tuple[int, str, str]:
        """The same with files for streams: exit code, stdout, stderr."""
        out, err = tmp_path / "out", tmp_path / "err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            code = self.run(*arguments, out=stdout.fileno(), err=stderr.fileno(), encoding=encoding)
        return code, out.read_text(encoding), err.read_text(encoding)

    def sessions(self) -> int:
        """How many are published."""
        with vapi_sessions.connect(self.warehouse) as db:
            ((count,),) = db.execute("SELECT count(*) FROM sessions").fetchall()
        return int(count)


@pytest.fixture
def shell(source: EmulatorServer, synced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Commands on a copy of the warehouse."""
    shutil.copytree(synced, tmp_path / "warehouse", symlinks=True)
    return Shell(source, tmp_path / "warehouse", monkeypatch)


@pytest.fixture(params=BROKEN, ids=lambda kind: kind.__name__)
def broken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A stream that cannot be written."""
    descriptor: int = request.param()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def closed() -> Iterator[int]:
    """A pipe that nobody reads from."""
    descriptor = closed_pipe()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def full() -> Iterator[int]:
    """A device without room."""
    descriptor = full_device()
    yield descriptor
    os.close(descriptor)


# -- A run goes on


def test_a_sync_that_cannot_say_anything_is_a_good_sync(shell: Shell, broken: int) -> None:
    """It brings everything and exits with 0, whatever is wrong with stdout and stderr."""
    shutil.rmtree(shell.warehouse)
    assert shell.run("sync", "--page-size", "10", out=broken, err=broken) == 0
    assert shell.sessions() == shell.source.store.count()


@pytest.mark.parametrize("command", ["reconcile", "rebuild", "verify", "forget no-such-session"])
def test_no_command_that_works_is_ended(shell: Shell, closed: int, full: int, command: str) -> None:
    """They do their work and exit with 0."""
    assert shell.run(*command.split(), out=closed, err=closed) == 0
    assert shell.run(*command.split(), out=full, err=full) == 0


def test_forget_erases_without_an_audience(shell: Shell, closed: int) -> None:
    """What was asked for happens."""
    with vapi_sessions.connect(shell.warehouse) as db:
        ((one,),) = db.execute("SELECT min(session_id) FROM sessions").fetchall()
    assert shell.run("forget", one, out=closed, err=closed) == 0
    assert shell.sessions() == SESSIONS - 1


@pytest.mark.proof
def test_a_demonstration_goes_on_to_its_end(shell: Shell, closed: int, tmp_path: Path) -> None:
    """Its second sync too."""
    arguments = ("demo", "--dir", str(tmp_path / "demo"), "--sessions", "20")
    assert shell.run(*arguments, out=closed, err=closed) == 0
    with vapi_sessions.connect(tmp_path / "demo" / "warehouse") as db:
        assert db.execute("SELECT count(*) FROM sync.runs WHERE outcome = 'done'").fetchall() == [(2,)]


# -- A verdict stands


@pytest.mark.parametrize(
    ("code", "arguments"),
    [(6, "status --max-age 1ms"), (5, "sync"), (2, "sql --format xml x"), (2, "sync --nope")],
)
def test_an_exit_code_is_never_hidden(shell: Shell, broken: int, code: int, arguments: str) -> None:
    """Too old, different, damaged, misused: the code is the same as if somebody read."""
    if arguments == "sync":
        (shell.warehouse / "index.duckdb").write_bytes(b"x" * 20_000)
    assert shell.run(*arguments.split(), out=broken, err=broken) == code


def test_a_difference_is_never_hidden(shell: Shell, broken: int) -> None:
    """`verify` prints what differs before it says so by its exit code."""
    store, one = shell.source.store, {"id": str(uuid4()), "orgId": shell.source.org_id}
    store.add(one, created_us=store.now_us() - 86_400_000_000)
    try:
        assert shell.run("verify", out=broken, err=broken) == 6
    finally:
        store.delete(one["orgId"], one["id"])


def test_a_broken_pipe_that_is_not_stdouts_is_a_failure(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Typer ends the process for every EPIPE, as if nobody read on."""

    def fail(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe", "/somewhere")

    monkeypatch.setattr(sync, "sync", fail)
    code, _, err = shell.capture("sync", encoding="utf-8", tmp_path=tmp_path)
    assert (code, err.splitlines()[0]) == (5, "error: /somewhere: Broken pipe.")


# -- Output that is the purpose


@pytest.mark.parametrize("command", ["plan", "status", "status --json", "sql --format csv FROM\tsessions"])
def test_an_answer_that_finds_no_room_is_an_error(
    shell: Shell, full: int, tmp_path: Path, command: str
) -> None:
    """Exit code 5 and the reason, where losing the output silently would look like success."""
    arguments = [word.replace("\t", " ") for word in command.split(" ")]
    with (tmp_path / "err").open("wb") as err:
        assert shell.run(*arguments, out=full, err=err.fileno()) == 5
    said = (tmp_path / "err").read_text().splitlines()
    assert said[0] == "error: stdout cannot be written: No space left on device."
    assert len(said) == 2


@pytest.mark.parametrize(
    "command", ["plan", "status", "sql --format json FROM\tmessages", "sql FROM\tmessages"]
)
def test_an_answer_that_nobody_reads_on_is_none(
    shell: Shell, closed: int, tmp_path: Path, command: str
) -> None:
    """`| head`: exit code 0, and not a word."""
    arguments = [word.replace("\t", " ") for word in command.split(" ")]
    with (tmp_path / "err").open("wb") as err:
        assert shell.run(*arguments, out=closed, err=err.fileno()) == 0
    assert (tmp_path / "err").read_text() == ""


def test_a_sync_says_that_its_output_found_no_room(shell: Shell, full: int, tmp_path: Path) -> None:
    """A warning; the run was good."""
    with (tmp_path / "err").open("wb") as err:
        assert shell.run("sync", out=full, err=err.fileno()) == 0
    assert "warning: stdout cannot be written: No space left on device." in (tmp_path / "err").read_text()


def test_a_query_stops_where_nobody_reads_on(shell: Shell, closed: int) -> None:
    """Else this one would take a day."""
    query = "FROM range(1000000000000)"
    assert shell.run("sql", "--format", "csv", query, out=closed, err=closed) == 0


# -- Encodings


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("output", ["json", "csv", "table"])
def test_characters_that_an_encoding_has_not_are_escaped(
    shell: Shell, tmp_path: Path, encoding: str, output: str
) -> None:
    """No error; and JSON is the same JSON."""
    query = "SELECT 'é · 😀' AS \"ü·\""
    code, out, err = shell.capture("sql", "--format", output, query, encoding=encoding, tmp_path=tmp_path)
    assert (code, err) == (0, "")
    if output == "json":
        assert json.loads(out) == [{"ü·": "é · 😀"}]
    elif encoding != "utf-8":
        assert "\\ud83d\\ude00" in out
        assert "\\u250c" not in out  # the lines of a table have plainer ones


@pytest.mark.parametrize("command", ["sync", "status", "status --json", "verify", "plan", "--help", "nope"])
def test_no_command_minds_ascii(shell: Shell, tmp_path: Path, command: str) -> None:
    """The same exit code as in UTF-8."""
    code, _, _ = shell.capture(*command.split(), encoding="ascii", tmp_path=tmp_path)
    assert code == (2 if command == "nope" else 0)


@pytest.mark.parametrize("query", ["-", "SELECT 'a\udcff'"])
def test_a_query_that_is_no_text_is_refused(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Exit code 2."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT 'a\xff'"), encoding="utf-8"))
    code, out, err = shell.capture("sql", query, encoding="utf-8", tmp_path=tmp_path)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "error: The query cannot be read: it is not UTF-8."


# -- The process


COMMAND: Final = str(Path(sys.executable).with_name("vapi-sessions"))


def _process(shell: Shell, script: str, **given: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | shell.environment() | {"V": COMMAND}
    return subprocess.run(
        ["bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **given,
    )


def _nothing_was_printed_into(warehouse: Path) -> bool:
    return not any(
        b"sessions read" in p.read_bytes() or b"sync: " in p.read_bytes()
        for p in warehouse.rglob("*")
        if p.is_file()
    )


def test_a_sync_without_any_stream_is_a_good_sync(shell: Shell) -> None:
    """No file of the warehouse takes the place of a missing stream, and gets what is printed to it."""
    shutil.rmtree(shell.warehouse)
    done = _process(shell, '"$V" sync <&- >&- 2>&-')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert shell.sessions() == shell.source.store.count()
    assert _nothing_was_printed_into(shell.warehouse)


def test_the_interpreters_end_is_quiet(shell: Shell, closed: int) -> None:
    """What is left in a buffer then is nobody's error: no exit code 120, no "Exception ignored"."""
    done = subprocess.run(
        [COMMAND, "status", "--max-age", "1ms"],
        env=os.environ | shell.environment(),
        stdout=closed,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 2, done.stderr


@pytest.mark.proof
@pytest.mark.parametrize("missing", ["<&-", ">&-", "2>&-", "<&- 2>&-", "2>&1 | head -2"])
def test_any_stream_may_be_missing(shell: Shell, missing: str) -> None:
    """One, or two, or a pipe that is closed on the way."""
    shutil.rmtree(shell.warehouse)
    done = _process(shell, f'"$V" sync --page-size 5 {missing}; exit "${{PIPESTATUS[0]}}"')
    assert done.returncode == 0
    assert shell.sessions() == shell.source.store.count()
    assert _nothing_was_printed_into(shell.warehouse)


@pytest.mark.proof
@pytest.mark.parametrize(
    "setting", ["PYTHONIOENCODING=ascii", "LC_ALL=C", "LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0"]
)
def test_no_locale_ends_a_sync(shell: Shell, setting: str) -> None:
    """Its summary has a dot in the middle."""
    done = _process(shell, f'{setting} "$V" sync')
    assert done.returncode == 0, done.stderr
    assert "complete until" in done.stdout
