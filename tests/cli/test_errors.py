"""Errors: the exit code says who can fix it, the message gives the fact and the remedy, and the warehouse is unchanged."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from command import Ran
from constants import KEY
from desk import OURS, THEIR_KEY, THEIRS, Desk, always
from selection import in_proof
from vapi_sessions.operations import rebuild as rebuilding


@dataclass(frozen=True)
class Bad:
    """An error: how to cause it, the exit code, and patterns of the fact and the remedy."""

    code: int
    fact: str
    remedy: str
    arguments: str = "sync"
    environment: dict[str, str | None] = field(default_factory=dict)
    prepare: Callable[[Desk], None] = lambda desk: None


def _in_debt(desk: Desk) -> None:
    desk.server.configure(must_pay=frozenset({OURS}))


def _unreachable(desk: Desk) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        desk.environment["VAPI_BASE_URL"] = f"http://127.0.0.1:{free.getsockname()[1]}"


def _elsewhere(name: str, make: Callable[[Path], object]) -> Callable[[Desk], None]:
    """Use another path for the warehouse, beside it."""

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
        4, "answers 200 itself, not the API", "Check --base-url", prepare=always("html")
    ),
    "the CDN's refusal": Bad(3, "CDN .*403.*error code: 1010", "proxy and network", prepare=always("cdn403")),
    "an invalid date": Bad(2, "'yesterday' is not a date", "--since", "sync --since yesterday"),
    "since after until": Bad(
        2,
        "2026-03-02.* is not before --until 2026-03-01",
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


#: Errors that are only tried in this process.
FURTHER: Final = {
    "an empty key": Bad(2, "No API key", "Set VAPI_API_KEY", environment={"VAPI_API_KEY": ""}),
    "a key of two lines": Bad(2, "contains a space, a line break", "Copy it again", environment={"VAPI_API_KEY": "a\nb"}),
    "a missing key file": Bad(
        2,
        "key file nowhere.txt cannot be read: No such file",
        "VAPI_API_KEY_FILE",
        environment={"VAPI_API_KEY": None, "VAPI_API_KEY_FILE": "nowhere.txt"},
    ),
    "an unpaid balance": Bad(3, "must pay first .*402.*outstanding", "dashboard", prepare=_in_debt),
    "no Sessions API there": Bad(3, "no Sessions API at", "--base-url", "sync --base-url {url}/v2"),
    "an invalid address": Bad(2, "'api.vapi.ai' is not an address", "--base-url", "sync --base-url api.vapi.ai"),
    "an invalid until": Bad(2, "'2026-02-30' is not a date", "--until", "sync --until 2026-02-30"),
    "since in the future": Bad(2, "--since 2999.* is not before", "earlier --since", "sync --since 2999-01-01"),
    "an invalid duration": Bad(2, "'soon' is not a duration", "--settle", "sync --settle soon"),
    "concurrency 0": Bad(2, "--concurrency: .*greater than or equal to 1", "--help", "sync --concurrency 0"),
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
    "no published warehouse": Bad(2, "no published warehouse", "vapi-sessions sync", "status --warehouse elsewhere"),
    "nothing to query": Bad(2, "no published warehouse", "vapi-sessions sync", "sql --warehouse elsewhere FROM\tsessions"),
    "nothing to rebuild": Bad(2, "elsewhere is not a warehouse", "--warehouse", "rebuild --warehouse elsewhere"),
    "an unknown table": Bad(2, "Table with name sesions does not exist", "sessions", "sql FROM\tsesions"),
    "invalid SQL": Bad(2, "syntax error", "An example: sql", "sql SELEKT\t1"),
    "a changing statement": Bad(2, "read-only", "", "sql DROP\tVIEW\tvapi.main.sessions"),
    "an unknown format": Bad(2, "'xml' is not a format", "table, line, markdown, csv, json", "sql --format xml SELECT\t1"),
    "neither a query nor a file": Bad(2, "Neither a query nor --file", "--file FILE", "sql"),
    "a query and a file": Bad(2, "A query and --file", "--file FILE", "sql SELECT\t1 --file x.sql"),
    "a missing file of SQL": Bad(2, "file x.sql cannot be read: No such file", "UTF-8", "sql --file x.sql"),
    "nothing to describe": Bad(2, "no published warehouse", "vapi-sessions sync", "describe --warehouse elsewhere"),
    "an unknown table to describe": Bad(2, "no table or view sesion", "Did you mean sessions", "describe sesion"),
    "nothing like it to describe": Bad(2, "no table or view xyzzy", "vapi-sessions describe", "describe xyzzy"),
    "an invalid age": Bad(2, "'old' is not a duration", "", "status --max-age old"),
}  # fmt: skip


def _check(desk: Desk, bad: Bad, run: Callable[..., Ran]) -> None:
    """Run into the error, and check the message and that the warehouse is unchanged."""
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
    assert all(re.match(r"sync: waiting \d+ s: ", line) for line in above), ran.err
    assert desk.files() == files or desk.contents() == desk.held
    assert not (desk.warehouse.parent / "elsewhere").exists()


@pytest.mark.parametrize(
    "bad",
    [
        in_proof(bad) if bad is BAD["a host that answers HTML"] else bad
        for bad in (*BAD.values(), *FURTHER.values())
    ],
    ids=[*BAD, *FURTHER],
)
def test_an_error_has_two_lines_and_loses_nothing(desk: Desk, bad: Bad) -> None:
    """The exit code, the fact and the remedy are right, and the warehouse is unchanged."""
    _check(desk, bad, desk.run)


@pytest.mark.parametrize("bad", [pytest.param(BAD[kind], id=kind) for kind in ("wrong key",)])
def test_the_process_ends_with_the_same_error(desk: Desk, bad: Bad) -> None:
    """The process prints and exits as the function that it calls."""
    _check(desk, bad, desk.start)


@pytest.mark.proof
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_the_process_ends_with_the_same_error_in_every_case(desk: Desk, bad: Bad) -> None:
    _check(desk, bad, desk.start)


def test_a_password_in_the_base_url_is_not_shown(desk: Desk) -> None:
    """The address is refused without repeating it."""
    ran = desk.run("sync", "--base-url", "https://me:open-sesame@api.vapi.ai")
    assert (ran.code, ran.out) == (2, "")
    assert "--base-url" in ran.message[0]
    assert "open-sesame" not in ran.err


def test_a_bug_shows_its_traceback_only_with_debug(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is exit code 1 in two lines; `--debug` shows its traceback."""

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
