"""The wheel, installed into an environment that has nothing else, has every command and what the commands read."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from email import message_from_bytes
from pathlib import Path
from typing import Final

import pytest

from documents import ROOT

pytestmark = pytest.mark.proof
#: Calls the help of every command in one process.
HELP: Final = """
import contextlib, io, sys
from vapi_sessions.cli import app
names = list(app._commands(emulator=True).commands)
for name in names:
    sys.argv = ["vapi-sessions", name, "--help"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        app.main()
    assert out.getvalue().startswith(f"Usage: vapi-sessions {name} ["), name
print(len(names))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the source distribution and the wheel."""
    place = tmp_path_factory.mktemp("dist")
    _build(ROOT, place, "--target", "sdist", "--target", "wheel")
    return place


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which only the wheel was installed, with what it requires."""
    place = tmp_path_factory.mktemp("empty") / "environment"
    uv = str(Path(sys.executable).with_name("uv"))
    (wheel,) = built.glob("*.whl")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", place / "bin" / "python", wheel,
         "--constraint", _without_hashes(place.with_name("constraints.txt"))],
        check=True,
    )  # fmt: skip
    return place / "bin"


def test_the_source_distribution_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """File by file."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    _build(source, tmp_path / "dist", "--target", "wheel")
    assert _files(tmp_path / "dist") == _files(built)


def test_the_wheel_has_the_files_that_commands_read(built: Path) -> None:
    """Views, checks, flows, the report's page, marks of types, licences; and nothing compiled or of the tests."""
    names = set(_files(built))
    for folder, inside in (("sql", "_sql"), ("flows", "_flows")):
        beside = {
            path.relative_to(ROOT / folder)
            for path in (ROOT / folder).rglob("*.*")
            if path.suffix in (".sql", ".py")
        }
        assert {f"vapi_sessions/{inside}/{path}" for path in beside} <= names
    code = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.suffix in (".py", ".tsv", ".html", ".css", ".js")
    }
    assert code | {"vapi_sessions/py.typed", "vapi_emulator/py.typed"} <= names
    assert {Path(name).parts[0] for name in names if ".dist-info" not in name} == {
        "vapi_sessions",
        "vapi_emulator",
    }
    assert [name for name in names if name.endswith(".pyc")] == []
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_the_metadata_describes_the_package(built: Path) -> None:
    """What an index shows, and what pip checks."""
    (content,) = (content for name, content in _files(built).items() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(content)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "DuckDB" in metadata["Summary"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata.get_all("Provides-Extra", [])) == {"notebook", "report"}
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(
        metadata.get_all("Classifier", [])
    )


def test_every_command_works_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    """Hints name the command by its path. The report needs its extra, and says so."""
    program, python = str(installed / "vapi-sessions"), str(installed / "python")
    assert int(_run([python, "-W", "error", "-c", HELP], tmp_path)[1]) >= 14
    code, out, _ = _run([program, "demo", "--sessions", "40"], tmp_path)
    assert code == 0
    assert f"  {program} status --warehouse " in out
    chosen = {"VAPI_WAREHOUSE": str(tmp_path / "demo" / "warehouse")}
    assert (
        int(
            _run([program, "sql", "SELECT count(*) FROM cost_by_day", "--format", "csv"], tmp_path, chosen)[
                1
            ].split()[1]
        )
        > 0
    )
    for words in (["status"], ["describe", "cost_by_day"], ["rebuild"], ["export", "--out", "x.duckdb"]):
        code, out, err = _run([program, *words], tmp_path, chosen)
        assert (code, bool(out)) == (0, True), err
    code, _, err = _run([program, "report"], tmp_path, chosen)
    assert code == 2
    assert "pip install 'vapi-sessions[report]'" in err
    code, _, err = _run([program, "schedule"], tmp_path, {**chosen, "VAPI_API_KEY": "a-key"})
    assert (code, "--every" in err) == (2, True)
    code, _, err = _run([python, "-m", "vapi_sessions", "snyc"], tmp_path)
    assert (code, err.splitlines()[1]) == (2, f"See {python} -m vapi_sessions --help.")


def test_the_flows_of_the_wheel_run(installed: Path, tmp_path: Path) -> None:
    """They end with the message and the exit code of the command."""
    (flow,) = installed.parent.glob("lib/python*/site-packages/vapi_sessions/_flows/sync.py")
    code, _, err = _run([str(installed / "python"), str(flow)], tmp_path)
    assert code == 2, err
    assert err.endswith(f"To try without an account: {installed / 'vapi-sessions'} demo\n")


def _build(source: Path, place: Path, *targets: str) -> None:
    words = [sys.executable, "-m", "hatchling", "build", *targets, "--directory", str(place)]
    subprocess.run(words, cwd=source, check=True, capture_output=True)


def _files(place: Path) -> dict[str, bytes]:
    """The files of the wheel in a directory."""
    (path,) = place.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def _without_hashes(place: Path) -> Path:
    """The locked versions, so that the same packages are installed as everywhere else."""
    lines = (ROOT / "requirements" / "product.txt").read_text().splitlines()
    place.write_text("\n".join(line.removesuffix(" \\") for line in lines if line[:1].isalnum()))
    return place


def _run(
    words: list[str], directory: Path, variables: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VAPI_", "PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        words, cwd=directory, env=kept | {"PREFECT_HOME": str(directory / "prefect")} | dict(variables or {}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr
