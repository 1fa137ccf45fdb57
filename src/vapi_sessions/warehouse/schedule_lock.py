"""The lock that allows one schedule per warehouse, and the name of its Prefect deployment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vapi_sessions.core import files
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.errors import WarehouseBusyError
from vapi_sessions.warehouse.layout import Layout

_IDENTITY: Final = re.compile("[0-9a-f]{16}")


@contextlib.contextmanager
def scheduling(warehouse: Path) -> Iterator[str]:
    """Lock the schedule of this warehouse; yields the deployment's name.

    Two schedules with one name would share the runs, and the first one to end would pause the other. Raises
    WarehouseBusyError, with the holder's pid, if another process has the lock. The kernel releases it when the process ends.
    """
    layout = Layout(warehouse.resolve())
    layout.check()
    with disk_errors(layout.root):
        layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = files.open_lock_file(layout.root / ".schedule")
    try:
        identity, _, holder = os.read(descriptor, 64).decode("ascii", "replace").strip().partition(" ")
        if not files.lock(descriptor, layout.root):
            raise WarehouseBusyError(
                f"Another schedule (pid {holder if holder.isdecimal() else 'unknown'}) serves {layout.root}.",
                "Stop that one first, or give another --warehouse.",
            )
        if not _IDENTITY.fullmatch(identity):
            identity = secrets.token_hex(8)
        with disk_errors(layout.root):
            files.write_lock_file(descriptor, f"{identity} {os.getpid()}\n")
        yield deployment_name(layout.root, identity)
    finally:
        os.close(descriptor)


def warehouse_name(warehouse: Path, otherwise: str = "") -> str:
    """The name of the warehouse's deployment, without a lock. Before its first schedule the hash is of `otherwise` and the path."""
    layout = Layout(warehouse.resolve())
    try:
        identity = (layout.root / ".schedule").read_text("ascii").partition(" ")[0].strip()
    except (OSError, ValueError):
        identity = ""
    return deployment_name(layout.root, identity if _IDENTITY.fullmatch(identity) else otherwise)


def deployment_name(warehouse: Path, identity: str) -> str:
    """The name of the directory, for people, and a hash that no other warehouse has.

    The hash is of `identity`, because containers that share a Prefect server may all use the same path, and of the path,
    because a copy of a warehouse has the same identity.
    """
    readable = re.sub(r"[^\w.]+", "-", warehouse.name).strip("-.")[:40] or "warehouse"
    return f"{readable}-{hashlib.sha256(f'{identity} {warehouse}'.encode()).hexdigest()[:8]}"
