"""Standard streams in an encoding that does not have all characters."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from selection import first
from shell import Shell
from vapi_sessions.warehouse import query


@pytest.mark.parametrize("encoding", first(["ascii", "latin-1", "cp1252", "utf-8"]))
@pytest.mark.parametrize("output", query.FORMATS)
def test_characters_that_an_encoding_does_not_have_are_escaped(
    shell: Shell, tmp_path: Path, encoding: str, output: str
) -> None:
    """There is no error, and JSON stays the same JSON."""
    sql = "SELECT 'é · 😀' AS \"ü·\""
    code, out, err = shell.capture("sql", "--format", output, sql, encoding=encoding, tmp_path=tmp_path)
    assert (code, err) == (0, "")
    if output == "json":
        assert json.loads(out) == [{"ü·": "é · 😀"}]
    elif encoding != "utf-8":
        assert "\\ud83d\\ude00" in out
        assert "\\u250c" not in out  # the lines of a table have plainer ones


@pytest.mark.parametrize(
    "command", first(["sync", "status", "status --json", "verify", "plan", "describe", "--help", "nope"], 2)
)
def test_commands_work_in_ascii(shell: Shell, tmp_path: Path, command: str) -> None:
    """The exit code is the same as in UTF-8."""
    code, _, _ = shell.capture(*command.split(), encoding="ascii", tmp_path=tmp_path)
    assert code == (2 if command == "nope" else 0)


@pytest.mark.parametrize("given", ["-", "SELECT 'a\udcff'"])
def test_a_query_that_is_not_utf_8_is_refused(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Exit code 2."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT 'a\xff'"), encoding="utf-8"))
    code, out, err = shell.capture("sql", given, encoding="utf-8", tmp_path=tmp_path)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "error: The query cannot be read: it is not UTF-8."
