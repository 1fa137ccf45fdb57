"""A new file or directory that appears under its name when it is complete, and not at all if the work fails."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import empty_directory, lock, opened, sync_directory
from vapi_sessions.errors import ConfigurationError, WarehouseBusyError, WarehouseError


@contextlib.contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A private directory beside `target`, which is removed at the end. Leftovers of a process that was killed are removed first.

    Raises ConfigurationError if the parent directory does not exist, WarehouseBusyError if another process works on the same
    target, WarehouseError if the disk fails.
    """
    if not target.parent.is_dir():
        raise ConfigurationError(
            f"The directory {target.parent} does not exist.", "Create it, or give another path with --out."
        )
    directory = target.with_name(f".{target.name}.unfinished")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WarehouseError(
            f"{target} cannot be written ({reason}).", "Give another path with --out, or make room."
        ) from error
    with contextlib.ExitStack() as stack:
        with disk_errors(directory):
            descriptor = stack.enter_context(opened(directory, os.O_DIRECTORY))
            if not lock(descriptor, directory):
                raise WarehouseBusyError(
                    f"Another process is writing {target}.", "Wait until it is done, then run again."
                )
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            empty_directory(directory)
        yield directory


def put_in_place(draft: Path, target: Path) -> None:
    """Rename a complete file or directory, durably. A directory in the place of `target` is replaced. Raises OSError."""
    replaced = draft.with_name(f"{draft.name}.replaced")
    there = target.is_dir() and not target.is_symlink()
    if there:
        target.rename(replaced)
    try:
        draft.rename(target)
    except BaseException:
        if there:
            replaced.rename(target)
        raise
    sync_directory(target.parent)
