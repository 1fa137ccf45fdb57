"""Turns errors of the operating system into WarehouseError, with a remedy for each error number."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vapi_sessions.errors import WarehouseError

_SHARE: Final = ("{where}: {reason}.", "The share or device is gone: check its mount, then run again.")
_NO_ACCESS: Final = (
    "{where} cannot be read or written ({reason}).",
    "Run as its owner, or give a directory of your own with --warehouse.",
)
#: Fact and remedy by error number.
_REFUSALS: Final[dict[int, tuple[str, str]]] = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT),
        ("The disk is full ({where}).", "Make room and run again: the next run continues."),
    ),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _NO_ACCESS),
    # From `O_NOFOLLOW`: a link that was put there after the warehouse was checked.
    errno.ELOOP: (
        "{where} is a link, and links in a warehouse are not followed.",
        "Remove it, then run again.",
    ),
    errno.EROFS: (
        "{where} cannot be written ({reason}).",
        "Give a directory of your own with --warehouse.",
    ),
    errno.ENOTDIR: (
        "{where} is below a file, not a directory.",
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
        "{where} would exceed the maximum file size ({reason}).",
        "Raise the limit (ulimit -f) or use a file system that allows larger files, then run again.",
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

#: Error numbers of a file system without locks.
WITHOUT_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def refused(number: int | None, where: object, reason: str) -> WarehouseError:
    """The error for an error number of the operating system, at `where`, with its message as the `reason`."""
    fact, remedy = _REFUSALS.get(number or 0, _OTHERWISE)
    return WarehouseError(fact.format(where=where, reason=reason), remedy)


def link_in_our_place(path: Path) -> WarehouseError:
    """The error for a link in place of one of our files or directories: its target may not be ours."""
    return WarehouseError(
        f"{path} is a link, and links in a warehouse are not followed.",
        "Remove it, or replace it with its target. Only the warehouse as a whole may be a link.",
    )


def without_locks(where: object, reason: str) -> WarehouseError:
    """The error for a file system on which concurrent runs cannot exclude each other."""
    return WarehouseError(
        f"{where} is on a file system without locks ({reason}).",
        "Move the warehouse to another file system: concurrent runs would damage it.",
    )


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into the WarehouseError for its error number."""
    try:
        yield
    except OSError as error:
        # If the call had a descriptor, `filename` is its number.
        where = error.filename if isinstance(error.filename, str) else path
        raise refused(error.errno, where, error.strerror or str(error)) from error
