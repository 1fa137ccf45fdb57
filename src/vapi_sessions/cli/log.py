"""Everything that commands write to stderr: as text, or as JSON lines (`--log-format json`; their form is in docs/operations.md).

Our own messages have a level, an event and typed fields. With JSON lines, stderr is replaced by a stream that makes a JSON line of
every other line too: of a Python warning, or of a library's message. So this does not use `logging`, whose handlers would know
nothing of such lines, of bars in a terminal, and of errors of two lines. Details of `--verbose` do come from it (`core.details`).
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TextIO, TypeAlias

from vapi_sessions.cli.invocation import as_called
from vapi_sessions.core.details import LOGGER
from vapi_sessions.core.timestamps import show
from vapi_sessions.errors import ConfigurationError, plain

#: Of the JSON lines. It rises when a field is removed or changes its meaning, not when one is added.
SCHEMA_VERSION: Final = 1
FORMATS: Final = ("text", "json")
Level: TypeAlias = Literal["debug", "info", "warning", "error"]
_LEVELS: Final = ("debug", "info", "warning", "error")
_OPTION: Final = "--log-format"


@dataclass(frozen=True, slots=True)
class Style:
    """How messages are written."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    @property
    def least(self) -> Level:
        """The lowest level that is written."""
        return "warning" if self.quiet else "debug" if self.verbose else "info"


#: Of the running command.
style = Style()
_command: str | None = None


def write(level: Level, event: str, message: str, *, text: str | None = None, **fields: object) -> None:
    """Write one message, with its fields if it becomes a JSON line. `text`: how it reads as text, if not as `message`; "" for not at all."""
    if _LEVELS.index(level) < _LEVELS.index(style.least):
        return
    if style.as_json:
        _write_line(json_line(level, event, message, **fields))
    elif text != "":
        print(as_called(plain(message) if text is None else text), file=sys.stderr, flush=True)


def json_line(level: Level, event: str, message: str, **fields: object) -> str:
    """The JSON line of a message."""
    line = {
        "time": show(time.time_ns() // 1000),
        "level": level,
        "event": event,
        "message": plain(message),
        "command": _command,
        "schema_version": SCHEMA_VERSION,
        **fields,
    }
    return json.dumps(line, ensure_ascii=False, default=str)


@contextlib.contextmanager
def session(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Writes messages as the command line will ask for, also before it is parsed and if it cannot be. Restores stderr at the end."""
    global style, _command
    stream, show_warning = sys.stderr, warnings.showwarning
    style, _command = Style(), None
    details = _Details()
    LOGGER.addHandler(details)
    level = LOGGER.level
    try:
        _use(Style(as_json=_format_given(arguments, environment) == "json"))
        yield
    finally:
        LOGGER.removeHandler(details)
        LOGGER.setLevel(level)
        if isinstance(sys.stderr, _EveryLine):
            sys.stderr.flush()
        sys.stderr, warnings.showwarning = stream, show_warning
        style, _command = Style(), None


def configure(
    *, quiet: bool = False, verbose: bool = False, log_format: str | None = None, command: str | None = None
) -> None:
    """Add options to those given before. Raises ConfigurationError."""
    global _command
    _command = command or _command
    if log_format is not None and log_format not in FORMATS:
        raise ConfigurationError(f"{_OPTION}: '{log_format}' is neither text nor json.", "Give one of them.")
    quiet, verbose = quiet or style.quiet, verbose or style.verbose
    if quiet and verbose:
        raise ConfigurationError("--quiet and --verbose are both given.", "Give one of them.")
    as_json = style.as_json if log_format is None else log_format == "json"
    _use(replace(style, as_json=as_json, quiet=quiet, verbose=verbose))


def _use(wanted: Style) -> None:
    global style
    style = wanted
    if style.as_json and not isinstance(sys.stderr, _EveryLine):
        sys.stderr = _EveryLine(sys.stderr)
        warnings.showwarning = _show_warning
    elif not style.as_json and isinstance(sys.stderr, _EveryLine):
        sys.stderr = sys.stderr.stream
    if style.verbose:
        LOGGER.setLevel(logging.DEBUG)


def _format_given(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The format of messages, by a look at the arguments that does not parse them."""
    found = environment.get("VAPI_LOG_FORMAT")
    for number, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == _OPTION and number + 1 < len(arguments):
            found = arguments[number + 1]
        elif argument.startswith(f"{_OPTION}="):
            found = argument.partition("=")[2]
    return found


def _write_line(line: str) -> None:
    stream = sys.stderr.stream if isinstance(sys.stderr, _EveryLine) else sys.stderr
    stream.write(f"{line}\n")  # at once: `print` would let the line of another thread come between
    stream.flush()


class _EveryLine(io.TextIOBase):
    """In place of stderr: each line that is printed becomes a JSON line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._lock = threading.Lock()
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Write the lines that are complete."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        """Write a line that has not been completed."""
        with self._lock:
            line, self._begun = self._begun, ""
        self._log(line)
        self.stream.flush()

    def close(self) -> None:
        """Leave stderr alone: Python closes this when it is collected, and stderr may be closed by then."""

    def fileno(self) -> int:
        """The descriptor of stderr."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """Nothing is drawn."""
        return False

    def writable(self) -> bool:
        """It is."""
        return True

    def _log(self, line: str) -> None:
        if line.strip():  # also with --quiet: it may be an error
            _write_line(json_line("info", "output", line.rstrip()))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    write("warning", "warning", f"{category.__name__}: {message} ({filename}:{lineno})")


class _Details(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write a record of `core.details`."""
        write(
            "debug", getattr(record, "event", "output"), record.getMessage(), **getattr(record, "fields", {})
        )
