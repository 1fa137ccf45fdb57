"""How this program was called. Hints that people may paste name it in the same way.

Errors, warnings, logs and stored texts say `vapi-sessions sync`. Only what is printed for people passes through `as_called`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "vapi-sessions"
#: The name before a command or an option; neither a path that has it, nor a Prefect deployment (`vapi-sessions sync/…`).
_HINT: Final = re.compile(rf"(?<![\w/.'\"-]){NAME}(?= (?:[a-z]+(?![a-z]*/)|--[a-z]|COMMAND\b))")


def program(*, anywhere: bool = False) -> str:
    """The command as it was called, quoted for a shell. `anywhere`: so that it also works in another directory."""
    return _program(sys.argv[0], anywhere)


def as_called(text: str) -> str:
    """The text with `vapi-sessions` before a command replaced by how the program was called."""
    return _HINT.sub(lambda _: program(), text)


def _program(called: str, anywhere: bool) -> str:
    script = Path(called)
    if script.parts[-2:] == ("vapi_sessions", "__main__.py"):  # python -m vapi_sessions
        return f"{_quoted(sys.orig_argv[0], anywhere)} -m vapi_sessions"
    if script.stem == NAME:
        if runner := _runner():
            return f"{runner} {NAME}"
        found = shutil.which(NAME)
        if found is not None and Path(found).absolute() == script.absolute():
            return NAME
        return _quoted(called, anywhere)
    python = sys.orig_argv[0]  # python flows/sync.py
    beside = Path(sys.executable).with_name(NAME)
    if not beside.exists():
        return f"{_quoted(python, anywhere)} -m vapi_sessions"
    return _quoted(os.path.join(os.path.dirname(python), NAME) if os.sep in python else str(beside), anywhere)  # noqa: PTH118, PTH120  # keeps ./


def _runner() -> str:
    """`uvx` or `uv run`, which put the script on a PATH that the user's shell does not have; else empty."""
    if "UV" not in os.environ:
        return ""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return "uv run"
    return "uvx" if any(part.startswith("archive-v") for part in Path(sys.prefix).parts) else ""


def _quoted(path: str, anywhere: bool) -> str:
    return shlex.quote(os.path.abspath(path) if anywhere and os.sep in path else path)  # noqa: PTH100  # does not follow links
