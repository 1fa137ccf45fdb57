"""The locations of `sql/` and `flows/`, inside an installed wheel or beside `src/` in a checkout, as `notebooks/` always is; the program."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def directory(name: str) -> Path:
    """The directory `name`: `sql`, `flows` or `notebooks`."""
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / name


def sql_files(kind: str) -> list[Path]:
    """The files of `sql/<kind>` (`views` or `checks`), sorted by name."""
    return sorted((directory("sql") / kind).glob("*.sql"))


def program() -> str:
    """The command that starts this installation, for a shell, in any directory."""
    beside = Path(sys.executable).with_name("vapi-sessions")
    python = shlex.quote(sys.executable)
    return shlex.quote(str(beside)) if beside.exists() else f"{python} -m vapi_sessions"
