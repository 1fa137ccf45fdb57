"""Freed memory is returned to the system, with glibc; the user's own settings take precedence."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys

import pytest

from vapi_sessions.core import memory

#: Allocates and frees a hundred blocks of 2 MB, which glibc would keep by default, and prints what the process holds, MB.
_HELD = """
import sys
from vapi_sessions.core import memory
if "flat" in sys.argv:
    memory.stay_flat()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6
blocks = [bytearray(b"x" * 2_000_000) for _ in range(4)]
del blocks
before = resident()
blocks = [bytearray(b"x" * 2_000_000) for _ in range(100)]
small = [bytearray(40) for _ in range(1000)]
del blocks
print(resident() - before)
"""


def held(*arguments: str, **variables: str) -> float:
    """MB that a separate process holds in the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _HELD, *arguments],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's, and /proc tells what is held"
)
def test_large_blocks_are_returned_to_the_system() -> None:
    """The process keeps no more than allowed. With user settings that keep everything, the test sees the difference."""
    assert held("flat") < memory._KEPT / 1e6 + 1
    assert held("flat", MALLOC_MMAP_THRESHOLD_="30000000", MALLOC_TRIM_THRESHOLD_="900000000") > 100


def test_the_command_sets_its_allocator_before_pyarrow_is_imported() -> None:
    """It chooses its pool at import. Its default pool keeps freed memory, a quarter of a sync's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ARROW_")}
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "status", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "system False"


_COMMAND = """
import atexit
from vapi_sessions.__main__ import main
@atexit.register
def show():
    import gc, pyarrow
    print(pyarrow.default_memory_pool().backend_name, gc.get_threshold()[0] > 10_000)
main()
"""


def test_a_very_large_threshold_of_the_user_is_possible() -> None:
    """A hundred times as much would exceed the largest threshold, which is then used."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000_000, *usual[1:])
    try:
        with memory.fewer_collections():
            assert gc.get_threshold()[0] == 2**31 - 1
        assert gc.get_threshold() == (50_000_000, *usual[1:])
    finally:
        gc.set_threshold(*usual)


def test_the_threshold_is_restored_when_the_last_run_ends() -> None:
    """Two runs in one process may overlap, and either may end first."""
    usual = gc.get_threshold()
    first, second = memory.fewer_collections(), memory.fewer_collections()
    with first:
        assert gc.get_threshold()[0] > usual[0]
        second.__enter__()
    assert gc.get_threshold()[0] > usual[0]
    second.__exit__(None, None, None)
    assert gc.get_threshold() == usual
