"""The standard streams, made safe: output that cannot be written or encoded ends no run and hides no exit code, and what
callers and the source say moves no cursor.

`secure` is called once per process, before anything else opens a file. From then on `print`, Rich, logging and the
interpreter's own flush at the end write to streams that do not fail. `lost` says whether something could not be written.
Control characters become escapes on their way, whoever prints them: names, error texts and tracebacks hold them. Who draws
(Rich) or copies data (`sql`) writes to the stream `as_is`.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import select
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ESCAPES: Final = "vapi_sessions.escapes"
#: What a user can choose by PYTHONIOENCODING that never fails and keeps JSON valid.
_HARMLESS: Final = ("replace", "ignore", "xmlcharrefreplace")


#: C0 but for tab and line feed, DEL, C1, line separators, and what turns the direction of a line round.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class OutputLostError(Exception):
    """Stdout cannot be written, and the command asked to be told so (`demand`); see `lost` for why."""


class _Guarded(io.FileIO):
    """The bytes of a stream on their way out. An error is kept in `lost`, and the bytes are dropped."""

    lost: OSError | None = None
    demanded = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of `data`, also to a pipe that does not block. Raises OutputLostError, once, if that was asked for."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                written: int | None = super().write(left)
                if written is None:  # would block
                    select.select((), (self.fileno(),), ())
                left = left[written or 0 :]
        except OSError as error:
            self.lost = self.lost or error
            if self.demanded:
                self.demanded = False  # the rest of the buffer is dropped, at the interpreter's end too
                raise OutputLostError from error
        return size


class Clean(io.TextIOWrapper):
    """A text stream on which control characters become `\\u001b`, as in JSON, which stays the same JSON by it."""

    def write(self, text: str, /) -> int:
        """As usual."""
        super().write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
        return len(text)

    @property
    def rich_proxied_file(self) -> TextIO:
        """Where Rich writes instead, by this name of its own: its escapes are the program's."""
        return cast("TextIO", _AsIs(self))


class _AsIs:
    """The same stream, without a look at what is written."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return io.TextIOWrapper.write(self._stream, text)


def as_is(stream: TextIO) -> TextIO:
    """The stream for whoever writes data that must arrive as they are, and cares for terminals by itself."""
    return stream.rich_proxied_file if isinstance(stream, Clean) else stream


def secure() -> None:
    """Open /dev/null in place of standard streams that are missing, and guard stdout and stderr.

    Streams that somebody has replaced (a test, a notebook) are left alone.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file to be opened, a database say, would get this number and whatever is printed to it.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            made = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115  # a number, for the whole process
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, guarded(stream))


def guarded(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The same stream, in its encoding, without its errors and without control characters."""
    raw = _Guarded(stream.fileno(), "wb", closefd=False)
    return Clean(
        raw
        if stream.write_through
        else io.BufferedWriter(raw),  # as Python's own, with PYTHONUNBUFFERED and without
        encoding=stream.encoding,
        errors=stream.errors if stream.errors in _HARMLESS else _ESCAPES,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def demand() -> None:
    """From now on a failing stdout raises OutputLostError: for a command that is of no use without its output."""
    raw = _stdout()
    if raw is not None:
        raw.demanded = True


def lost() -> OSError | None:
    """The first error of stdout, flushed before. None if there was none, or if stdout is not guarded."""
    raw = _stdout()
    if raw is None:
        return None
    raw.demanded = False
    sys.stdout.flush()
    return raw.lost


def reader_gone(error: OSError) -> bool:
    """Whether the reader of the stream went away, `| head` say, as opposed to a disk that is full."""
    return isinstance(error, ConnectionError)  # EPIPE, or ECONNRESET where it is a socket


def _stdout() -> _Guarded | None:
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw if isinstance(raw, _Guarded) else None


def _escape(error: UnicodeError) -> tuple[str, int]:
    """`\\u00b7`, in pairs beyond U+FFFF: JSON with such escapes is the same JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end


codecs.register_error(_ESCAPES, _escape)
