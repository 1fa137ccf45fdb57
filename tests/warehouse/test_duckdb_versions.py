"""`vapi.duckdb` can be opened by older DuckDB versions: its format is that of 1.0, and its views need 1.3 at most."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import duckdb
import pytest

from exporting import exported
from vapi_sessions.core import resources
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.views import OLDEST_DUCKDB

#: 1.0 can open the file, but has no variables, which the tables' views need.
VERSIONS: Final = ("1.1.3", "1.2.2", "1.3.2", "1.4.4")
#: The version that a view needs, if it is not the oldest one, and that the attached database needs.
NEEDS: Final = {
    "drift": (1, 3),  # json_each
    "structured_output_values": (1, 3),
    "structured_output_trends": (1, 3),
    "attached": (1, 2),  # 1.1 looks for a view's macro in the current database
}
#: A program that prints the rows of each view and table as text, or the error.
READING: Final = """
import json, sys, duckdb
found = {"version": duckdb.__version__}
with duckdb.connect(sys.argv[1], read_only=True) as db:
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET enable_progress_bar = false")  # 1.1 writes it to stdout
    for name in sys.argv[2:]:
        try:
            # 1.1 and 1.2 show the texts in a list without quotes
            columns = ", ".join(
                f'to_json("{column}")::VARCHAR' if kind.endswith("[]") else f'"{column}"::VARCHAR'
                for column, kind, *_ in db.execute(f"DESCRIBE {name}").fetchall()
            )
            found[name] = sorted(map(str, db.execute(f"SELECT {columns} FROM {name}").fetchall()))
        except duckdb.Error as error:
            found[name] = str(error)
with duckdb.connect() as db:
    db.execute(f"ATTACH '{sys.argv[1]}' AS other (READ_ONLY)")
    try:
        found["attached"] = db.execute("SELECT count(*) FROM other.session_summary").fetchall()
    except duckdb.Error as error:
        found["attached"] = str(error)
print(json.dumps(found))
"""
NAMES: Final = (
    *(table.name for table in TABLES),
    *(f"sync.{table.name}" for table in SYNC_TABLES),
    *(file.stem for file in resources.sql_files("views")),
)


def read(database: Path, packages: Path | None = None) -> dict[str, object]:
    """The rows that a process reads from a database with the packages of this directory."""
    done = subprocess.run(
        [sys.executable, "-c", READING, str(database), *NAMES],
        env={**os.environ, "PYTHONPATH": str(packages or "")},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_file_has_an_old_format(demo_warehouse: Path) -> None:
    """By its header (64 is the format of 0.10 to 1.1) and by DuckDB."""
    header = (demo_warehouse / "vapi.duckdb").read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") == 64
    with duckdb.connect(demo_warehouse / "vapi.duckdb", read_only=True) as db:
        ((tags,),) = db.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'vapi'").fetchall()
    assert tags["storage_version"].startswith(OLDEST_DUCKDB)


@pytest.mark.proof
@pytest.mark.timeout(1200)  # views of customers are slow before 2.0, and more so on a busy machine
@pytest.mark.parametrize("version", VERSIONS)
def test_older_versions_read_the_same_rows(demo_warehouse: Path, tmp_path: Path, version: str) -> None:
    """Every column of every table and view whose functions the version has."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("no uv beside this Python: make setup brings it")
    packages = tmp_path / "packages"
    installed = subprocess.run(
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            "--target",
            packages,
            f"duckdb=={version}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"duckdb {version} cannot be installed here: {installed.stderr.strip()[-300:]}")
    too_old = {name for name, least in NEEDS.items() if _numbers(version) < least}
    published = demo_warehouse / "vapi.duckdb"
    assert unequal(published, packages, version) == too_old
    for number, storage in enumerate((None, f"v{version}")):
        portable = exported(demo_warehouse, tmp_path / f"{number}.duckdb", version=storage)
        assert unequal(portable, packages, version) == too_old


def unequal(database: Path, packages: Path, version: str) -> set[str]:
    """The tables and views whose rows this version cannot read. All others have the rows that ours reads."""
    ours, theirs = read(database), read(database, packages)
    assert theirs.pop("version") == version
    del ours["version"]
    failed = {name for name, rows in theirs.items() if isinstance(rows, str)}
    assert len(ours) > 20
    assert {name for name in ours if ours[name] != theirs[name]} == failed
    return failed


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))
