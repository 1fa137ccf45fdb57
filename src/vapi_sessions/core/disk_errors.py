"""Errors of the operating system as WarehouseError, with a remedy for each error number."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vapi_sessions.errors import WarehouseError

_SHARE: Final = ("{where}: {reason}.", "The share or device was lost: check its mount, then run again.")
_NO_ACCESS: Final = (
    "{where} cannot be read or written ({reason}).",
    "Run as the user who owns it, or give a directory of your own with --warehouse.",
)
#: Fact and remedy by error number; {where} and {reason} are filled in.
_REFUSALS: Final[dict[int, tuple[str, str]]] = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT),
        ("The disk is full ({where}).", "Make room and run again: the next run continues."),
    ),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _NO_ACCESS),
    # Of `O_NOFOLLOW`: what was no link when the warehouse was looked at.
    errno.ELOOP: (
        "{where} is a link, and links in a warehouse are not followed.",
        "Remove it, then run again.",
    ),
    errno.EROFS: (
        "{where} cannot be written ({reason}).",
        "Give a directory of your own with --warehouse.",
    ),
    errno.ENOTDIR: (
        "{where} lies below a file, not a directory.",
        "Give a directory with --warehouse or VAPI_WAREHOUSE.",
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE),
        (
            "{where} cannot be opened ({reason}).",
            "Raise the limit (ulimit -n) or close programs, then run again.",
        ),
    ),
    errno.EFBIG: (
        "{where} would become larger than is allowed here ({reason}).",
        "Raise the limit (ulimit -f) or use a file system for larger files, then run again.",
    ),
    errno.ENOMEM: (
        "The system ran out of memory ({where}).",
        "Free memory and run again: the next run continues.",
    ),
    **dict.fromkeys(
        (errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN), _SHARE
    ),
}
_OTHERWISE: Final = ("{where}: {reason}.", "Look at the disk, then run again.")

#: What systems say where a file system has no locks.
WITHOUT_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def refused(number: int | None, where: object, reason: str) -> WarehouseError:
    """The error for what the operating system said: its number, what it was about, and its words."""
    fact, remedy = _REFUSALS.get(number or 0, _OTHERWISE)
    return WarehouseError(fact.format(where=where, reason=reason), remedy)


def link_in_our_place(path: Path) -> WarehouseError:
    """The error for a link where a file or directory of ours should be: what it shows may be anybody's."""
    return WarehouseError(
        f"{path} is a link, and links in a warehouse are not followed.",
        "Remove it, or put what it shows in its place. The warehouse as a whole may be a link, or on another disk.",
    )


def without_locks(where: object, reason: str) -> WarehouseError:
    """The error for a file system on which two runs could not be told apart."""
    return WarehouseError(
        f"{where} is on a file system without locks ({reason}).",
        "Put the warehouse on another one: two runs at once would damage it.",
    )


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into WarehouseError, with the remedy for each."""
    try:
        yield
    except OSError as error:
        # Of a call with a descriptor it is that number.
        where = error.filename if isinstance(error.filename, str) else path
        raise refused(error.errno, where, error.strerror or str(error)) from error
