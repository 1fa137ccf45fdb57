"""Safe standard streams: output that cannot be written or encoded ends no run and hides no exit code.

`secure` is called once per process, before anything else opens a file. From then on `print`, Rich, logging and the
interpreter's flush at exit write to streams that do not fail; `lost` tells whether output was lost. Control characters
are escaped, because names and error texts from the source may hold some. Rich, which draws, and `sql`, which copies
data, write to the stream `as_is`.
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
#: Error handlers that a user may choose with PYTHONIOENCODING: they never fail and keep JSON valid.
_HARMLESS: Final = ("replace", "ignore", "xmlcharrefreplace")

#: C0 except tab and line feed, DEL, C1, line separators, and characters that change the direction of a line.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class OutputLostError(Exception):
    """Stdout cannot be written, and the command had called `demand`; `lost` returns the reason."""


class _Guarded(io.FileIO):
    """The raw bytes of a stream. An error is kept in `lost`, and the bytes are dropped."""

    lost: OSError | None = None
    demanded = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of `data`, also to a non-blocking pipe. Raises OutputLostError, once, after `demand`."""
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
                self.demanded = False  # the rest of the buffer is dropped, also at the interpreter's exit
                raise OutputLostError from error
        return size


class Clean(io.TextIOWrapper):
    """A text stream that escapes control characters as JSON does (`\\u001b`), so that JSON stays the same JSON."""

    def write(self, text: str, /) -> int:
        """Write `text` with its control characters escaped."""
        super().write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
        return len(text)

    @property
    def rich_proxied_file(self) -> TextIO:
        """Rich looks for this name and writes here, unescaped: its control characters are our own."""
        return cast("TextIO", _AsIs(self))


class _AsIs:
    """The same stream without escaping."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return io.TextIOWrapper.write(self._stream, text)


def as_is(stream: TextIO) -> TextIO:
    """The stream without escaping, for a writer that escapes for terminals by itself."""
    return stream.rich_proxied_file if isinstance(stream, Clean) else stream


def secure() -> None:
    """Open /dev/null in place of standard streams that are missing, and guard stdout and stderr.

    Streams that a test or a notebook has replaced are left alone.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file to be opened, such as a database, would get this number, and our output.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            made = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115  # open for the whole process
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, guarded(stream))


def guarded(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The same stream in the same encoding, without write errors and control characters."""
    raw = _Guarded(stream.fileno(), "wb", closefd=False)
    return Clean(
        raw if stream.write_through else io.BufferedWriter(raw),  # follows PYTHONUNBUFFERED
        encoding=stream.encoding,
        errors=stream.errors if stream.errors in _HARMLESS else _ESCAPES,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def demand() -> None:
    """From now on a failing stdout raises OutputLostError: for commands whose output is their only result."""
    raw = _stdout()
    if raw is not None:
        raw.demanded = True


def lost() -> OSError | None:
    """Flush stdout and return its first error; None if there was none, or if stdout is not guarded."""
    raw = _stdout()
    if raw is None:
        return None
    raw.demanded = False
    sys.stdout.flush()
    return raw.lost


def reader_gone(error: OSError) -> bool:
    """Whether the reader of the stream went away, such as `| head`, rather than the disk being full."""
    return isinstance(error, ConnectionError)  # EPIPE, or ECONNRESET of a socket


def _stdout() -> _Guarded | None:
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw if isinstance(raw, _Guarded) else None


def _escape(error: UnicodeError) -> tuple[str, int]:
    """`\\u00b7`, and a pair of escapes beyond U+FFFF, as in JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end


codecs.register_error(_ESCAPES, _escape)
