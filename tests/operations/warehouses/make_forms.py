"""Makes the small archives beside it: a warehouse of an earlier form, and the sessions of its source.

    python tests/operations/warehouses/make_forms.py CHECKOUT TARGET

CHECKOUT is a checkout of the commit whose code writes the warehouse; this process serves the source with the current emulator.

| archive | commit | form |
|---|---|---|
| `form-1.tar.xz` | 7996247 | `store.duckdb`, schema version 1 |
| `form-3-first.tar.xz` | b15afcc | the first with `index.duckdb`; `vapi.duckdb` has the path in each view and no comments |
| `form-3.tar.xz` | 1971b40 | views, comments and a time zone |

Each has two syncs, between which sessions grew, appeared and were deleted, a reconcile that found a deletion, and a sync that was
refused. `0.1.0.tar.xz`, made by `make.py`, is the form with schema version 2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row

SESSIONS = 8
HOUR = 3_600_000_000


def _session(server: EmulatorServer, number: int) -> dict[str, Any]:
    return {
        "id": f"00000000-0000-4000-8000-00000000000{number}",
        "orgId": server.org_id,
        "status": "completed",
        "cost": 0.02,
        "customer": {"name": f"Caller {number}", "number": f"+1415555010{number}"},
        "messages": [
            {"role": "user", "content": f"Question {number}"},
            {
                "role": "assistant",
                "content": None,
                "toolCalls": [{"id": f"call-{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "found", "toolCallId": f"call-{number}"},
            {"role": "assistant", "content": "Here it is."},
        ],
        "costs": [{"type": "model", "cost": 0.02}],
        "artifact": {"structuredOutputs": {"a": {"name": "CSAT", "result": number}}},
        "newField": {"a": number},
    }  # fmt: skip


def _insert(server: EmulatorServer, numbers: range) -> None:
    """Sessions of the last two days, an hour or more apart."""
    now = time.time_ns() // 1000
    server.store.insert_many(
        make_row(
            _session(server, n), now - (50 - n * 5) * HOUR // 10 * 10, now - (50 - n * 5) * HOUR // 10 * 10
        )
        for n in numbers
    )


def make(checkout: Path, warehouse: Path, server: EmulatorServer) -> None:
    """Run the commands of the earlier version."""

    def run(*command: str, key: str = server.key, code: int = 0, **variables: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "vapi_sessions", *command],
            env={
                **os.environ, "PYTHONPATH": str(checkout / "src"), "VAPI_API_KEY": key, "VAPI_BASE_URL": server.url,
                "VAPI_WAREHOUSE": str(warehouse), "VAPI_SETTLE": "0s", **variables,
            },
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done

    _insert(server, range(SESSIONS - 2))
    time.sleep(1.1)
    run("sync", VAPI_TIME_ZONE="Europe/Berlin")
    ids = server.store.ids(server.org_id)
    _insert(server, range(SESSIONS - 2, SESSIONS))
    server.store.update(
        server.org_id, ids[0], lambda s: s["messages"].append({"role": "user", "content": "And another"})
    )
    server.store.delete(server.org_id, ids[1])
    time.sleep(1.1)
    run("sync")
    run("reconcile")
    run("sync", key="a-key-that-is-refused", code=3)
    run("verify")


def main(checkout: Path, target: Path) -> None:
    """Make one archive."""
    with tempfile.TemporaryDirectory() as scratch, EmulatorServer() as server:
        warehouse = Path(scratch) / "warehouse"
        make(checkout, warehouse, server)
        told = {"now": time.time_ns() // 1000, "sessions": server.store.sessions(server.org_id)}
        (Path(scratch) / "source.json").write_text(json.dumps(told))
        with tarfile.open(target, "w:xz", preset=9) as archive:
            archive.add(warehouse, "warehouse", filter=_anonymous)
            archive.add(Path(scratch) / "source.json", "source.json", filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "/.tmp/" in entry.name:  # kept views, which are made again
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
