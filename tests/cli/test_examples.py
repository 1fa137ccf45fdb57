"""The samples in docs/examples: their commands are ours, their variables are settings, and systemd accepts them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from command import COMMAND
from documents import ROOT
from vapi_sessions.cli import app
from vapi_sessions.core.timestamps import DAY, HOUR, parse_duration
from vapi_sessions.settings import Settings

EXAMPLES: Final = ROOT / "docs" / "examples"
PROGRAM: Final = "/opt/vapi-sessions/bin/vapi-sessions"
SETTINGS: Final = {f"VAPI_{field.upper()}" for field in Settings.model_fields}
#: The fields of a line of a crontab, and their bounds.
FIELDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def parsed(command: str) -> tuple[str, dict[str, object]]:
    """The name of a command and its options that are given, as our own parser reads them."""
    program, *arguments = shlex.split(command)
    assert program == PROGRAM
    group = app._commands(emulator=False)
    with group.make_context("vapi-sessions", arguments) as context:  # type: ignore[attr-defined]  # typer's group
        name, *rest = (*context._protected_args, *context.args)
        with group.get_command(context, name).make_context(name, rest, parent=context) as found:  # type: ignore[attr-defined]
            return name, {option: value for option, value in found.params.items() if value}


def assert_in_bounds(field: str, lowest: int, highest: int) -> None:
    """A field of a crontab: numbers, ranges, lists and steps."""
    for part in field.split(","):
        found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        assert found, field
        assert all(lowest <= int(number) <= highest for number in found.groups() if number), field


def test_the_lines_of_the_crontab() -> None:
    """Variables, and times with commands. Nothing that cron reads in its own way: % begins standard input there."""
    commands = {}
    for line in (EXAMPLES / "crontab").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if variable := re.match(r"([A-Z_]+)=\S+$", line):
            assert variable[1] in SETTINGS | {"MAILTO"}
            continue
        *times, command = line.split(None, 5)
        for field, bounds in zip(times, FIELDS, strict=True):
            assert_in_bounds(field, *bounds)
        assert "%" not in command
        name, options = parsed(command.removesuffix(" >/dev/null"))
        commands[name] = options
    assert commands.keys() == {"sync", "status"}
    assert commands["sync"] == {"quiet": True, "reconcile_every": "24h"}
    assert parse_duration(str(commands["sync"]["reconcile_every"])) == DAY
    assert parse_duration(str(commands["status"]["max_age"])) == 2 * HOUR


def test_the_command_and_the_variables_of_the_service() -> None:
    """The key comes from the credential that the unit loads."""
    unit = (EXAMPLES / "vapi-sessions.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert parsed(command) == ("sync", {"reconcile_every": "24h"})
    variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    assert variables.keys() <= SETTINGS
    (credential,) = re.findall(r"^LoadCredential=(\w+):/", unit, re.MULTILINE)
    assert variables["VAPI_API_KEY_FILE"] == f"%d/{credential}"
    directory = re.findall(r"^StateDirectory=(.*)$", unit, re.MULTILINE)
    assert directory == [Path(variables["VAPI_WAREHOUSE"]).parent.name]
    assert "NoNewPrivileges=yes\n" in unit
    assert "ProtectSystem=strict\n" in unit


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """It tells every key and value that it does not know."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    units = [tmp_path / f"vapi-sessions.{kind}" for kind in ("service", "timer")]
    for unit in units:
        unit.write_text((EXAMPLES / unit.name).read_text().replace(PROGRAM, COMMAND))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "vapi-sessions" in line]
    assert (done.returncode, ours) == (0, [])
