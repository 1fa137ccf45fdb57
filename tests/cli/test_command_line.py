"""Commands, options and help of the command line."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest

import vapi_sessions
from desk import Desk

COMMANDS: Final = (
    "sync",
    "plan",
    "reconcile",
    "verify",
    "schedule",
    "status",
    "sql",
    "describe",
    "report",
    "export",
    "rebuild",
    "maintain",
    "forget",
    "demo",
    "emulate",
)


@pytest.mark.parametrize(
    "arguments", ["--help", "-h", *(f"{command} --help" for command in COMMANDS), "sync -h"]
)
def test_every_command_has_help(desk: Desk, arguments: str) -> None:
    """Help goes to stdout with exit code 0."""
    ran = desk.run(*arguments.split())
    assert (ran.code, ran.err) == (0, "")
    assert "Usage" in ran.out


def test_the_help_names_every_command(desk: Desk) -> None:
    """`COMMANDS` lists all commands, in the order of `--help`."""
    shown = desk.run("--help").out.partition("\nOptions:")[0]
    assert tuple(re.findall(r"^  (\w+) ", shown, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_an_error_of_every_command(desk: Desk, command: str) -> None:
    """Exit code 2 with the name of the option, in the form of every error."""
    ran = desk.run(command, "--no-such-option")
    assert (ran.code, ran.out) == (2, "")
    fact, remedy = ran.err.splitlines()
    assert fact.startswith("error: No such option: --no-such-option")
    assert remedy == f"See vapi-sessions {command} --help."


def test_version_needs_no_command(desk: Desk) -> None:
    ran = desk.run("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"vapi-sessions {vapi_sessions.__version__}\n", "")


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after it"])
def test_the_warehouse_may_be_given_before_or_after_the_command(desk: Desk, before: bool) -> None:
    """In both places `--warehouse` wins over the environment."""
    desk.environment["VAPI_WAREHOUSE"] = "elsewhere"
    option = ("--warehouse", str(desk.warehouse))
    arguments = (*option, "status", "--json") if before else ("status", *option, "--json")
    ran = desk.run(*arguments)
    assert json.loads(ran.out)["rows"]["sessions"] == 120
