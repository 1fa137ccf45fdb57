"""The commands that `demo` prints at its end work when they are pasted, in any directory."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command import COMMAND
from vapi_sessions.cli import app
from vapi_sessions.cli.demo import next_steps
from vapi_sessions.core import resources


def printed(warehouse: Path) -> list[str]:
    """The commands, which are the indented lines."""
    return [line.strip() for line in next_steps(warehouse) if line.startswith("  ")]


@pytest.fixture(autouse=True)
def _called_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [COMMAND, "demo"])


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[object, str]]:
    """Run a command line of ours as a shell does; gives its exit code and its output."""

    def do(command: str) -> tuple[object, str]:
        script, *arguments = shlex.split(command)
        assert Path(script).is_absolute()
        assert shutil.which(script) == script
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code, capsys.readouterr().out

    return do


def test_the_commands_work_in_any_directory(
    demo_warehouse: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[str], tuple[object, str]],
) -> None:
    """Even if the warehouse was given as a relative path with a space."""
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


def test_paths_with_spaces_and_quotes_are_quoted(tmp_path: Path) -> None:
    """A shell gets the whole path as one word."""
    warehouse = tmp_path / "it's my demo" / "warehouse"
    for command in printed(warehouse):
        if "warehouse" in command.lower():
            assert any(str(warehouse) in word for word in shlex.split(command)), command


def test_the_commands_can_be_pasted_as_they_are(demo_warehouse: Path) -> None:
    """A remark behind a command would become an argument."""
    commands = printed(demo_warehouse)
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(commands), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [command for command in commands if "   " in command or "(" in command] == []


def test_without_the_notebook_it_is_not_offered(
    demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An installed wheel does not contain it."""
    assert any("jupyterlab" in command for command in printed(demo_warehouse))
    monkeypatch.setattr(resources, "directory", lambda name: tmp_path / name)
    assert not any("jupyter" in command for command in printed(demo_warehouse))
