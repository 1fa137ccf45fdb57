"""Running the emulator in the foreground: fills the store, prints what to type next, serves until interrupted."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path

from vapi_emulator.generate import History, generate
from vapi_emulator.jsonl import load
from vapi_emulator.live import LiveTraffic
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_SESSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of the store at the start. `sessions` None: the default, or 0 if there are sessions already."""

    sessions: int | None
    days: float
    seed: int
    load_file: Path | None
    oddities: bool


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _counted(sessions: int) -> str:
    return f"{sessions:,} session{'' if sessions == 1 else 's'}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fill(server: EmulatorServer, content: Content) -> None:
    """Load the file, then generate sessions, unless the store has some."""
    kept = server.store.count()
    if content.load_file is not None:
        load(server.store, content.load_file, server.org_id, seed=content.seed)
    sessions = content.sessions
    if sessions is None:
        sessions = 0 if content.load_file or kept else DEFAULT_SESSIONS
    elif kept and sessions:
        _say(f"{server.store.path} already holds {_counted(kept)}: none are generated.")
        return
    history = History(
        org_id=server.org_id,
        sessions=sessions,
        days=content.days,
        seed=content.seed,
        oddities=content.oddities,
        until_us=server.store.now_us(),
    )
    made = 0
    for batch in generate(history):
        made += server.store.insert_many(batch)
        if sys.stderr.isatty() and sessions > 5_000:
            print(
                f"\r{made:,} of {_counted(sessions)}",
                end="\n" if made == sessions else "",
                file=sys.stderr,
                flush=True,
            )


def run(server: EmulatorServer, content: Content, *, rate: float | None, program: str) -> None:
    """Fill the store, print what to type next, serve until interrupted.

    `rate`: live changes per second; `program`: the command that syncs.
    """
    traffic = None
    try:
        server.bind()
        if not _is_loopback(server.host):
            _say(
                f"warning: other machines can reach {server.host}; anyone with the key can read and write here."
            )
        if rate is not None:
            traffic = server.traffic(rate=rate, seed=content.seed, oddities=content.oddities)
        _fill(server, content)
        server.serve(lambda: _ready(server, traffic, program))
        if traffic is not None and traffic.error is not None:
            raise traffic.error
    finally:
        if traffic is not None:
            traffic.stop()
        server.stop()


def _ready(server: EmulatorServer, traffic: LiveTraffic | None, program: str) -> None:
    if traffic is not None:
        traffic.start()
    _say(
        f"The emulator of Vapi's Sessions API serves {_counted(server.store.count())} on {server.url}. Press Ctrl-C to stop."
    )
    for key, org_id in server.settings.keys.items():
        _say(f"  key {key}  organisation {org_id}")
    _say("Next:")
    _say(f"  export VAPI_API_KEY={server.key} VAPI_BASE_URL={server.url}")
    _say(f"  {program} sync")
