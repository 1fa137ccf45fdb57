"""File operations that not every file system supports, and the fallback for each.

CIFS, 9p, FUSE, NFS, exFAT and shared folders each miss some of them. There is no fallback for durability: a file that cannot be
synced, or a full or broken disk, is an error.

| operation                      | without it                                                                     |
|--------------------------------|--------------------------------------------------------------------------------|
| sync of a directory            | a rename is as durable as the file system makes it                             |
| permissions                    | the mount decides who can read                                                 |
| hard links                     | files are copied, so each snapshot takes its full size                         |
| symbolic links                 | there is no `parquet/latest`; `vapi.duckdb` still shows the newest snapshot    |
| rename over an existing file   | derived files are removed first, and missing for an instant; others: an error  |
| locks (`flock`)                | a lock on a range of bytes; without that too, nothing is written               |

Links are not followed, and no foreign file is written: a file with one of our names may be a link to a foreign file, or a hard
link to it (`ln`, `cp -al`). So new files are created under unused names (`new_file`) and renamed over old ones.
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
#: A directory cannot be synced, or not be opened for it.
_NO_DIRECTORY_SYNC: Final = _IMPOSSIBLE | {errno.EBADF, errno.EISDIR}
_NO_PERMISSIONS: Final = _IMPOSSIBLE | {errno.EPERM}
#: A shared folder of a virtual machine reports "read-only" for symbolic links.
_NO_SYMBOLIC_LINKS: Final = _IMPOSSIBLE | {errno.EPERM, errno.EACCES, errno.EROFS, errno.EPROTO}
_NO_REPLACING: Final = _IMPOSSIBLE | {errno.EPERM, errno.EEXIST}

#: The files of a table in a snapshot: their names begin and end with digits, except `empty.parquet`. Copies and leftovers of other
#: programs have other names ("… copy.parquet", "._….parquet").
PARTS: Final = "created_month=[0-9][0-9][0-9][0-9]-[0-9][0-9]/[0-9e]*[0-9m][0-9p][0-9t][0-9y].parquet"


def visible(paths: Iterable[Path]) -> list[Path]:
    """The files among these paths, sorted, without hidden ones: macOS and others add `._name` to files that they copy.

    Raises WarehouseError for a link: its target is not ours, and ignoring the link would lose data silently.
    """
    named = sorted(path for path in paths if not path.name.startswith("."))
    for path in named:
        if path.is_symlink():
            raise link_in_our_place(path)
    return [path for path in named if path.is_file()]


def new_file(path: Path) -> int:
    """A descriptor of a new, empty file with mode 0600. An existing file is unlinked, not overwritten. Raises OSError."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def replace_file(path: Path, content: bytes, draft: Path, *, mode: int = 0o600) -> None:
    """Durably replace the file at `path`: write `content` to `draft`, and rename it. Raises OSError."""
    with os.fdopen(new_file(draft), "wb") as file:
        file.write(content)
        if mode != 0o600:
            os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_directory(path.parent)


def make_ours(path: Path, draft: Path) -> None:
    """Before a file is written in place: if it has other hard links, replace it by a copy. Raises OSError."""
    try:
        shared = path.lstat().st_nlink > 1
    except FileNotFoundError:
        return
    if not shared:
        return
    _copy(path, draft)
    replace_derived(draft, path)
    sync_directory(path.parent)


def empty_directory(directory: Path, *, keep: str | None = None) -> None:
    """Remove the contents of a directory, but not names that begin with `keep`. Raises OSError.

    No link is followed, not even in place of the directory. NFS keeps hidden files for files that are still open (`.nfs…`), and removes them later, so errors for hidden files are ignored.
    """
    with opened(directory, os.O_DIRECTORY) as within:
        with os.scandir(within) as entries:
            names = [entry.name for entry in entries if keep is None or not entry.name.startswith(keep)]
        for name in names:
            with contextlib.nullcontext() if not name.startswith(".") else contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(name, dir_fd=within).st_mode):
                    shutil.rmtree(name, ignore_errors=True, dir_fd=within)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=within)


def open_lock_file(path: Path) -> int:
    """A descriptor of a lock file, for reading and writing. Creates the file if it does not exist. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return descriptor


def write_lock_file(descriptor: int, text: str) -> None:
    """Replace the text of a lock file, unless it has other hard links: those may be foreign files."""
    if os.fstat(descriptor).st_nlink == 1:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _copy(source: Path, target: Path) -> None:
    """Make a durable copy with mode 0600."""
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
    """A descriptor for reading. Does not follow a link. Raises OSError."""
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
    """Make renames in `directory` durable, if the file system supports it."""
    with _unless(_NO_DIRECTORY_SYNC):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_private(path: Path) -> None:
    """Set the mode 0600, if the file system supports permissions."""
    with _unless(_NO_PERMISSIONS), opened(path) as descriptor:
        os.chmod(descriptor, 0o600)  # noqa: PTH101  # with a path it would follow a link


def link_or_copy(source: Path, target: Path) -> None:
    """Create a hard link, or a durable copy if that fails (also because the file has too many links)."""
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target)


def remove_directory(path: Path) -> None:
    """Remove a directory atomically: rename it to a hidden name, then delete its contents. Raises OSError.

    If the process is killed in between, a hidden `.….tmp` is left, which the next publication removes.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    path.rename(hidden)
    sync_directory(path.parent)
    shutil.rmtree(hidden)


def point_link(link: Path, name: str) -> bool:
    """Point the symbolic link `link` to `name`. Returns False if links are not supported; then `link` does not exist."""
    if link.is_symlink() and link.readlink() == Path(name):
        return True
    if link.is_dir() and not link.is_symlink():  # the warehouse was copied with its links as directories
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
    """Rename `draft` over `target`, a derived file. If the file system cannot replace files, `target` is removed first."""
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno not in _NO_REPLACING or not os.path.lexists(target):
            raise
        target.unlink()
        draft.rename(target)


def lock(descriptor: int, where: Path, *, shared: bool = False) -> bool:
    """Take the exclusive lock of an open file, which is released with its descriptor. Returns False if it is already locked.
    A `shared` lock can be held by several processes, and needs no permission to write.

    Raises WarehouseError if the file system has no locks: nothing else excludes concurrent runs.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
    else:
        return True
    # This lock, too, belongs to the open file. One of the process would be lost when any descriptor of the file is closed.
    command = getattr(fcntl, "F_OFD_SETLK", None)
    if command is None:
        raise without_locks(where, "flock is not supported")
    try:
        # struct flock: type, whence, start, length, pid. The range is far after the content, which others may read.
        kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        fcntl.fcntl(descriptor, command, struct.pack("hhqqi0q", kind, os.SEEK_SET, 1 << 30, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        raise without_locks(where, error.strerror or str(error)) from error
    return True


@contextlib.contextmanager
def _unless(impossible: frozenset[int]) -> Iterator[None]:
    """Ignore the errors of an unsupported operation; raise others."""
    try:
        yield
    except OSError as error:
        if error.errno not in impossible:
            raise
