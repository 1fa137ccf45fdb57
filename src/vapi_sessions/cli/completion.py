"""Completion in bash, zsh and fish, with typer's scripts. They call this program again, so it must answer quickly."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import typer

from vapi_sessions.cli.invocation import NAME
from vapi_sessions.errors import ConfigurationError

#: Set by the scripts.
VARIABLE: Final = "_VAPI_SESSIONS_COMPLETE"
_SHELLS: Final = ("bash", "zsh", "fish")


def words() -> list[str]:
    """If a shell asks for completions: the words of its command line, after making typer ready to answer. Else empty."""
    if VARIABLE not in os.environ:
        return []
    from typer._completion_classes import completion_init

    completion_init()
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or NAME).split()


def install(context: typer.Context, wanted: bool) -> None:
    """`--install-completion`."""
    if wanted and not context.resilient_parsing:
        from typer._completion_shared import install

        shell, path = install(_shell(), NAME, VARIABLE)
        print(f"Completion for {shell} is installed in {path}. Open a new terminal to use it.")
        raise typer.Exit


def show(context: typer.Context, wanted: bool) -> None:
    """`--show-completion`."""
    if wanted and not context.resilient_parsing:
        from typer._completion_shared import get_completion_script

        print(get_completion_script(prog_name=NAME, complete_var=VARIABLE, shell=_shell()))
        raise typer.Exit


def one_of(*values: str) -> Callable[[str], list[str]]:
    """Completes to these values."""
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def relations(incomplete: str) -> list[str]:
    """Tables and views, from the declarations and the files: no database is opened."""
    from vapi_sessions.core import resources
    from vapi_sessions.schema import TABLES

    names = [*(table.name for table in TABLES), *(file.stem for file in resources.sql_files("views"))]
    return [name for name in names if name.startswith(incomplete)]


def _shell() -> str:
    """The shell that called this program."""
    from shellingham import (  # type: ignore[import-untyped]  # ships no types
        ShellDetectionFailure,
        detect_shell,
    )

    try:
        name: str = detect_shell()[0]
    except ShellDetectionFailure:
        name = "an unknown shell"
    if name not in _SHELLS:
        raise ConfigurationError(
            f"There is no completion for {name}.",
            f"Call this from {', '.join(_SHELLS[:-1])} or {_SHELLS[-1]}.",
        )
    return name
