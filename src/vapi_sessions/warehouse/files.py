"""What not every file system can do, and what is done without it.

CIFS, 9p, FUSE, NFS, exFAT and shared folders each lack some of this. What makes data durable has no substitute: a file that
cannot be synced, a disk that is full or broken, stays an error.

| what                           | without it                                                                          |
|--------------------------------|-------------------------------------------------------------------------------------|
| sync of a directory            | a rename is as durable as the file system makes it                                  |
| permissions                    | the mount decides who can read                                                      |
| hard links                     | files are copied: each snapshot takes its full size                                 |
| symbolic links                 | there is no `parquet/latest`; `vapi.duckdb` shows the newest snapshot all the same    |
| rename over an existing file   | derived files are removed first, and are gone for an instant; others are an error   |
| locks (`flock`)                | a lock on a range of bytes; without that too, nothing is written                    |
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from vapi_sessions.warehouse.refusals import WITHOUT_LOCKS, without_locks

_IMPOSSIBLE: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
#: Directories cannot be synced, or not even be opened for it.
_NO_DIRECTORY_SYNC: Final = _IMPOSSIBLE | {errno.EBADF, errno.EISDIR}
_NO_PERMISSIONS: Final = _IMPOSSIBLE | {errno.EPERM}
#: A shared folder of a virtual machine calls itself read-only, for links alone.
_NO_SYMBOLIC_LINKS: Final = _IMPOSSIBLE | {errno.EPERM, errno.EACCES, errno.EROFS, errno.EPROTO}
_NO_REPLACING: Final = _IMPOSSIBLE | {errno.EPERM, errno.EEXIST}

#: The files of a table in a snapshot. Copies and leftovers of other programs have other names ("… copy.parquet", "._….parquet"):
#: ours begin and end with digits, but for `empty.parquet`.
PARTS: Final = "created_month=[0-9][0-9][0-9][0-9]-[0-9][0-9]/[0-9e]*[0-9m][0-9p][0-9t][0-9y].parquet"


def visible(paths: Iterable[Path]) -> list[Path]:
    """The files among these, in order, without hidden ones: macOS and others leave `._name` beside what they copy."""
    return sorted(path for path in paths if not path.name.startswith(".") and path.is_file())


def sync_file(path: Path) -> None:
    """Make a file's content durable. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` durable, where that is possible."""
    with _unless(_NO_DIRECTORY_SYNC):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_private(path: Path) -> None:
    """Let only the owner read and write a file, where there are permissions."""
    with _unless(_NO_PERMISSIONS):
        path.chmod(0o600)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under a second name, or a durable copy of it: also where it has as many names as it may have."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        make_private(target)
        sync_file(target)


def remove_directory(path: Path) -> None:
    """Remove a directory so that it is there or not: out of sight at once, and then bit by bit.

    Killed in between, it leaves a hidden `.….tmp`, which the next publication removes. Raises OSError.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    path.rename(hidden)
    sync_directory(path.parent)
    shutil.rmtree(hidden)


def point_link(link: Path, name: str) -> bool:
    """Let the symbolic link `link` show `name`; False where there can be none, and then nothing stands in its place."""
    if link.is_symlink() and link.readlink() == Path(name):
        return True
    if link.is_dir() and not link.is_symlink():  # somebody copied the warehouse, and its links as directories
        remove_directory(link)
    draft = link.with_name(f".{link.name}.tmp")
    draft.unlink(missing_ok=True)
    with _unless(_NO_SYMBOLIC_LINKS):
        draft.symlink_to(name)
        replace_derived(draft, link)
        return True
    link.unlink(missing_ok=True)
    return False


def replace_derived(draft: Path, target: Path) -> None:
    """Rename `draft` over `target`, which can be derived again: at once, or where that is impossible by way of nothing."""
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno not in _NO_REPLACING or not os.path.lexists(target):
            raise
        target.unlink()
        draft.rename(target)


def lock(descriptor: int, where: Path) -> bool:
    """Take the exclusive lock of an open file, which goes with its descriptor; False if somebody else has it.

    Raises WarehouseError if there are no locks here: nothing else keeps two runs apart.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
    else:
        return True
    # A lock of the open file too, not of the process: that would be lost with any other descriptor of the file.
    command = getattr(fcntl, "F_OFD_SETLK", None)
    if command is None:
        raise without_locks(where, "flock is not supported")
    try:
        # struct flock: type, whence, start, length, pid; far behind the content, which others may read.
        fcntl.fcntl(descriptor, command, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 1 << 30, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        raise without_locks(where, error.strerror or str(error)) from error
    return True


@contextlib.contextmanager
def _unless(impossible: frozenset[int]) -> Iterator[None]:
    """What the file system cannot do is left undone; other refusals are raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in impossible:
            raise
