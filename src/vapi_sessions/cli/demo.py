"""The demo: the main job on this machine, without an account."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from vapi_emulator.generate import History, fill
from vapi_emulator.live import Change, LiveTraffic
from vapi_emulator.server import EmulatorServer
from vapi_sessions.cli.display import display
from vapi_sessions.cli.first_answers import first_answers
from vapi_sessions.cli.invocation import program
from vapi_sessions.core import resources
from vapi_sessions.core.paths import warehouse_root
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import sync
from vapi_sessions.operations.sync import Summary
from vapi_sessions.report.report_file import missing_package, write_report
from vapi_sessions.settings import load_settings

_MARKER: Final = ".vapi-sessions-demo"
_CHANGES: Final = 60
_WIDTH: Final = 79
_KINDS: Final[dict[Change, str]] = {
    "create": "created",
    "append": "continued",
    "complete": "completed",
    "cost": "priced",
    "delete": "deleted",
}


def demo(directory: str | Path, *, sessions: int, days: int, seed: int) -> None:
    """Start the emulator, sync, simulate traffic, sync again, print first answers. Replaces an earlier demo.

    Raises ConfigurationError if `directory` holds something else, or if no warehouse can be there.
    """
    directory = warehouse_root(directory)
    _make_room(directory)
    warehouse = directory / "warehouse"
    store = directory / "emulator.sqlite"
    store.touch(mode=0o600)  # conversations, though invented, are as private as in a warehouse
    with EmulatorServer(store_path=store) as server:
        history = History(
            org_id=server.org_id, sessions=sessions, days=days, seed=seed, until_us=server.store.now_us()
        )
        fill(server.store, history)
        _step(
            f"1. The emulator serves {counted(server.store.count(), 'session')} of {counted(days, 'day')} on {server.url}."
        )
        settings = load_settings(
            warehouse=warehouse, base_url=server.url, api_key=SecretStr(server.key), settle="2s"
        )
        with display("first sync") as progress:
            first = sync.sync(settings, progress=progress)
        _step(
            f"2. First sync: {counted(first.counts.sessions_new, 'session')} and "
            f"{counted(first.counts.messages_written, 'message')} {_effort(first)}."
        )
        traffic = LiveTraffic(server.store, server.org_id, rate=10.0, seed=seed)
        traffic.steps(_CHANGES)
        _step(f"3. Meanwhile at the source: {happened(traffic)}")
        with display("second sync") as progress:
            second = sync.sync(settings, progress=progress)
        _step(
            f"4. Second sync: {second.counts.sessions_new:,} new and {second.counts.sessions_changed:,} changed sessions "
            f"{_effort(second)}.{unseen(traffic)}"
        )
    until = show(second.watermark) if second.watermark is not None else "nothing yet"
    print(f"5. Complete until {until}. First answers, each from a view:\n")
    print(*first_answers(warehouse), "", *next_steps(warehouse), "", sep="\n")
    latest = warehouse / "parquet" / "latest"
    parquet = latest if latest.exists() else latest.parent  # a file system without symbolic links
    print(f"Views, for any DuckDB: {warehouse / 'vapi.duckdb'}")
    print(f"Tables, as Parquet files: {parquet}")
    print(f"Observations, as Parquet files: {warehouse / 'raw'}")
    if missing_package() is None:
        written = write_report(warehouse, directory / "report.html")
        print(f"Report, for a web browser: {written.path}")


def happened(traffic: LiveTraffic) -> str:
    """What changed: how often, and for how many sessions. Some sessions change twice, and a bulk job changes many at once."""
    kinds = [f"{traffic.made[kind]:,} {word}" for kind, word in _KINDS.items() if traffic.made[kind]]
    changes = sum(traffic.made[kind] for kind in _KINDS)
    bulk = traffic.made["bulk"]
    jobs = f", and {counted(bulk, 'bulk job')} renamed {counted(traffic.renamed, 'session')}" if bulk else ""
    new = traffic.created - traffic.deleted
    changed = traffic.changed - traffic.created - traffic.deleted
    return (
        f"{counted(changes, 'change')} ({', '.join(kinds)}){jobs}. "
        f"Together: {counted(len(new), 'new session')}, {len(changed):,} changed."
    )


def unseen(traffic: LiveTraffic) -> str:
    """A remark if sessions were deleted, because a sync cannot see that; empty if none was."""
    gone = len(traffic.deleted - traffic.created)
    if not gone:
        return ""
    return f" It cannot see that {counted(gone, 'session is', 'sessions are')} gone: that is what reconcile is for."


def _effort(done: Summary) -> str:
    return f"in {done.seconds:.1f} s, with {counted(done.requests, 'request')}"


def _step(text: str) -> None:
    print(
        textwrap.fill(text, _WIDTH, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    )


def next_steps(warehouse: Path) -> list[str]:
    """Lines with commands to paste. All their paths are absolute, so that they work in any directory."""
    command, python = program(anywhere=True), shlex.quote(sys.executable)
    place = shlex.quote(str(warehouse.resolve()))
    lines = [
        "Try next:",
        f'  {command} sql --warehouse {place} "FROM session_summary LIMIT 5"',
        f"  {command} describe --warehouse {place}",
        f"  {command} status --warehouse {place}",
    ]
    notebook = resources.directory("notebooks") / "first_look.ipynb"
    if notebook.exists():  # in a checkout
        needed = notebook.parents[1] / "requirements" / "notebook.txt"
        lines += [
            "Three notebooks, linked to each other: a first look, costs, failures.",
            "The first line is needed once:",
            f"  {python} -m pip install --requirement {shlex.quote(str(needed))}",
            f"  VAPI_WAREHOUSE={place} {python} -m jupyterlab {shlex.quote(str(notebook))}",
        ]
    return [
        *lines,
        "An emulator with traffic; it prints the commands for another terminal:",
        f"  {command} emulate --live 5",
        "With your own account and its private key:",
        "  export VAPI_API_KEY=…",
        f'  {command} sync && {command} sql "FROM cost_by_day"',
    ]


def _make_room(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"{directory} is a file.", "Give another directory with --dir.")
    if directory.exists() and any(directory.iterdir()):
        if not (directory / _MARKER).exists():
            raise ConfigurationError(
                f"{directory} holds files that are not from a demo.", "Give another directory with --dir."
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _MARKER).write_text("Made by vapi-sessions demo, which replaces this directory each time.\n")
