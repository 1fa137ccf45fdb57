"""The commands that `demo` prints at its end work when they are pasted, in whatever directory."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vapi_sessions.cli import app
from vapi_sessions.cli.demo import next_steps
from vapi_sessions.core import resources


def printed(warehouse: Path) -> list[str]:
    """The commands: what is indented."""
    lines: list[str] = []
    next_steps(warehouse, lines.append)
    return [line.strip() for line in lines if line.startswith("  ")]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[object, str]]:
    """Do what a shell does with a command of ours; gives its exit code and what it printed."""

    def do(command: str) -> tuple[object, str]:
        script, *arguments = shlex.split(command)
        assert shutil.which(script) == script
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code, capsys.readouterr().out

    return do


def test_they_work_from_any_directory(
    demo_warehouse: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[str], tuple[object, str]],
) -> None:
    """Although the warehouse was given by a relative path, with a space in it."""
    (tmp_path / "my demo").symlink_to(demo_warehouse.parent)
    monkeypatch.chdir(tmp_path)
    commands = printed(Path("my demo") / demo_warehouse.name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for name in ("sql", "status"):
        (command,) = (line for line in commands if f" {name} --warehouse " in line)
        code, out = run(command)
        assert (code, bool(out)) == (0, True)


def test_a_space_in_the_path_is_no_end_of_it(tmp_path: Path) -> None:
    """Each command is one that a shell takes apart as it was meant."""
    warehouse = tmp_path / "it's my demo" / "warehouse"
    for command in printed(warehouse):
        if "warehouse" in command.lower():
            assert any(str(warehouse) in word for word in shlex.split(command)), command


def test_no_command_needs_anything_cut_off(demo_warehouse: Path) -> None:
    """A shell would take a remark behind a command for arguments."""
    commands = printed(demo_warehouse)
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(commands), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [command for command in commands if "   " in command or "(" in command] == []


def test_without_the_notebook_none_is_offered(
    demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An installed wheel has none."""
    assert any("jupyterlab" in command for command in printed(demo_warehouse))
    monkeypatch.setattr(resources, "directory", lambda name: tmp_path / name)
    assert not any("jupyter" in command for command in printed(demo_warehouse))
