"""The help pages of all commands: complete, in every width, with examples that run."""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

import pytest

import command
from desk import Desk
from vapi_sessions.cli import app
from vapi_sessions.cli.help_pages import examples
from vapi_sessions.settings import Settings

GROUP: Final[Any] = app._commands(emulator=True)
COMMANDS: Final = sorted(GROUP.commands)
#: Commands that run until they are stopped.
ENDLESS: Final = ("emulate", "schedule")


def page(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page of a command; of the program, if `name` is empty."""
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = command.run(*name.split(), "--help", environment={})
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def options(name: str) -> list[Any]:
    """The declared options of a command; of the program, if `name` is empty."""
    params = (GROUP.commands[name] if name else GROUP).params
    return [one for one in params if one.param_type_name == "option" and not one.hidden]


@pytest.mark.parametrize("name", ["", *COMMANDS])
@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_page_fits_the_terminal_and_cuts_no_name(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only examples and names without a space may be wider. No type of Python is shown."""
    about, _, shown = page(name, columns, monkeypatch).partition("\nExamples:\n")
    assert shown
    assert [
        line for line in about.splitlines() if len(line) > columns and " " in line.strip()[:columns]
    ] == []
    words = set(re.findall(r"--[a-z][a-z0-9-]*", about))
    assert {option for one in options(name) for option in one.opts if option.startswith("--")} <= words
    assert not re.search(r"[<>│╭]|\bbool\b|\[default", about)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_option_is_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence, with what its value is, its environment variable, and its default."""
    text = " ".join(page(name, 100, monkeypatch).split())
    for one in options(name):
        assert re.match(r"[A-Z0-9]|table, ", one.help), one.opts
        assert one.is_flag or one.metavar or one.type_descriptor.is_choice, one.opts
        if one.name in Settings.model_fields and name != "report":  # whose --since is a day
            assert f"VAPI_{one.name.upper()}" in one.help, one.opts
        if one.default is not None and one.default is not False:
            explained = text.partition(f" {max(one.opts, key=len)}")[2].partition(". -")[0]
            assert "default: " in explained, one.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_of_itself(name: str) -> None:
    """Their options exist, and their values are accepted. The first sentence is the command's line in the list."""
    shown = [shlex.split(line, comments=True) for line in examples(GROUP.commands[name]) if line]
    assert shown
    for program, called, *words in shown:
        assert (program, called) == ("vapi-sessions", name)
        GROUP.commands[name].make_context(name, words)


def test_an_example_names_the_command_as_it_was_called() -> None:
    """So that it can be pasted."""
    ran = command.run("sync", "--help", environment={}, called="./here/vapi-sessions")
    assert "Usage: ./here/vapi-sessions sync [OPTIONS]\n" in ran.out
    assert "\n  ./here/vapi-sessions sync --full" in ran.out


def test_defaults_and_ranges_are_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """In parentheses at the end of the sentence."""
    assert "Number of sessions to generate (default: 2000; 1 to 200,000).\n" in page("demo", 100, monkeypatch)
    assert "in milliseconds (default: 0).\n" in page("emulate", 100, monkeypatch)


@pytest.mark.proof
def test_every_example_runs(desk: Desk) -> None:
    """With an account at the emulator. Those of endless commands are only parsed, and another test runs the demo."""
    names = sorted(
        set(COMMANDS) - set(ENDLESS) - {"demo"}, key=lambda name: name == "forget"
    )  # it makes the others slow
    lines = [line for name in names for line in examples(GROUP.commands[name]) if line]
    assert len(lines) > 18
    for line in lines:
        _, *words = shlex.split(line, comments=True)
        ran = desk.run(*words)
        assert ran.code == 0, (line, ran.err)
