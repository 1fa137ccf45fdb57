"""`frame()`, the help of `connect()`, and the paths that name a warehouse."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import command
import vapi_sessions
from vapi_sessions.errors import ConfigurationError


def test_a_frame_has_the_rows_of_a_query(demo_warehouse: Path) -> None:
    """With the query's columns, and times in UTC."""
    query = "SELECT session_id, created_at, cost_usd FROM sessions ORDER BY created_at, session_id"
    frame = vapi_sessions.frame(query, demo_warehouse)
    assert frame.schema == {
        "session_id": pl.String,
        "created_at": pl.Datetime("us", "UTC"),
        "cost_usd": pl.Float64,
    }
    with vapi_sessions.connect(demo_warehouse) as db:
        assert frame.rows() == db.execute(query).fetchall()


def test_parameters_are_by_position_or_by_name(demo_warehouse: Path) -> None:
    """Values are never put into the text of a query."""
    since = datetime(2020, 1, 1, tzinfo=UTC)
    by_position = vapi_sessions.frame(
        "SELECT count(*) AS n FROM sessions WHERE created_at > ? AND status = ?",
        demo_warehouse,
        parameters=[since, "completed"],
    )
    by_name = vapi_sessions.frame(
        "SELECT count(*) AS n FROM sessions WHERE status = $status",
        demo_warehouse,
        parameters={"status": "completed"},
    )
    assert by_position["n"].item() == by_name["n"].item() > 0


def test_the_warehouse_of_the_environment_is_the_default(
    demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for `connect()` and the commands."""
    monkeypatch.setenv("VAPI_WAREHOUSE", str(demo_warehouse))
    assert vapi_sessions.frame("FROM freshness").height == 1


def test_a_frame_needs_a_statement_and_a_warehouse(demo_warehouse: Path, tmp_path: Path) -> None:
    """DuckDB's own errors for a wrong query stay as they are."""
    with pytest.raises(ConfigurationError, match="contains no statement"):
        vapi_sessions.frame("-- later", demo_warehouse)
    with pytest.raises(ConfigurationError, match="no published warehouse"):
        vapi_sessions.frame("FROM sessions", tmp_path)
    with pytest.raises(duckdb.CatalogException, match="session_sumary"):
        vapi_sessions.frame("FROM session_sumary", demo_warehouse)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("max(updated_at) - min(created_at)", "Select EPOCH(span) for seconds, or CAST(span AS VARCHAR) for text."),
        ("[INTERVAL 3 DAY]", "Select CAST(span AS VARCHAR) for text."),
    ],
)  # fmt: skip
def test_an_interval_is_refused_with_what_to_select(demo_warehouse: Path, value: str, remedy: str) -> None:
    """There is none in polars; its own error names an internal type, or is a panic."""
    with pytest.raises(ConfigurationError, match=r"The column span is of type .*INTERVAL") as caught:
        vapi_sessions.frame(f"SELECT {value} AS span FROM sessions", demo_warehouse)
    assert caught.value.remedy == remedy


def test_the_path_of_the_database_names_its_warehouse(demo_warehouse: Path, tmp_path: Path) -> None:
    """For `connect()`, `frame()` and commands; also through a link. Another file does not."""
    file = demo_warehouse / "vapi.duckdb"
    link = tmp_path / "link.duckdb"
    link.symlink_to(file)
    for path in (file, str(file), link):
        with vapi_sessions.connect(path) as db:
            assert db.execute("SELECT count(*) > 0 FROM sessions").fetchall() == [(True,)]
    assert vapi_sessions.frame("FROM sessions LIMIT 1", file).height == 1
    for arguments in (
        ("status", "--warehouse", str(file)),
        ("sql", "--warehouse", str(file), "SELECT 42 AS n"),
    ):
        assert command.run(*arguments, environment={}).code == 0
    ran = command.run("status", "--warehouse", str(demo_warehouse / "index.duckdb"), environment={})
    assert (ran.code, "is a file, not a directory" in ran.err) == (5, True)


def test_a_directory_with_the_name_of_the_database_is_a_warehouse(
    demo_warehouse: Path, tmp_path: Path
) -> None:
    """Only a file stands for its directory."""
    odd = tmp_path / "vapi.duckdb"
    odd.symlink_to(demo_warehouse)
    assert vapi_sessions.frame("FROM freshness", odd).height == 1


@pytest.mark.parametrize("function", [vapi_sessions.connect, vapi_sessions.frame])
def test_the_examples_in_the_help_run(
    function: Any, demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`help()` says what comes back, and shows what to do with it."""
    text = inspect.getdoc(function) or ""
    assert re.search(r"[Rr]eturns? (a DuckDB connection|its rows as a polars frame)", text)
    examples = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(examples) >= 3
    monkeypatch.setenv("VAPI_WAREHOUSE", str(demo_warehouse))
    names: dict[str, Any] = {"vapi_sessions": vapi_sessions}
    opened = []
    for line in examples:
        exec(line.replace("path/to/warehouse", str(demo_warehouse)), names)  # noqa: S102  # our own text
        opened.append(names.get("con"))
    for connection in filter(None, opened):
        connection.close()


@pytest.mark.proof
def test_importing_the_package_imports_neither_duckdb_nor_polars() -> None:
    """They take half a second, which a program that only wants the version need not wait for."""
    program = (
        "import sys, vapi_sessions; print({'duckdb', 'polars', 'pyarrow', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
