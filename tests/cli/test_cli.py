"""The command itself, as people run it: exit codes, messages that name the remedy, and output that programs can read."""

from __future__ import annotations

import builtins
import csv
import fcntl
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr

import command
import vapi_sessions
from command import COMMAND, Ran
from conftest import KEY, looking, settings_for, tables_of
from selection import first
from vapi_emulator.faults import Fault
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import EmulatorSettings, FaultSettings
from vapi_sessions import __main__ as entry
from vapi_sessions.operations import rebuild as rebuilding
from vapi_sessions.operations import sync
from vapi_sessions.schema import TABLES

COMMANDS: Final = (
    "demo",
    "emulate",
    "forget",
    "plan",
    "rebuild",
    "reconcile",
    "schedule",
    "sql",
    "status",
    "sync",
    "verify",
)
OURS: Final = "0e111a70-0000-4000-8000-000000000001"
THEIRS: Final = "0e111a70-0000-4000-8000-000000000002"
THEIR_KEY: Final = "another-key-that-must-not-show"


@dataclass
class Desk:
    """A warehouse, the source that it was synced from, and a shell to run the command in."""

    server: EmulatorServer
    warehouse: Path
    environment: dict[str, str] = field(default_factory=dict)
    #: What comes before the command.
    wrapper: list[str] = field(default_factory=list)
    #: The warehouse's contents in the beginning.
    held: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("VAPI_")}
        self.environment = inherited | {
            "VAPI_API_KEY": KEY,
            "VAPI_BASE_URL": self.server.url,
            "VAPI_WAREHOUSE": str(self.warehouse),
            "VAPI_SETTLE": "0s",
        }

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        """Run the command to its end, in this process."""
        return command.run(
            *arguments, environment=self.environment, directory=self.warehouse.parent, stdin=stdin
        )

    def start(self, *arguments: str) -> Ran:
        """Run the command to its end, in a process of its own."""
        return command.start(
            *arguments,
            environment=self.environment,
            directory=self.warehouse.parent,
            wrapper=self.wrapper,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query on what is published."""
        with looking(self.warehouse) as db:
            return db.execute(sql).fetchall()

    def contents(self) -> dict[str, Any]:
        """What nobody may lose."""
        return contents(self.warehouse)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Content and time of change of every file of the warehouse, but for the lock, which notes its last holder."""
        return {
            str(path.relative_to(self.warehouse)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in self.warehouse.rglob("*")
            if path.is_file() and path.name != ".lock"
        }


def contents(warehouse: Path) -> dict[str, Any]:
    """The rows of the five tables, and the raw files."""
    raw = {path.name: path.read_bytes() for path in (warehouse / "raw").iterdir()}
    return tables_of(warehouse) | raw


@pytest.fixture(scope="module")
def common_source() -> Iterator[EmulatorServer]:
    """Two organisations, ours with a history."""
    with EmulatorServer(EmulatorSettings(keys={KEY: OURS, THEIR_KEY: THEIRS})) as server:
        now = server.store.now_us()
        for org_id, sessions in ((OURS, 120), (THEIRS, 10)):
            fill(server.store, History(org_id=org_id, sessions=sessions, days=5, seed=4, until_us=now))
        yield server


@pytest.fixture(scope="module")
def synced(common_source: EmulatorServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse that every test gets a copy of."""
    warehouse = tmp_path_factory.mktemp("cli") / "warehouse"
    sync.sync(settings_for(common_source, warehouse))
    return warehouse


@pytest.fixture
def source(common_source: EmulatorServer) -> Iterator[EmulatorServer]:
    """The common source as it was in the beginning."""
    common_source.clear_requests()
    yield common_source
    common_source.configure(faults=FaultSettings(), must_pay=frozenset())
    common_source.faults.forget_script()


@pytest.fixture(scope="module")
def held(synced: Path) -> dict[str, Any]:
    """What it holds."""
    return contents(synced)


@pytest.fixture
def desk(source: EmulatorServer, synced: Path, held: dict[str, Any], tmp_path: Path) -> Desk:
    """A warehouse of one's own, and its source."""
    warehouse = tmp_path / "warehouse"
    shutil.copytree(synced, warehouse, symlinks=True)
    return Desk(source, warehouse, held=held)


# -- bad input


@dataclass(frozen=True)
class Bad:
    """A mistake or a misfortune: what is wrong, the exit code, what is said of it, and of the remedy."""

    code: int
    fact: str
    remedy: str
    arguments: str = "sync"
    environment: dict[str, str | None] = field(default_factory=dict)
    prepare: Callable[[Desk], None] = lambda desk: None


def _always(kind: str) -> Callable[[Desk], None]:
    """A source that answers every request so."""
    return lambda desk: desk.server.configure(faults=FaultSettings(probabilities={kind: 1.0}))


def _in_debt(desk: Desk) -> None:
    desk.server.configure(must_pay=frozenset({OURS}))


def _unreachable(desk: Desk) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        desk.environment["VAPI_BASE_URL"] = f"http://127.0.0.1:{free.getsockname()[1]}"


def _elsewhere(name: str, make: Callable[[Path], object]) -> Callable[[Desk], None]:
    """Another place for the warehouse, made beside it."""

    def prepare(desk: Desk) -> None:
        make(desk.warehouse.parent)
        desk.environment["VAPI_WAREHOUSE"] = str(desk.warehouse.parent / name)

    return prepare


def _damaged(damage: Callable[[bytes], bytes]) -> Callable[[Desk], None]:
    def prepare(desk: Desk) -> None:
        store = desk.warehouse / "index.duckdb"
        store.write_bytes(damage(store.read_bytes()))

    return prepare


def _a_file(parent: Path) -> None:
    (parent / "notes.txt").write_text("not a warehouse")


BAD: Final = {
    "no key": Bad(2, "No API key", "Set VAPI_API_KEY", environment={"VAPI_API_KEY": None}),
    "wrong key": Bad(
        3,
        "does not accept the key .*Invalid Key. Hot tip",
        "Set VAPI_API_KEY",
        environment={"VAPI_API_KEY": "x"},
    ),
    "unreachable host": Bad(
        4, r"http://127.0.0.1:\d+ cannot be reached", "Check --base-url", prepare=_unreachable
    ),
    "a host that answers HTML": Bad(
        4, "answers 200 itself, not the API", "Check --base-url", prepare=_always("html")
    ),
    "the CDN's refusal": Bad(
        3, "CDN .*403.*error code: 1010", "proxy and network", prepare=_always("cdn403")
    ),
    "a date that is none": Bad(2, "'yesterday' is not a date", "--since", "sync --since yesterday"),
    "since after until": Bad(
        2,
        "2026-03-02.* does not lie before --until 2026-03-01",
        "Swap",
        "sync --since 2026-03-02 --until 2026-03-01",
    ),
    "page size 0": Bad(2, "--page-size: .*greater than or equal to 1 .*0", "--help", "sync --page-size 0"),
    "page size 1001": Bad(
        2, "--page-size: .*less than or equal to 1000 .*1001", "--help", "sync --page-size 1001"
    ),
    "a warehouse that is a file": Bad(
        5, "notes.txt is a file, not a directory", "--warehouse", prepare=_elsewhere("notes.txt", _a_file)
    ),
    "a database overwritten": Bad(
        5, "index.duckdb is damaged", "vapi-sessions rebuild", prepare=_damaged(lambda data: b"x" * len(data))
    ),
    "a database cut off": Bad(
        5,
        "index.duckdb is damaged",
        "vapi-sessions rebuild",
        prepare=_damaged(lambda data: data[: len(data) // 2]),
    ),
    "a database with a bad block": Bad(
        5,
        "index.duckdb is damaged",
        "vapi-sessions rebuild",
        prepare=_damaged(lambda data: data[:20_000] + b"x" * 4_096 + data[24_096:]),
    ),
    "another organisation": Bad(
        2,
        f"belongs to organisation {OURS}, the key to {THEIRS}",
        "--warehouse",
        environment={"VAPI_API_KEY": THEIR_KEY},
    ),
}
#: The same kinds of mistakes, never tried in a process of their own.
FURTHER: Final = {
    "an empty key": Bad(2, "No API key", "Set VAPI_API_KEY", environment={"VAPI_API_KEY": ""}),
    "a key of two lines": Bad(2, "characters that no key has", "Copy it again", environment={"VAPI_API_KEY": "a\nb"}),
    "a key file that is none": Bad(
        2,
        "key file nowhere.txt cannot be read: No such file",
        "VAPI_API_KEY_FILE",
        environment={"VAPI_API_KEY": None, "VAPI_API_KEY_FILE": "nowhere.txt"},
    ),
    "a debt": Bad(3, "must pay first .*402.*outstanding", "dashboard", prepare=_in_debt),
    "no Sessions API there": Bad(3, "no Sessions API at", "--base-url", "sync --base-url {url}/v2"),
    "an address that is none": Bad(2, "'api.vapi.ai' is not an address", "--base-url", "sync --base-url api.vapi.ai"),
    "an until that is none": Bad(2, "'2026-02-30' is not a date", "--until", "sync --until 2026-02-30"),
    "since in the future": Bad(2, "--since 2999.* is not before", "earlier --since", "sync --since 2999-01-01"),
    "a duration that is none": Bad(2, "'soon' is not a duration", "--settle", "sync --settle soon"),
    "nothing side by side": Bad(2, "--concurrency: .*greater than or equal to 1", "--help", "sync --concurrency 0"),
    "a setting in the environment": Bad(
        2, "VAPI_LOOKBACK: 'long' is not a duration", "unset it", environment={"VAPI_LOOKBACK": "long"}
    ),
    "a warehouse below a file": Bad(
        5, "notes.txt.* not a directory", "--warehouse", prepare=_elsewhere("notes.txt/warehouse", _a_file)
    ),
    "a database of text": Bad(
        5, "index.duckdb is damaged", "vapi-sessions rebuild", prepare=_damaged(lambda data: b"my notes\n")
    ),
    "an unknown command": Bad(2, "No such command 'synk'", "", "synk"),
    "nothing published": Bad(2, "no published warehouse", "vapi-sessions sync", "status --warehouse elsewhere"),
    "nothing to ask": Bad(2, "no published warehouse", "vapi-sessions sync", "sql --warehouse elsewhere FROM\tsessions"),
    "nothing to rebuild": Bad(2, "elsewhere is not a warehouse", "--warehouse", "rebuild --warehouse elsewhere"),
    "no such table": Bad(2, "Table with name sesions does not exist", "sessions", "sql FROM\tsesions"),
    "no SQL": Bad(2, "syntax error", "SHOW TABLES", "sql SELEKT\t1"),
    "a change": Bad(2, "read-only", "", "sql DROP\tVIEW\tvapi.main.sessions"),
    "no such format": Bad(2, "'xml' is not a format", "table, csv, json", "sql --format xml SELECT\t1"),
    "an age that is none": Bad(2, "'old' is not a duration", "", "status --max-age old"),
}  # fmt: skip


def _check(desk: Desk, bad: Bad, run: Callable[..., Ran]) -> None:
    """Do it wrong, and look at what is said and at what is left."""
    for name, value in bad.environment.items():
        desk.environment[name] = value if value is not None else ""
        if value is None:
            del desk.environment[name]
    bad.prepare(desk)
    files = desk.files()
    arguments = bad.arguments.format(url=desk.server.url).split(" ")
    ran = run(*(argument.replace("\t", " ") for argument in arguments))
    assert (ran.code, ran.out) == (bad.code, ""), ran.err
    assert "Traceback" not in ran.err
    assert KEY not in ran.err
    assert THEIR_KEY not in ran.err
    assert len(ran.message) <= 2
    assert re.search(bad.fact, ran.message[0], re.IGNORECASE), ran.err
    assert bad.remedy in ran.message[-1]
    above = ran.err.splitlines()[: -len(ran.message)]
    assert all(re.match(r"sync: waiting \d+ s: |Usage: |Try |$", line) for line in above), ran.err
    assert desk.files() == files or desk.contents() == desk.held
    assert not (desk.warehouse.parent / "elsewhere").exists()


@pytest.mark.parametrize("bad", [*BAD.values(), *FURTHER.values()], ids=[*BAD, *FURTHER])
def test_bad_input_is_told_in_two_lines_and_loses_nothing(desk: Desk, bad: Bad) -> None:
    """The exit code says whose turn it is, the message what is wrong and what to do, and the warehouse is as it was."""
    _check(desk, bad, desk.run)


@pytest.mark.parametrize("bad", [pytest.param(BAD[kind], id=kind) for kind in ("wrong key",)])
def test_the_process_ends_in_the_same_way(desk: Desk, bad: Bad) -> None:
    """What the function that the command calls says and returns is what the process says and ends with."""
    _check(desk, bad, desk.start)


@pytest.mark.proof
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_the_process_ends_in_the_same_way_whatever_is_wrong(desk: Desk, bad: Bad) -> None:
    """Each kind of it."""
    _check(desk, bad, desk.start)


#: Runs the rest of its arguments without root's right to pass over permissions, which a sync does not need.
WITHOUT_PRIVILEGE: Final = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def read_only(desk: Desk) -> Iterator[Desk]:
    """A warehouse in which nothing may be written, not even by root."""
    everything = [desk.warehouse, *desk.warehouse.rglob("*")]
    paths = {path: path.stat().st_mode for path in everything if not path.is_symlink()}
    for path, mode in paths.items():
        path.chmod(mode & ~0o222)
    if os.geteuid() == 0:
        desk.wrapper = [sys.executable, "-c", WITHOUT_PRIVILEGE]
        if subprocess.run([*desk.wrapper, shutil.which("true") or "true"], check=False).returncode == 77:
            pytest.skip("root cannot give up its right to write everywhere here")
    yield desk
    for path, mode in paths.items():
        path.chmod(mode)


@pytest.mark.parametrize("command", first(["sync", "rebuild"]))
def test_a_read_only_warehouse_is_told(read_only: Desk, command: str) -> None:
    """Exit code 5 and the path; nothing was lost, and reading goes on."""
    before = read_only.contents()
    ran = read_only.start(command)
    assert (ran.code, ran.out) == (5, "")
    assert str(read_only.warehouse) in ran.message[0]
    assert "cannot be read or written" in ran.message[0]
    assert "--warehouse" in ran.message[1]
    assert len(ran.message) == 2
    assert read_only.contents() == before


def test_a_read_only_warehouse_is_read(read_only: Desk) -> None:
    """What may not be written may still be asked."""
    ran = read_only.start("sql", "--format", "json", "SELECT count(*) AS n FROM sessions")
    assert (ran.code, json.loads(ran.out)) == (0, [{"n": 120}])


def test_a_second_sync_is_told_who_writes(desk: Desk) -> None:
    """While one run holds the warehouse another one ends at once with exit code 5, and says that it may wait."""
    with (desk.warehouse / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("4711\n")
        lock.flush()
        ran = desk.run("sync")
    assert (ran.code, ran.out) == (5, "")
    assert "Another run (pid 4711) is writing" in ran.message[0]
    assert desk.run("sync").code == 0


def test_a_password_in_the_address_is_not_repeated(desk: Desk) -> None:
    """An address with a password in it is refused, without showing it."""
    ran = desk.run("sync", "--base-url", "https://me:open-sesame@api.vapi.ai")
    assert (ran.code, ran.out) == (2, "")
    assert "--base-url" in ran.message[0]
    assert "open-sesame" not in ran.err


def test_a_damaged_database_is_rebuilt(desk: Desk) -> None:
    """The remedy that the message names works: everything is there again, and the next sync goes on."""
    before = desk.contents()
    (desk.warehouse / "index.duckdb").write_bytes(b"x" * 20_000)
    assert desk.run("sync").code == 5
    ran = desk.run("rebuild")
    assert (ran.code, ran.err) == (0, "")
    assert "Rebuilt 120 sessions" in ran.out
    assert desk.contents() == before
    assert desk.run("sync").code == 0
    assert desk.contents() == before


@pytest.mark.parametrize("damage", first(["a file cut off", "no files"]))
@pytest.mark.parametrize(
    "asked",
    [("sql", "FROM sessions"), ("status",), pytest.param(("verify",), marks=pytest.mark.proof)],
    ids=lambda c: c[0],
)
def test_damaged_data_files_are_told_and_mended(
    desk: Desk,
    asked: tuple[str, ...],
    damage: str,
) -> None:
    """Where published Parquet files are damaged or gone, reading ends with exit code 5, and the remedy named helps."""
    before = desk.contents()
    latest = (desk.warehouse / "parquet" / "latest").resolve()
    if damage == "no files":
        shutil.rmtree(latest)
    else:
        for path in latest.rglob("*.parquet"):
            path.write_bytes(path.read_bytes()[:100])
    ran = desk.run(*asked)
    assert (ran.code, ran.out) == (5, ""), ran.err
    assert len(ran.message) <= 2
    assert "vapi-sessions rebuild" in ran.message[-1]
    assert desk.run("rebuild").code == 0
    assert desk.contents() == before


# -- what the command line takes


@pytest.mark.parametrize(
    "arguments", ["--help", "-h", *(f"{command} --help" for command in COMMANDS), "sync -h"]
)
def test_help_is_there_for_every_command(desk: Desk, arguments: str) -> None:
    """Help goes to stdout with exit code 0."""
    ran = desk.run(*arguments.split())
    assert (ran.code, ran.err) == (0, "")
    assert "Usage" in ran.out


def test_the_help_names_every_command(desk: Desk) -> None:
    """The commands tested here are the commands there are."""
    shown = desk.run("--help").out
    assert set(re.findall(r"^│ (\w+) ", shown, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_a_mistake_for_every_command(desk: Desk, command: str) -> None:
    """Exit code 2, the option by name, nothing on stdout."""
    ran = desk.run(command, "--no-such-option")
    assert (ran.code, ran.out) == (2, "")
    assert "--no-such-option" in ran.err


def test_the_version_is_told(desk: Desk) -> None:
    """`--version` needs no command."""
    ran = desk.run("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"vapi-sessions {vapi_sessions.__version__}\n", "")


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after it"])
def test_the_warehouse_is_given_before_or_after_the_command(desk: Desk, before: bool) -> None:
    """`--warehouse` wins over the environment, wherever it stands."""
    desk.environment["VAPI_WAREHOUSE"] = "elsewhere"
    option = ("--warehouse", str(desk.warehouse))
    arguments = (*option, "status", "--json") if before else ("status", *option, "--json")
    ran = desk.run(*arguments)
    assert json.loads(ran.out)["rows"]["sessions"] == 120


# -- what the commands say when all is well


def test_sync_says_what_it_did(tmp_path: Path, source: EmulatorServer) -> None:
    """A first sync in an empty place: the outcome on stdout, progress on stderr, the key on neither."""
    desk = Desk(source, tmp_path / "new" / "warehouse")
    desk.warehouse.parent.mkdir()
    ran = desk.start("sync", "--page-size", "50")
    assert ran.code == 0
    assert re.match(r"120 sessions read: 120 new, 0 changed, [\d,]+ messages written, in ", ran.out)
    assert "complete until 2" in ran.out
    assert "sync: 120 sessions to read in " in ran.err
    assert KEY not in ran.out + ran.err
    assert desk.rows("SELECT count(*) FROM sessions") == [(120,)]


def test_the_key_is_nowhere_in_the_warehouse(desk: Desk) -> None:
    """No file that a sync writes holds it, after a success and after a failure."""
    _always("500")(desk)
    desk.server.faults.script(None, None)
    with pytest.raises(vapi_sessions.errors.VapiSessionsError):
        sync.sync(
            settings_for(desk.server, desk.warehouse, api_key=SecretStr(KEY)),
            environment=sync.Environment(sleep=lambda seconds: None),
        )
    files = desk.files()
    assert {"index.duckdb", "vapi.duckdb"} < files.keys()
    assert [name for name, (content, _) in files.items() if KEY.encode() in content] == []


def _is_completed(desk: Desk, ran: Ran) -> None:
    """It ended as interrupted, with some of the sessions, and the next sync brings the rest."""
    assert (ran.code, ran.out) == (130, "")
    assert ran.message[0] == "error: Interrupted."
    assert len(ran.message) == 2
    assert desk.rows("SELECT count(*) FROM sessions")[0][0] < 120
    assert desk.run("sync").code == 0
    assert desk.rows("SELECT count(*) FROM sessions") == [(120,)]
    assert desk.rows("SELECT outcome FROM sync.runs ORDER BY started_at") == [("interrupted",), ("done",)]


def test_ctrl_c_ends_a_sync_and_the_next_one_completes_it(
    tmp_path: Path, source: EmulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGINT with some pages read: exit code 130, two lines, nothing claimed falsely; the next sync brings the rest."""
    desk = Desk(source, tmp_path / "warehouse")
    pages, ask = itertools.count(1), httpx.HTTPTransport.handle_request

    def interrupted(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.params.get("limit") == "5" and next(pages) == 8:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return ask(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", interrupted)
    _is_completed(desk, desk.run("sync", "--page-size", "5", "--concurrency", "2"))


def test_ctrl_c_ends_the_process(
    tmp_path: Path, source: EmulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same from outside, while the source does not answer any more."""
    desk = Desk(source, tmp_path / "warehouse")
    source.configure(faults=FaultSettings(hang_seconds=0.5))
    hanging = threading.Event()

    def no_answer_after_some_pages(caller: str) -> Fault | None:
        if sum(request.parameters.get("limit") == "5" for request in source.requests) < 4:
            return None
        hanging.set()
        return Fault("hang")

    with (
        monkeypatch.context() as patch,
        subprocess.Popen(
            [COMMAND, "sync", "--page-size", "5", "--concurrency", "2"],
            env=desk.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        patch.setattr(source.faults, "next", no_answer_after_some_pages)
        assert hanging.wait(120)
        process.send_signal(signal.SIGINT)
        patch.undo()
        out, err = process.communicate()
    _is_completed(desk, Ran(process.returncode, out, err))


def test_plan_changes_nothing_and_downloads_counts(desk: Desk) -> None:
    """It shows windows, sessions and requests; each request asks for one row, and no file of the warehouse changes."""
    before = desk.files()
    ran = desk.run("plan", "--full", "--page-size", "10")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"\d windows, 120 sessions, about \d+ requests, about ", ran.out)
    assert {request.parameters["limit"] for request in desk.server.requests} == {"1"}
    assert desk.files() == before


def test_plan_makes_no_warehouse(desk: Desk) -> None:
    """Where there is none yet, a plan leaves none behind."""
    elsewhere = desk.warehouse.parent / "elsewhere"
    assert desk.run("plan", "--warehouse", str(elsewhere)).code == 0
    assert not elsewhere.exists()


def test_status_is_readable_by_programs(desk: Desk) -> None:
    """`--json`: the organisation, the claim, the rows, the runs, the sizes."""
    found = json.loads(desk.run("status", "--json").out)
    assert (found["org_id"], found["base_url"]) == (OURS, desk.server.url)
    assert found["warehouse"] == str(desk.warehouse)
    assert found["gaps"] == []
    assert found["origin_reason"] == "oldest session"
    assert found["watermark"].endswith("Z")
    assert found["age_seconds"] >= 0
    for table in TABLES:
        assert [(found["rows"][table.name],)] == desk.rows(f"SELECT count(*) FROM {table.name}")
    assert [(run["outcome"], run["sessions_new"]) for run in found["last_runs"]] == [("done", 120)]
    assert found["bytes"]["raw"] == sum(p.stat().st_size for p in (desk.warehouse / "raw").iterdir())
    assert found["unmerged_raw_files"] == 0


def test_status_is_readable_by_people(desk: Desk) -> None:
    """One fact a line."""
    ran = desk.run("status")
    facts = dict(line.split(maxsplit=1) for line in ran.out.splitlines() if not line.startswith(" "))
    assert (ran.code, ran.err) == (0, "")
    assert facts["organisation"] == OURS
    assert facts["gaps"] == "none"
    assert facts["rows"].startswith("120 sessions, ")


@pytest.mark.parametrize(("age", "code"), [("7d", 0), ("0s", 6)])
def test_status_alarms_if_the_warehouse_is_too_old(desk: Desk, age: str, code: int) -> None:
    """`--max-age` ends with exit code 6 and the remedy; the status itself is printed all the same."""
    ran = desk.run("status", "--json", "--max-age", age)
    assert ran.code == code
    assert json.loads(ran.out)["rows"]["sessions"] == 120
    assert (ran.err == "") == (code == 0)
    if code:
        assert "more than 0s" in ran.message[0]
        assert "vapi-sessions sync" in ran.message[1]


QUESTION: Final = "SELECT session_id, created_at, message_count, cost_usd, metadata FROM sessions ORDER BY created_at, session_id"


def test_sql_answers_in_json(desk: Desk) -> None:
    """Every row, with numbers as numbers, nulls as nulls, JSON as JSON, moments in ISO 8601."""
    ran = desk.run("sql", "--format", "json", QUESTION)
    answer = json.loads(ran.out)
    expected = [
        {
            "session_id": session_id,
            "created_at": created.isoformat().replace("+00:00", "Z"),
            "message_count": messages,
            "cost_usd": cost,
            "metadata": json.loads(metadata) if metadata is not None else None,
        }
        for session_id, created, messages, cost, metadata in desk.rows(QUESTION)
    ]
    assert len(expected) == 120
    assert any(isinstance(row["metadata"], dict) for row in expected)
    assert answer == expected


def test_sql_answers_in_csv(desk: Desk) -> None:
    """A header and every row; a reader of CSV gets back what was asked for, nulls as nothing."""
    ran = desk.run("sql", "--format", "csv", QUESTION)
    header, *lines = csv.reader(io.StringIO(ran.out))
    assert header == ["session_id", "created_at", "message_count", "cost_usd", "metadata"]
    rows = desk.rows(QUESTION)
    assert [line[0] for line in lines] == [row[0] for row in rows]
    assert [line[3] for line in lines] == ["" if row[3] is None else str(row[3]) for row in rows]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line[1]) for line in lines)


def test_files_that_a_query_names_are_the_querys_business(desk: Desk) -> None:
    """The warehouse is whole, and a rebuild would not help."""
    for query in ("FROM read_csv('/nope.csv')", "FROM read_parquet('/nope.parquet')", "ATTACH '/nope/x.db'"):
        ran = desk.run("sql", query)
        assert ran.code == 2
        assert "/nope" in ran.err
        assert "rebuild" not in ran.err


@pytest.mark.parametrize("command", ["status", "verify", "sql", "rebuild", "forget", "sync"])
def test_a_file_is_no_warehouse(desk: Desk, tmp_path: Path, command: str) -> None:
    """Whatever is asked of it."""
    file = tmp_path / "a file"
    file.write_text("")
    given = {"sql": ["SELECT 1"], "forget": ["x"]}.get(command, [])
    ran = desk.run(command, *given, "--warehouse", str(file))
    assert (ran.code, "is a file, not a directory" in ran.err) == (5, True)


def test_ctrl_c_while_modules_are_imported_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback, from the first moment on."""

    def interrupt(name: str, *more: object) -> object:
        if name == "vapi_sessions.cli.app":
            raise KeyboardInterrupt
        return imported(name, *more)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", interrupt)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 130


def test_sql_answers_in_a_table_from_stdin(desk: Desk) -> None:
    """The default is a table for people; `-` takes the query from stdin."""
    ran = desk.run("sql", "-", stdin="SELECT status, count(*) AS n FROM sessions GROUP BY ALL")
    assert (ran.code, ran.err) == (0, "")
    for status, count in desk.rows("SELECT status, count(*) FROM sessions GROUP BY ALL"):
        assert re.search(rf"│ {status} +│ +{count} │", ran.out)


def test_a_reader_of_the_output_may_stop_early(desk: Desk) -> None:
    """`vapi-sessions sql … | head` is no error."""
    with subprocess.Popen(
        [COMMAND, "sql", "--format", "csv", "FROM messages CROSS JOIN range(50)"],
        env=desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_rebuild_says_what_it_did(desk: Desk) -> None:
    """Sessions and raw files; the five tables are equal, and no other database is left."""
    before = desk.contents()
    ran = desk.run("rebuild")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "Rebuilt 120 sessions from 1 raw files.\n"
    assert {path.name for path in desk.warehouse.glob("*.duckdb*")} == {"index.duckdb", "vapi.duckdb"}
    assert desk.contents() == before


def test_a_bug_is_told_as_one_and_shows_its_traceback_only_on_request(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is exit code 1 in two lines; `--debug` shows where it happened."""

    def broken(warehouse: Path) -> None:
        raise LookupError("a record's content")

    monkeypatch.setattr(rebuilding, "rebuild", broken)
    ran = desk.run("rebuild")
    assert (ran.code, ran.out) == (1, "")
    assert len(ran.message) == 2
    assert "Traceback" not in ran.err
    assert "a record's content" not in ran.err
    assert "--debug" in ran.message[1]
    assert "Traceback" in desk.run("--debug", "rebuild").err


# -- the demonstration


@pytest.mark.parametrize("start", [False, pytest.param(True, marks=pytest.mark.proof)], ids=["", "process"])
def test_the_demonstration_runs(desk: Desk, start: bool) -> None:
    """Without an account: two syncs, first answers, and where everything lies; what an earlier one left is replaced."""
    shown = desk.warehouse.parent / "shown"
    shown.mkdir()
    (shown / ".vapi-sessions-demo").touch()
    (shown / "emulator.sqlite").write_text("of another demonstration")
    desk.environment = {
        name: value for name, value in desk.environment.items() if not name.startswith("VAPI_")
    }
    run = desk.start if start else desk.run
    ran = run("demo", "--dir", "shown", "--sessions", "80", "--days", "4")
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    assert "First sync: 80 sessions" in ran.out
    assert re.search(r"Second sync: \d+ new and \d+ changed sessions", ran.out)
    assert str(Path("shown", "warehouse", "vapi.duckdb")) in ran.out
    with vapi_sessions.connect(shown / "warehouse") as db:
        assert db.execute("SELECT count(*) >= 80 FROM sessions").fetchall() == [(True,)]


def test_the_demonstration_takes_no_place_that_holds_something_else(desk: Desk) -> None:
    """A directory of somebody's is refused and left alone."""
    before = desk.files()
    ran = desk.run("demo", "--dir", str(desk.warehouse))
    assert (ran.code, ran.out) == (2, "")
    assert "holds something that is no demonstration" in ran.message[0]
    assert "--dir" in ran.message[1]
    assert desk.files() == before
