"""Where the files beside the code are, and how this installation is started."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from vapi_sessions.core import resources


@pytest.mark.parametrize(
    ("installed", "words"), [(True, ["vapi-sessions"]), (False, ["python", "-m", "vapi_sessions"])]
)
def test_the_program_is_named_by_its_path_and_without_a_script_by_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool, words: list[str]
) -> None:
    """Quoted for a shell."""
    directory = tmp_path / "an environment"
    directory.mkdir()
    if installed:
        (directory / "vapi-sessions").touch()
    monkeypatch.setattr(sys, "executable", str(directory / "python"))
    program, *rest = shlex.split(resources.program())
    assert [program, *rest] == [str(directory / words[0]), *words[1:]]


def test_every_check_is_a_file_by_its_name() -> None:
    """Sorted, so that results have one order."""
    names = [file.name for file in resources.sql_files("checks")]
    assert names == sorted(names)
    assert "messages_of_sessions.sql" in names
