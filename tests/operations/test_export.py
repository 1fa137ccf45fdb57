"""`export` writes one published state, changes nothing in the warehouse, and appears when it is complete."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from exporting import exported, opened, rows_of
from selection import first
from vapi_sessions.core import faultpoints
from vapi_sessions.core.workspace import workspace
from vapi_sessions.errors import ConfigurationError, WarehouseBusyError, WarehouseError
from vapi_sessions.warehouse.layout import Layout, writer_lock
from worlds import World

TABLES = ("sessions", "messages", "tool_calls", "costs", "structured_outputs")
OUTPUTS = [("duckdb", "vapi-export.duckdb"), ("csv", "vapi-export"), ("parquet", "vapi-export")]


def here(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, mode and modification time of every file below a directory."""
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.proof
@pytest.mark.parametrize(("output", "name"), first(OUTPUTS))
def test_the_warehouse_stays_as_it_is(demo_warehouse: Path, tmp_path: Path, output: str, name: str) -> None:
    """Not a byte of it changes, and it is not locked: a writer may run meanwhile."""
    before = here(demo_warehouse)
    with writer_lock(Layout(demo_warehouse)):
        path = exported(demo_warehouse, tmp_path / name, output=output)
    assert {k: v for k, v in here(demo_warehouse).items() if k != ".lock"} == {
        k: v for k, v in before.items() if k != ".lock"
    }
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.proof
def test_an_export_of_an_older_snapshot_does_not_change(world: World, tmp_path: Path) -> None:
    """It is a copy: a later sync does not reach it."""
    world.insert(3, lambda n: (world.ago(hours=2) + n, world.ago(hours=1)))
    world.sync()
    path = exported(world.warehouse, tmp_path / "x.duckdb")
    before = world.tables()
    world.insert(2, lambda n: (world.ago(minutes=3) + n, world.ago(minutes=2)))
    world.clock.forward(hours=1)
    world.sync()
    assert len(world.tables()["sessions"]) == 5
    with opened(path) as db:
        assert {name: db.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES} == before


@pytest.mark.parametrize(("output", "name"), first(OUTPUTS))
def test_what_is_there_is_not_replaced_without_being_asked(
    demo_warehouse: Path, tmp_path: Path, output: str, name: str
) -> None:
    """The message says what it is; with `force` the export replaces it."""
    path = (
        exported(demo_warehouse, tmp_path / name, "sessions", output=output)
        if output != "duckdb"
        else exported(demo_warehouse, tmp_path / name)
    )
    before = here(tmp_path)
    with pytest.raises(ConfigurationError, match=r"exists \((file of|directory with)") as told:
        exported(demo_warehouse, path, output=output)
    assert "--force" in told.value.remedy
    assert here(tmp_path) == before
    exported(demo_warehouse, path, output=output, force=True)
    assert here(tmp_path) != before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("output", ["duckdb", "csv"])
def test_a_foreign_directory_is_never_replaced(demo_warehouse: Path, tmp_path: Path, output: str) -> None:
    """Only one with nothing but files of an export is, and only by one of its kind."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear Ann")
    for force in (False, True):
        with pytest.raises(ConfigurationError, match="is not replaced") as told:
            exported(demo_warehouse, tmp_path / "mine", output=output, force=force)
        assert told.value.remedy == "Give another path with --out."
    assert (tmp_path / "mine" / "letter.txt").read_text() == "Dear Ann"


def test_a_file_that_is_no_database_is_never_replaced(demo_warehouse: Path, tmp_path: Path) -> None:
    """A mistyped --out must not cost anybody a file."""
    (tmp_path / "letter.txt").write_text("Dear Ann")
    with pytest.raises(ConfigurationError, match="is not replaced"):
        exported(demo_warehouse, tmp_path / "letter.txt", force=True)
    assert (tmp_path / "letter.txt").read_text() == "Dear Ann"


@pytest.mark.proof
def test_a_file_is_not_replaced_by_a_directory(demo_warehouse: Path, tmp_path: Path) -> None:
    """Also with `force`."""
    path = exported(demo_warehouse, tmp_path / "x")
    with pytest.raises(ConfigurationError, match="no export as --format csv"):
        exported(demo_warehouse, path, output="csv", force=True)


@pytest.mark.proof
def test_the_log_of_another_database_is_in_the_way(demo_warehouse: Path, tmp_path: Path) -> None:
    """DuckDB would replay it into the export."""
    log = tmp_path / "x.duckdb.wal"
    log.write_bytes(b"of another database")
    with pytest.raises(ConfigurationError, match=r"x\.duckdb\.wal exists"):
        exported(demo_warehouse, tmp_path / "x.duckdb")
    exported(demo_warehouse, tmp_path / "x.duckdb", force=True)
    assert not log.exists()


@pytest.mark.proof
def test_a_link_is_replaced_and_not_followed(demo_warehouse: Path, tmp_path: Path) -> None:
    """Its target stays as it is."""
    (tmp_path / "target").write_text("mine")
    (tmp_path / "x.duckdb").symlink_to("target")
    with pytest.raises(ConfigurationError, match=r"exists \(link\)"):
        exported(demo_warehouse, tmp_path / "x.duckdb")
    exported(demo_warehouse, tmp_path / "x.duckdb", force=True)
    assert (tmp_path / "target").read_text() == "mine"
    assert not (tmp_path / "x.duckdb").is_symlink()


@pytest.mark.parametrize("inside", first(["vapi.duckdb", "x.duckdb", "parquet/x", "."]))
def test_an_export_into_the_warehouse_is_refused(demo_warehouse: Path, inside: str) -> None:
    """Also with `force`."""
    before = here(demo_warehouse)
    with pytest.raises(ConfigurationError, match="files of the warehouse"):
        exported(demo_warehouse, demo_warehouse / inside, force=True)
    assert here(demo_warehouse) == before


@pytest.mark.parametrize(
    ("out", "message"),
    [("", "is empty"), ("missing/x", "does not exist"), ("s3://bucket/x", "is a URL"), ("..", "no name"), ("a?b", "URL's parameters")],
)  # fmt: skip
def test_another_path_is_refused(
    demo_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, message: str
) -> None:
    """Nothing is created."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        exported(demo_warehouse, out)  # type: ignore[arg-type]  # a Path would change it
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "output", "version", "message"),
    [
        (("sessions",), "duckdb", None, "no names are taken"),
        (("sesions",), "csv", None, "no table or view sesions"),
        ((), "xls", None, "'xls' is not a format"),
        ((), "csv", "v1.2.0", "--storage-version is for"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    demo_warehouse: Path,
    tmp_path: Path,
    names: tuple[str, ...],
    output: str,
    version: str | None,
    message: str,
) -> None:
    """Nothing is created."""
    with pytest.raises(ConfigurationError, match=message):
        exported(demo_warehouse, tmp_path / "x", *names, output=output, version=version)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.proof
def test_two_exports_to_one_path_do_not_meet(demo_warehouse: Path, tmp_path: Path) -> None:
    """The second one says so; leftovers of one that was killed are removed."""
    out = tmp_path / "x.duckdb"
    with workspace(out) as directory:
        (directory / "leftover").write_text("half")
        with pytest.raises(WarehouseBusyError, match="Another process is writing"):
            exported(demo_warehouse, out)
    directory.mkdir()
    (directory / "leftover").write_text("half")
    exported(demo_warehouse, out)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(("output", "name"), first(OUTPUTS))
def test_a_failure_leaves_nothing(
    demo_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, name: str
) -> None:
    """An earlier export stays as it was."""
    path = exported(demo_warehouse, tmp_path / name, output=output)
    before = here(tmp_path)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("vapi_sessions.operations.export.put_in_place", full)
    with pytest.raises(WarehouseError, match="disk is full"):
        exported(demo_warehouse, path, output=output, force=True)
    assert here(tmp_path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_directories_and_files_are_private(demo_warehouse: Path, tmp_path: Path) -> None:
    """As in the warehouse."""
    path = exported(demo_warehouse, tmp_path / "x", output="csv")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


def test_paths_and_facts_of_the_writer_are_left_out(world: World, tmp_path: Path) -> None:
    """Messages of failed runs name no directory of this machine; nothing is derived from a key or from forgotten people."""
    world.insert(2, lambda n: (world.ago(hours=2) + n, world.ago(hours=1)))
    policy = {"personal_data": "pseudonymise", "pseudonym_key": "0123456789abcdef0123"}
    faultpoints.arm("raw.written=full")
    try:
        with pytest.raises(WarehouseError):
            world.sync(**policy)
    finally:
        faultpoints.arm(None)
    world.clock.forward(hours=1)
    world.sync(**policy)
    stored = dict(world.rows("FROM sync.state"))
    assert "pseudonym_key" in stored
    ((error,),) = world.rows("SELECT error FROM sync.runs WHERE error IS NOT NULL")
    assert str(world.warehouse) in error
    with opened(exported(world.warehouse, tmp_path / "x.duckdb")) as db:
        rows = rows_of(db, ["sync.state", "sync.runs"])
    assert set(rows["sync.state"]) == {*stored.items()} - {("pseudonym_key", stored["pseudonym_key"])}
    assert str(world.warehouse) not in repr(rows)
    assert "disk is full (warehouse/raw" in repr(rows)
