"""Commands, queries and Python in the documents run as they stand."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import vl_convert

import command
import vapi_sessions
from documents import ROOT, blocks
from selection import some
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_sessions.settings import Settings

PROGRAM: Final = ".venv/bin/vapi-sessions"
PYTHON: Final = ".venv/bin/python"
#: Commands that run until they are stopped. Their options are checked in test_docs.py.
ENDLESS: Final = ("emulate", "schedule")
QUERIES: Final = blocks("sql")
#: Documents with shell commands. Another test reads those of performance.md.
WITH_COMMANDS: Final = sorted({name for name, _ in blocks("sh")})


def commands(name: str) -> Iterator[list[str]]:
    """The words of each shell command in a document, without comments."""
    for _, content in blocks("sh", name):
        for line in content.splitlines():
            if words := shlex.split(line, comments=True):
                yield words


@pytest.fixture(scope="module")
def source() -> Iterator[EmulatorServer]:
    """A source with a short history."""
    with EmulatorServer() as server:
        until = server.store.now_us()
        fill(server.store, History(org_id=server.org_id, sessions=60, days=5, until_us=until, seed=3))
        yield server


def test_the_readme_asks_five_questions() -> None:
    """The section has as many queries as its heading says."""
    assert len(blocks("sql", "README.md")) == 5


@pytest.mark.parametrize(("name", "query"), QUERIES)
def test_every_query_returns_rows(name: str, query: str, demo_warehouse: Path) -> None:
    """On generated data, each query finds something."""
    with vapi_sessions.connect(demo_warehouse) as db:
        assert db.execute(query).fetchall(), name


@pytest.mark.parametrize(("name", "code"), blocks("python"))
def test_python_runs(name: str, code: str, demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block runs on its own."""
    monkeypatch.setenv("VAPI_WAREHOUSE", str(demo_warehouse))
    names: dict[str, Any] = {}
    exec(compile(code, name, "exec"), names)  # noqa: S102  # our own text
    if "con" in names:
        names["con"].close()


@pytest.mark.parametrize("name", some(WITH_COMMANDS, "README.md"))
def test_commands_of_the_program_succeed(
    name: str, source: EmulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in one directory with a warehouse, with an account at the emulator."""
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda snippet: snippet)  # takes seconds
    environment = {"VAPI_API_KEY": source.key, "VAPI_BASE_URL": source.url, "VAPI_SETTLE": "0s"}
    for words in ([PROGRAM, "sync"], *commands(name)):
        if words[0] == PROGRAM and words[1] not in ENDLESS:
            ran = command.run(*words[1:], environment=environment, directory=tmp_path)
            assert ran.code == 0, (words, ran.err)


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_every_other_command_can_be_run(name: str) -> None:
    """Targets and variables of make, settings, files and modules exist. An unknown program fails here."""
    makefile = (ROOT / "Makefile").read_text()
    settings = {f"VAPI_{field.upper()}" for field in Settings.model_fields}
    for words in commands(name):
        given = [word.partition("=")[0] for word in words if re.match(r"[A-Z_]+=", word)]
        program, *arguments = [word for word in words if not re.match(r"[A-Z_]+=", word)]
        if program == "make":
            assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in arguments), words
            assert all(f"$({variable})" in makefile for variable in given), words
        elif program == "export":
            assert set(given) <= settings, words
        elif program == PYTHON:
            assert set(given) <= settings, words
            files = [word for word in arguments if "/" in word]
            assert all((ROOT / file).exists() for file in files), words
            modules = [after for word, after in itertools.pairwise(arguments) if word == "-m"]
            ours = [module for module in modules if module.startswith("tests.")]
            assert all(ROOT.joinpath(*module.split(".")).is_dir() for module in ours), words
            assert files or ours, words
        else:
            assert program == PROGRAM, words
