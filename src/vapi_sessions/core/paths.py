"""Paths given by users, and how to pass them to DuckDB, which interprets some characters.

Observed with DuckDB 2.0: a relative path may name an extension (`acme:prod`). In paths of Parquet files, `*`, `?` and `[` are
patterns, also in lists of files. In the path of a database file, `\\` is a separator, and `?` begins the parameters of a URL.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

from vapi_sessions.errors import ConfigurationError

#: Bytes for the longest path below the warehouse, with some reserve.
_ROOM: Final = 200
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ANOTHER: Final = "Give another directory."


def warehouse_root(given: str | os.PathLike[str]) -> Path:
    """The directory as an absolute path, with `~` expanded and symbolic links followed. Creates nothing. Idempotent.

    Raises ConfigurationError for an empty path, a URL, and a path that DuckDB or the system cannot open.
    """
    text = os.fspath(given)
    if not text:
        raise ConfigurationError(
            "The warehouse's path is empty.", "Check for an unset variable in the calling script."
        )
    if _URL.match(text):
        raise ConfigurationError(f"{_shown(text)} is a URL, but a warehouse is a local directory.", _ANOTHER)
    _refuse(text, "\0", "no path can hold a NUL")
    try:
        root = os.path.realpath(expanded(text))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{_shown(text)} is relative to a working directory that was removed.",
            "Give an absolute path, or run from another directory.",
        ) from None
    _refuse(root, "?", "DuckDB reads '?' as the beginning of a URL's parameters")
    _refuse(root, "\\", "DuckDB reads '\\' as a separator")
    if not _is_unicode(root):
        raise ConfigurationError(
            f"The warehouse cannot be in {_shown(root)}: the name is not UTF-8.", _ANOTHER
        )
    if _is_too_long(root):
        raise ConfigurationError(
            f"The warehouse's path is too long ({len(os.fsencode(root)):,} bytes): {_shown(root[:80])} …",
            _ANOTHER,
        )
    return Path(root)


def expanded(given: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~user` expanded, which shells do, but not in quotes, and cron and docker do not.

    Raises ConfigurationError if the home directory is unknown.
    """
    text = os.path.expanduser(given)  # noqa: PTH111  # pathlib raises if the home is unknown
    if text.startswith("~"):
        name = text.split("/", 1)[0]
        raise ConfigurationError(
            f"No home directory is known for {name} in {_shown(text)}.",
            f"Give an absolute path; for a directory of that name write ./{_shown(text)}",
        )
    return Path(text)


def literal(path: str | os.PathLike[str]) -> str:
    """A path, a pattern or another text as an SQL string literal."""
    return "'" + os.fspath(path).replace("'", "''") + "'"


def pattern(path: str | os.PathLike[str]) -> str:
    """The pattern that matches only this path: DuckDB treats every file name as a pattern."""
    return re.sub(r"[*?[]", r"[\g<0>]", os.fspath(path))


def _refuse(path: str, character: str, reason: str) -> None:
    if character in path:
        raise ConfigurationError(f"The warehouse cannot be in {_shown(path)}: {reason}.", _ANOTHER)


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_too_long(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return True
    return len(os.fsencode(path)) + _ROOM > os.pathconf("/", "PC_PATH_MAX")


def _shown(path: str) -> str:
    """The path for a message: unprintable characters, line breaks and invalid Unicode are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)
