"""`vapi-sessions export`: its output, its refusals, and what an interruption leaves."""

from __future__ import annotations

import re
import resource
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from desk import Desk
from exporting import opened
from selection import first
from vapi_sessions.warehouse import portable


def left(desk: Desk) -> set[str]:
    """What is beside the warehouse, hidden files included."""
    return {path.name for path in desk.warehouse.parent.iterdir()} - {desk.warehouse.name}


def test_the_default_is_one_duckdb_file(desk: Desk) -> None:
    """In the working directory; the command needs no key and no source."""
    for name in ("VAPI_API_KEY", "VAPI_BASE_URL"):
        del desk.environment[name]
    before = desk.files()
    ran = desk.run("export")
    assert (ran.code, ran.err) == (0, "")
    path = desk.warehouse.parent / "vapi-export.duckdb"
    assert ran.out.startswith("Exported 120 sessions, published 2")
    assert f", to {path} (" in ran.out
    with opened(path) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchall() == [(120,)]
        assert db.execute("SELECT count(*) > 0 FROM cost_by_day").fetchall() == [(True,)]
    assert left(desk) == {path.name}
    assert desk.files() == before


def test_tables_and_views_as_files(desk: Desk) -> None:
    """Into a directory."""
    ran = desk.run("export", "cost_by_day", "sessions", "--format", "csv", "--out", "some")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Exported 2 tables and views, published 2")
    assert {path.name for path in (desk.warehouse.parent / "some").iterdir()} == {
        "cost_by_day.csv",
        "sessions.csv",
    }


@pytest.mark.proof
def test_a_policy_is_named_and_applied(desk: Desk) -> None:
    """A message says that the rows are derived again; the setting of the environment counts, too."""
    ran = desk.run("export", "--personal-data", "drop", "--message-text", "drop")
    assert ran.code == 0
    assert ran.err.startswith(
        "export: deriving the rows again from raw/ (personal data dropped, message text dropped)"
    )
    desk.environment["VAPI_PERSONAL_DATA"] = "drop"
    assert desk.run("export", "--out", "other.duckdb").code == 0
    for name, texts in (("vapi-export.duckdb", 0), ("other.duckdb", 1)):
        with opened(desk.warehouse.parent / name) as db:
            people = "SELECT count(coalesce(customer_number, customer_name, customer_email, customer_id)) FROM sessions"
            assert db.execute(people).fetchall() == [(0,)]
            said = "SELECT count(*) > 0 FROM messages WHERE regexp_matches(content, '[a-w]')"
            assert db.execute(said).fetchall() == [(bool(texts),)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sessions"], "no names are taken: sessions"),
        (["--format", "parquet", "sesions"], "no table or view sesions"),
        (["--format", "xls"], "'xls' is not a format"),
        (["--storage-version", "7"], "'7' is not a version"),
        (["--personal-data", "mask"], "--personal-data: Input should be 'keep', 'pseudonymise' or 'drop'"),
        (["--personal-data", "pseudonymise"], "Pseudonyms need a key"),
        (["--out", "there"], "there is a directory with 0 entries and no export"),
        (["--out", "warehouse/vapi.duckdb", "--force"], "files of the warehouse"),
        (["--out", "s3://bucket/x.duckdb"], "is a URL"),
        (["--warehouse", "none"], "There is no published warehouse"),
    ],
)
def test_wrong_input_is_refused(desk: Desk, arguments: list[str], message: str) -> None:
    """Exit code 2, the fact and the remedy; nothing is written."""
    (desk.warehouse.parent / "there").mkdir()
    ran = desk.run("export", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.message[0]
    assert len(ran.message) == 2
    assert left(desk) == {"there"}


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("cost_by_days", r"Did you mean cost_by_day( or \w+)*\? vapi-sessions describe lists all\."),
        ("runs", r"Did you mean .*\bsync\.runs\b.*\? vapi-sessions describe lists all\."),
        ("qqq", r"vapi-sessions describe lists all\."),
    ],
)
def test_close_names_are_suggested(desk: Desk, given: str, remedy: str) -> None:
    """Views and the ledger included."""
    assert re.fullmatch(remedy, desk.run("export", "--format", "csv", given).message[1])


def test_names_may_be_in_upper_case(desk: Desk) -> None:
    """As in SQL."""
    assert desk.run("export", "--format", "csv", "COST_BY_DAY", "main.sessions", "--out", "x").code == 0
    assert {path.name for path in (desk.warehouse.parent / "x").iterdir()} == {
        "cost_by_day.csv",
        "sessions.csv",
    }


def interrupted(*given: Any) -> None:
    """Stands for work that gets Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def interrupted_in_duckdb(*given: Any) -> None:
    """DuckDB turns KeyboardInterrupt into an error of its own."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("Query interrupted") from None


@pytest.mark.parametrize("work", first([interrupted_in_duckdb, interrupted]))
@pytest.mark.parametrize("personal_data", first(["drop", "keep"]))
def test_an_interruption_leaves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, work: Any, personal_data: str
) -> None:
    """Ctrl-C when half of the rows are copied, also if they were derived again: exit code 130, one line, and no file."""
    fill = portable._fill

    def half(*given: Any) -> None:
        fill(*given)
        work()

    monkeypatch.setattr(portable, "_fill", half)
    before = desk.files()
    ran = desk.run("export", "--personal-data", personal_data)
    assert (ran.code, ran.out, ran.message) == (130, "", ["error: Interrupted."])
    assert left(desk) == set()
    assert desk.files() == before


@pytest.fixture
def small_files(desk: Desk) -> Iterator[Desk]:
    """No file of this process may have more than 40,000 bytes; Python ignores SIGXFSZ."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield desk
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("output", first(["duckdb", "csv", "parquet"], 2))
def test_a_disk_that_takes_no_more_is_exit_code_5(small_files: Desk, output: str) -> None:
    """Nothing is left."""
    ran = small_files.run("export", "--format", output)
    assert (ran.code, ran.out) == (5, "")
    assert "would exceed the maximum file size" in ran.message[0]
    assert left(small_files) == set()


@pytest.mark.proof
def test_a_directory_that_cannot_be_written_is_exit_code_5(read_only: Desk) -> None:
    """The warehouse can be read, but the export cannot be put there."""
    parent = read_only.warehouse.parent
    (parent / "locked").mkdir(mode=0o500)
    ran = read_only.start("export", "--out", str(parent / "locked" / "x.duckdb"))
    assert ran.code == 5
    assert "x.duckdb cannot be written (Permission denied)" in ran.message[0]
    assert "--out" in ran.message[1]
    assert read_only.start("export", "--out", str(parent / "x.duckdb")).code == 0
