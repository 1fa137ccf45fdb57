"""Hints name the command as it was called; what is stored and what programs read says `vapi-sessions`."""

from __future__ import annotations

import ast
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import command
import vapi_sessions
from desk import Desk
from vapi_sessions.cli import invocation

CLI: Final = Path(vapi_sessions.__file__).parent / "cli"
#: Calls whose arguments are printed with the name as it was called.
NAMING: Final = ("as_called", "warn", "say", "Error")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed script, which is not on the PATH."""
    monkeypatch.delenv("UV", raising=False)
    found = tmp_path / "an environment" / "bin" / "vapi-sessions"
    found.parent.mkdir(parents=True)
    found.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(found.with_name("python")))
    monkeypatch.setattr(sys, "argv", [str(found)])
    return found


def test_a_script_is_named_by_the_path_that_was_typed(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quoted for a shell; as an absolute path for use in any directory."""
    assert shlex.split(invocation.program()) == [str(script)]
    monkeypatch.chdir(script.parents[1])
    monkeypatch.setattr(sys, "argv", ["bin/vapi-sessions"])
    assert invocation.program() == "bin/vapi-sessions"
    assert shlex.split(invocation.program(anywhere=True)) == [str(script)]


def test_a_script_on_the_path_is_named_by_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one comes before it."""
    monkeypatch.setenv("PATH", str(script.parent))
    assert invocation.program() == "vapi-sessions"
    assert invocation.program(anywhere=True) == "vapi-sessions"
    monkeypatch.setattr(sys, "argv", ["elsewhere/vapi-sessions"])
    assert invocation.program() == "elsewhere/vapi-sessions"


def test_a_module_is_named_with_its_interpreter(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was typed, which may be `python`."""
    monkeypatch.setattr(sys, "argv", [str(CLI.parent / "__main__.py")])
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "vapi_sessions", "status"])
    assert invocation.program() == "python3 -m vapi_sessions"


def test_a_flow_names_the_script_beside_its_interpreter(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a script, the module."""
    monkeypatch.setattr(sys, "argv", ["flows/sync.py"])
    monkeypatch.setattr(sys, "orig_argv", [".venv/bin/python", "flows/sync.py"])
    assert invocation.program() == ".venv/bin/vapi-sessions"
    monkeypatch.setattr(sys, "orig_argv", ["python", "flows/sync.py"])
    assert shlex.split(invocation.program()) == [str(script)]
    script.unlink()
    assert invocation.program() == "python -m vapi_sessions"


@pytest.mark.parametrize(
    ("variables", "prefix", "called"),
    [
        ({"UV_RUN_RECURSION_DEPTH": "1"}, "/project/.venv", "uv run vapi-sessions"),
        ({}, "/cache/uv/archive-v0/1a2b", "uvx vapi-sessions"),
    ],
)
def test_uv_is_named(
    script: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], prefix: str, called: str
) -> None:
    """It puts the script on a PATH that the shell of the user does not have."""
    for name, value in {"UV": "/bin/uv", "PATH": str(script.parent), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "prefix", prefix)
    assert invocation.program() == called


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Run vapi-sessions sync.", "Run ./v/vapi-sessions sync."),
        ("vapi-sessions rebuild repairs.", "./v/vapi-sessions rebuild repairs."),
        ("see: vapi-sessions --debug sync", "see: ./v/vapi-sessions --debug sync"),
        ("pip install 'vapi-sessions[report]'", None),
        ("vapi-sessions 0.1.0", None),
        ("Serving vapi-sessions sync/warehouse-1a2b every 15m", None),
        ("/srv/vapi-sessions sync", None),
        (".venv/bin/vapi-sessions sync", None),
    ],
)
def test_only_the_name_before_a_command_is_replaced(
    text: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not packages, versions, deployments and paths."""
    monkeypatch.setattr(sys, "argv", ["./v/vapi-sessions"])
    assert invocation.as_called(text) == (expected or text)
    assert invocation.as_called(invocation.as_called(text)) == (expected or text)


def test_errors_and_remedies_are_printed_with_it(desk: Desk) -> None:
    """Usage errors too."""
    called = {
        "environment": desk.environment,
        "directory": desk.warehouse.parent,
        "called": "bin/vapi-sessions",
    }
    ran = command.run("status", "--warehouse", "nowhere", **called)
    assert ran.message[1].startswith("Run bin/vapi-sessions sync first")
    assert command.run("snyc", **called).message[1] == "See bin/vapi-sessions --help."
    assert command.run("describe", **called).out.endswith(
        "The columns of one: bin/vapi-sessions describe NAME\n"
    )


def _hints(node: ast.AST, named: bool = False) -> Iterator[str]:
    """Strings with a command that are not arguments of a call in `NAMING`."""
    for child in ast.iter_child_nodes(node):
        inside = named
        if isinstance(child, ast.Call):
            inside = named or ast.unparse(child.func).endswith(NAMING)
        elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield from [child.value] if not inside and invocation._HINT.search(child.value) else ()
        yield from _hints(child, inside)


def test_every_hint_of_a_command_is_printed_with_it() -> None:
    """A string with a command reaches the user through `as_called`, an error or a warning."""
    found = {text for path in CLI.rglob("*.py") for text in _hints(ast.parse(path.read_text("utf-8")))}
    help_of_the_program = {text for text in found if "Examples:" in text}
    assert len(help_of_the_program) == 1
    assert found - help_of_the_program == {
        "Made by vapi-sessions demo, which replaces this directory each time.\n",  # a file
        "A run is writing to it: see vapi-sessions status.",  # the remedies of an error
        "Run vapi-sessions sync.",
        "vapi-sessions sql",  # looked for in a line
    }


def test_what_is_stored_has_the_plain_name(desk: Desk) -> None:
    """The path of today's call would be wrong tomorrow, and on another machine."""
    desk.environment["VAPI_API_KEY"] = "wrong"
    ran = command.run("sync", environment=desk.environment, called="bin/vapi-sessions")
    assert ran.code == 3
    status = command.run("status", "--json", environment=desk.environment, called="bin/vapi-sessions")
    assert "bin/vapi-sessions" not in json.dumps(json.loads(status.out))
