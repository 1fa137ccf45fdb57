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

No link is followed, and nobody else's file is written: what is ours by its name may be a link to what is not, or a second name
of it (`ln`, `cp -al`). New files are made under names that do not exist (`new_file`), and renamed over old ones.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from vapi_sessions.core.disk_errors import WITHOUT_LOCKS, link_in_our_place, without_locks

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
    """The files among these, in order, without hidden ones: macOS and others leave `._name` beside what they copy.

    Raises WarehouseError for a link: what it shows is not ours, and leaving it out would be to lose it in silence.
    """
    named = sorted(path for path in paths if not path.name.startswith("."))
    for path in named:
        if path.is_symlink():
            raise link_in_our_place(path)
    return [path for path in named if path.is_file()]


def new_file(path: Path) -> int:
    """A descriptor of a new, empty file, its owner's alone. Whatever had its name loses it, and keeps its content.

    Raises OSError.
    """
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def replace_file(path: Path, content: bytes, draft: Path) -> None:
    """Write `content` durably in the place of whatever is there, by way of `draft`. Raises OSError."""
    with os.fdopen(new_file(draft), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_directory(path.parent)


def make_ours(path: Path, draft: Path) -> None:
    """If a file that is written in place has other names as well, give it a copy of its own first. Raises OSError."""
    try:
        shared = path.lstat().st_nlink > 1
    except FileNotFoundError:
        return
    if not shared:
        return
    _copy(path, draft)
    replace_derived(draft, path)
    sync_directory(path.parent)


def empty_directory(directory: Path) -> None:
    """Remove what is in it, following no link: neither of those in it, nor one in its own place. Raises OSError.

    What NFS keeps of files that somebody has open (`.nfs…`) goes by itself.
    """
    with opened(directory, os.O_DIRECTORY) as within:
        with os.scandir(within) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            with contextlib.nullcontext() if not name.startswith(".") else contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(name, dir_fd=within).st_mode):
                    shutil.rmtree(name, ignore_errors=True, dir_fd=within)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=within)


def open_note(path: Path) -> int:
    """A descriptor, for reading and writing, of a small file that is also a lock; made if it is not there. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return descriptor


def write_note(descriptor: int, text: str) -> None:
    """Replace what such a file says, unless it is somebody else's as well: then it is a lock and says nothing of us."""
    if os.fstat(descriptor).st_nlink == 1:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _copy(source: Path, target: Path) -> None:
    """A durable copy, its owner's alone."""
    with (
        opened(source) as descriptor,
        os.fdopen(descriptor, "rb", closefd=False) as content,
        os.fdopen(new_file(target), "wb") as copy,
    ):
        shutil.copyfileobj(content, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())


@contextlib.contextmanager
def opened(path: Path, kind: int = 0) -> Iterator[int]:
    """A descriptor for reading of what has this name itself. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | kind)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable. Raises OSError."""
    with opened(path) as descriptor:
        os.fsync(descriptor)


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
    with _unless(_NO_PERMISSIONS), opened(path) as descriptor:
        os.chmod(descriptor, 0o600)  # noqa: PTH101  # a path's would follow a link


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under a second name, or a durable copy of it: also where it has as many names as it may have."""
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target)


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
