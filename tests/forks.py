"""Runs commands in forked processes: one process imports the program once and forks for each, so that each death is a real one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from vapi_emulator.server import EmulatorServer

KILLED: Final = -signal.SIGKILL
#: Small batches and files, so that a small history passes each fault point several times.
FORKING: Final = """
import json, os, sys
import dateutil.relativedelta, httpcore, pytz  # else each command imports them when it first needs them
from vapi_sessions.cli import app
from vapi_sessions.core import faultpoints
from vapi_sessions.operations import coordinator, rebuild, reconcile, sync
from vapi_sessions.warehouse import part_sizes, raw_merging
coordinator.BATCH_BYTES = int(os.environ.get("BATCH_BYTES", 40_000))
part_sizes.SESSIONS_A_PART, part_sizes.SESSIONS_A_NEW_PART, part_sizes.NEW_SESSIONS = 30, 10, 40
raw_merging.AT_LEAST = int(os.environ.get("AT_LEAST", raw_merging.AT_LEAST))
coordinator.STAGED_MOST = int(os.environ.get("STAGED_MOST", coordinator.STAGED_MOST))
for line in sys.stdin:
    arguments, point, said = json.loads(line)
    child = os.fork()
    if child == 0:
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        faultpoints.arm(point)
        sys.argv[1:] = arguments
        try:
            app.main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code)
        os._exit(99)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """Runs commands in forked processes."""

    def __init__(
        self, server: EmulatorServer, said: Path, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._said = said
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"VAPI_API_KEY": server.key, "VAPI_BASE_URL": server.url, **environment},
        )

    def run(self, command: tuple[str, ...], warehouse: Path, point: str = "") -> int:
        """The exit code of one command, negative for a signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = ([*command, "--warehouse", str(warehouse)], point, str(self._said))
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def said(self) -> str:
        """The output of the last command."""
        return self._said.read_text()

    def end(self) -> None:
        """End the forking process."""
        self._process.communicate()
