"""The demo: the main job on this machine, without an account."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from vapi_emulator.generate import History, fill
from vapi_emulator.live import LiveTraffic
from vapi_emulator.server import EmulatorServer
from vapi_sessions.cli.display import display
from vapi_sessions.core import resources
from vapi_sessions.core.paths import warehouse_root
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import sync
from vapi_sessions.settings import load_settings
from vapi_sessions.warehouse import reader

_MARKER = ".vapi-sessions-demo"
_CHANGES = 60


def demo(directory: str | Path, *, sessions: int, days: int, seed: int) -> None:
    """Start the emulator, sync, simulate traffic, sync again, print first answers. Replaces an earlier demo.

    Raises ConfigurationError if `directory` holds something else, or if no warehouse can be there.
    """
    directory = warehouse_root(directory)
    _make_room(directory)
    warehouse = directory / "warehouse"
    with EmulatorServer(store_path=directory / "emulator.sqlite") as server:
        history = History(
            org_id=server.org_id, sessions=sessions, days=days, seed=seed, until_us=server.store.now_us()
        )
        fill(server.store, history)
        print(
            f"1. The emulator serves {counted(server.store.count(), 'session')} of {counted(days, 'day')} on {server.url}."
        )
        settings = load_settings(
            warehouse=warehouse, base_url=server.url, api_key=SecretStr(server.key), settle="2s"
        )
        with display("first sync") as progress:
            first = sync.sync(settings, progress=progress)
        counts = first.counts
        print(
            f"2. First sync: {counted(counts.sessions_new, 'session')} and {counted(counts.messages_written, 'message')} "
            f"in {first.seconds:.1f} s, with {counted(first.requests, 'request')}."
        )
        LiveTraffic(server.store, server.org_id, rate=10.0, seed=seed).steps(_CHANGES)
        print(f"3. Meanwhile {_CHANGES} changes happened at the source: customers went on talking.")
        with display("second sync") as progress:
            second = sync.sync(settings, progress=progress)
        counts = second.counts
        print(
            f"4. Second sync: {counts.sessions_new:,} new and {counts.sessions_changed:,} changed sessions "
            f"in {second.seconds:.1f} s, with {counted(second.requests, 'request')}."
        )
    until = show(second.watermark) if second.watermark is not None else "nothing yet"
    print(f"5. Complete until {until}. First answers:\n")
    _print_answers(warehouse)
    print("", *next_steps(warehouse), "", sep="\n")
    near = warehouse.relative_to(Path.cwd()) if warehouse.is_relative_to(Path.cwd()) else warehouse
    latest = warehouse / "parquet" / "latest"
    parquet = latest if latest.exists() else latest.parent  # a file system without symbolic links
    print(f"Views to open: {near / 'vapi.duckdb'} · Parquet: {parquet} · observations: {near / 'raw'}")


def next_steps(warehouse: Path) -> list[str]:
    """Lines with commands to paste. All their paths are absolute, so that they work in any directory."""
    beside = Path(sys.executable).with_name("vapi-sessions")
    python = shlex.quote(sys.executable)
    command = shlex.quote(str(beside)) if beside.exists() else f"{python} -m vapi_sessions"
    place = shlex.quote(str(warehouse.resolve()))
    lines = [
        "Try next:",
        f'  {command} sql --warehouse {place} "FROM session_summary LIMIT 5"',
        f"  {command} status --warehouse {place}",
    ]
    notebook = resources.directory("notebooks") / "first_look.ipynb"
    if notebook.exists():  # in a checkout
        needed = notebook.parents[1] / "requirements" / "notebook.txt"
        lines += [
            "The notebook (the first line is needed once):",
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


def _print_answers(warehouse: Path) -> None:
    with reader.connect(warehouse) as db:

        def rows(sql: str) -> list[tuple[Any, ...]]:
            return db.execute(sql).fetchall()

        sessions, messages, calls, cost, pending = rows(
            "SELECT count(*), sum(message_count)::BIGINT, sum(tool_call_count)::BIGINT, sum(cost_usd), "
            "count(*) FILTER (cost_usd IS NULL) FROM sessions"
        )[0]
        print(
            f"  {counted(sessions, 'session')}, {counted(messages, 'message')}, {counted(calls, 'tool call')}, ${cost:,.2f} "
            f"(cost of {counted(pending, 'session')} still pending)"
        )
        print("  cost by day (the last 7)")
        for day, count, usd in rows(
            "SELECT strftime(created_at AT TIME ZONE 'UTC', '%Y-%m-%d') AS day, count(*), sum(cost_usd) FROM sessions "
            "GROUP BY day ORDER BY day DESC LIMIT 7"
        ):
            print(f"    {day}  {counted(count, 'session'):>15}  ${usd or 0:>9,.2f}")
        print("  cost by model")
        for provider, model, usd in rows(
            "SELECT model_provider, model_name, sum(cost_usd) AS usd FROM costs WHERE model_name IS NOT NULL "
            "GROUP BY ALL ORDER BY usd DESC NULLS LAST LIMIT 5"
        ):
            print(f"    {f'{provider} {model}':<40} ${usd or 0:>9,.2f}")
        for name, count in rows(
            "SELECT function_name, count(*) AS calls FROM tool_calls GROUP BY ALL ORDER BY calls DESC, function_name LIMIT 1"
        ):
            print(f"  most used tool: {name} ({counted(count, 'call')})")
