"""How a command ends: with an exit code (see `errors`), and for an error one or two lines on stderr."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

import typer

from vapi_emulator import EmulatorError
from vapi_sessions.cli import log, options, signals, streams
from vapi_sessions.cli.invocation import NAME
from vapi_sessions.cli.output import warn
from vapi_sessions.errors import ConfigurationError, VapiSessionsError, WarehouseError, plain

#: Typer's words for a mistake, and ours.
_REWORDED: Final = (
    (re.compile(r" \(Possible options: (.+)\)$"), r". Did you mean \1?"),
    (re.compile(r"^Got unexpected extra argument\(s\) \((.+)\)$"), r"Unexpected argument: \1"),
    (re.compile(r"^Option '(.+)' requires an argument$"), r"\1 needs a value"),
    (re.compile(r"^Invalid value for '(.+?)': (?:Value error, )?"), r"\1: "),
    (re.compile(r"Input should be a valid integer.*$"), "it must be a whole number"),
    (re.compile(r"Input should be a valid number.*$"), "it must be a number"),
    (re.compile(r"Input should be"), "it must be"),
)
_INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells
#: Commands whose output is their only result.
_ANSWERING: Final = ("describe", "plan", "sql", "status")
#: Commands that store what has arrived when they are interrupted.
_STORING: Final = ("sync", "reconcile")


def exit_code(command: Callable[[], object]) -> int:
    """Call a command, print its error if it raises one, and return the exit code. `--debug` adds a traceback."""
    try:
        result = command()
    except VapiSessionsError as error:
        return _fail(error.fact, error.remedy, error.exit_code)
    except EmulatorError as error:
        return _fail(plain(error.fact), plain(error.remedy), ConfigurationError.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except streams.OutputLostError:
        return 0  # `after_output` reports it
    except SystemExit as end:
        if not isinstance(end.__context__, OSError):
            raise
        return _system_error(end.__context__)  # typer takes every broken pipe for a broken stdout
    except OSError as error:
        return _system_error(error)
    except Exception as error:
        if isinstance(error, RuntimeError) and signals.received is not None:
            return _interrupted()  # DuckDB's form of KeyboardInterrupt
        if hasattr(error, "format_message"):  # typer's usage errors have no public common class
            return _usage_error(error)
        return _fail(
            f"A bug: {type(error).__name__}.",
            "Run again with --debug before the command, and report the output.",
            1,
        )
    if result == _INTERRUPTED:  # typer's own answer to Ctrl-C
        return _interrupted()
    return result if isinstance(result, int) else 0


def after_output(code: int) -> int:
    """The exit code after stdout is flushed. Lost output is an error of the commands that only print, else a warning.

    A reader that stops early, such as `head`, is neither.
    """
    lost = streams.lost()
    if lost is None or streams.reader_gone(lost):
        return code
    fact = f"stdout cannot be written: {lost.strerror}."
    if code == 0 and options.current.command in _ANSWERING:
        return _fail(
            fact, "Free some space or redirect the output, then run again.", WarehouseError.exit_code
        )
    warn(f"{fact} Some of the output is lost.")
    return code


def first_interrupt(postponed: bool) -> str:
    """The line to print at once on the first Ctrl-C; empty for commands that end immediately."""
    if not postponed and options.current.command not in _STORING:
        return ""
    text = signals.STOPPING
    return log.json_line("warning", "interrupted", text) if log.style.as_json else text


def _interrupted() -> int:
    code = _INTERRUPTED if signals.received is None else 128 + signals.received
    stored = "Sessions stored so far are kept; the next run continues from there."
    return _fail("Interrupted.", stored if options.current.command in _STORING else "", code)


def _system_error(error: OSError) -> int:
    return _fail(
        f"{error.filename or 'The system'}: {error.strerror}.",
        "Check the disk, then run again.",
        WarehouseError.exit_code,
    )


def _usage_error(error: Any) -> int:
    fact = plain(error.format_message()).rstrip(".")
    for pattern, instead in _REWORDED:
        fact = pattern.sub(instead, fact)
    command = options.current.command
    remedy = f"See {NAME} {command} --help." if command is not None else f"See {NAME} --help."
    return _fail(fact if fact.endswith("?") else f"{fact}.", remedy, int(error.exit_code))


def _fail(fact: str, remedy: str, code: int) -> int:
    trace = traceback.format_exc() if options.current.debug and sys.exc_info()[0] is not None else ""
    remedy = remedy.replace(" COMMAND ", f" {options.current.command or 'COMMAND'} ")
    text = f"{trace}error: {fact}" + (f"\n{remedy}" if remedy else "")
    fields = {"traceback": trace} if trace else {}
    log.write("error", "error", fact, text=text, remedy=remedy, code=code, **fields)
    return code
