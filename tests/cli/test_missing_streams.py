"""Processes whose standard streams are missing, closed, or in the encoding of another locale."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from command import COMMAND
from shell import Shell


def _process(shell: Shell, script: str, **given: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | shell.environment() | {"V": COMMAND}
    return subprocess.run(
        ["bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **given,
    )


def _nothing_was_printed_into(warehouse: Path) -> bool:
    return not any(
        b"sessions read" in p.read_bytes() or b"sync: " in p.read_bytes()
        for p in warehouse.rglob("*")
        if p.is_file()
    )


def test_a_sync_works_without_any_stream(shell: Shell) -> None:
    """No file of the warehouse takes the number of a missing stream and gets its output."""
    shutil.rmtree(shell.warehouse)
    done = _process(shell, '"$V" sync <&- >&- 2>&-')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert shell.sessions() == shell.listed()
    assert _nothing_was_printed_into(shell.warehouse)


@pytest.mark.proof
def test_the_exit_of_the_interpreter_is_quiet(shell: Shell, closed: int) -> None:
    """Data left in a buffer cause neither exit code 120 nor "Exception ignored"."""
    done = subprocess.run(
        [COMMAND, "status", "--max-age", "1ms"],
        env=os.environ | shell.environment(),
        stdout=closed,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 2, done.stderr


@pytest.mark.proof
@pytest.mark.parametrize("missing", ["<&-", ">&-", "2>&-", "<&- 2>&-", "2>&1 | head -2"])
def test_any_stream_may_be_missing(shell: Shell, missing: str) -> None:
    """One or two streams are missing, or a pipe is closed during the sync."""
    shutil.rmtree(shell.warehouse)
    done = _process(shell, f'"$V" sync --page-size 5 {missing}; exit "${{PIPESTATUS[0]}}"')
    assert done.returncode == 0
    assert shell.sessions() == shell.listed()
    assert _nothing_was_printed_into(shell.warehouse)


@pytest.mark.proof
@pytest.mark.parametrize(
    "setting", ["PYTHONIOENCODING=ascii", "LC_ALL=C", "LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0"]
)
def test_a_sync_works_in_every_locale(shell: Shell, setting: str) -> None:
    """Its summary has a character that is not ASCII."""
    done = _process(shell, f'{setting} "$V" sync')
    assert done.returncode == 0, done.stderr
    assert "complete until" in done.stdout
