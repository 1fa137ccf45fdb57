"""Where a path that somebody gave leads, and how DuckDB must be told of it: to DuckDB a path is syntax.

As measured with 2.0: a relative path may name an extension (`acme:prod`). In what is read as Parquet `*`, `?` and `[` are
patterns, in lists of files too. In the name of a database file `\\` is a separator, and `?` begins a URL's parameters.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

from vapi_sessions.errors import ConfigurationError

#: Bytes that the longest name of ours takes below the warehouse, and some more.
_ROOM: Final = 200
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ANOTHER: Final = "Give another directory."


def warehouse_root(given: str | os.PathLike[str]) -> Path:
    """The directory that is meant: absolute, `~` expanded, symbolic links followed. Makes nothing; a result stays the same.

    Raises ConfigurationError for what cannot be a warehouse: an empty path, a URL, what DuckDB or the system cannot open.
    """
    text = os.fspath(given)
    if not text:
        raise ConfigurationError(
            "The warehouse's path is empty.", "Check for an unset variable in the calling script."
        )
    if _URL.match(text):
        raise ConfigurationError(f"{_shown(text)} is a URL, and a warehouse is a local directory.", _ANOTHER)
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
    """The path with `~` and `~user` replaced, as a shell does, and cron, docker and quotes do not.

    Raises ConfigurationError where nothing says whose home that is.
    """
    text = os.path.expanduser(given)  # noqa: PTH111  # pathlib has no word for whose home is not known
    if text.startswith("~"):
        name = text.split("/", 1)[0]
        raise ConfigurationError(
            f"No home directory is known for {name} in {_shown(text)}.",
            f"Give an absolute path; for a directory of that name write ./{_shown(text)}",
        )
    return Path(text)


def literal(path: str | os.PathLike[str]) -> str:
    """A path, or a pattern, as a string of SQL."""
    return "'" + os.fspath(path).replace("'", "''") + "'"


def pattern(path: str | os.PathLike[str]) -> str:
    """The pattern that this path alone matches: DuckDB knows no files that are not patterns."""
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
    """As a message can hold it: without what no encoding takes, or what ends a line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)
