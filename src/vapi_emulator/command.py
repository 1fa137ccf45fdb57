"""`vapi-sessions emulate`: the options, and what is said on the way."""

from __future__ import annotations

import ipaddress
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from vapi_emulator import EmulatorError
from vapi_emulator.generate import History, generate
from vapi_emulator.imported import load
from vapi_emulator.live import LiveTraffic
from vapi_emulator.parameters import DECLARED
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import (
    DEFAULT_KEY,
    DEFAULT_ORG,
    FAULT_KINDS,
    EmulatorSettings,
    ExpiresAfter,
    Expiry,
    FaultSettings,
    LimitZero,
    NameFilter,
    PastEnd,
    RetentionStyle,
    Ties,
    UnknownParameters,
)
from vapi_emulator.talk import fixed_id

DEFAULT_SESSIONS: Final = 2_000
_SETTINGS: Final = "Switches for what the contract leaves open"
_FAULTS: Final = "Faults"


def _say(text: str = "") -> None:
    typer.echo(text, err=True)


def parse_keys(given: Sequence[str]) -> dict[str, str]:
    """`KEY` or `KEY=ORG`, any number; without an organisation the first key gets the default one."""
    keys: dict[str, str] = {}
    for n, text in enumerate(given):
        key, equals, org_id = text.partition("=")
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise EmulatorError(
                "A --key is empty or has blanks in it.", "Write --key KEY or --key KEY=ORGANISATION."
            )
        if equals:
            try:
                org_id = str(uuid.UUID(org_id))
            except ValueError:
                raise EmulatorError(
                    f"The organisation {org_id!r} of a --key is no UUID.", f"Write it like {DEFAULT_ORG}."
                ) from None
        keys[key] = org_id or (DEFAULT_ORG if n == 0 else fixed_id(DEFAULT_ORG, "organisation", n))
    return keys


def parse_faults(given: Sequence[str]) -> dict[str, float]:
    """`KIND=PROBABILITY`, any number."""
    faults: dict[str, float] = {}
    for text in given:
        kind, _, probability = text.partition("=")
        try:
            faults[kind] = float(probability)
        except ValueError:
            raise EmulatorError(
                f"--fault {text} has no probability.",
                f"Write KIND=0.01, with a kind of: {', '.join(FAULT_KINDS)}.",
            ) from None
    return faults


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fill(server: EmulatorServer, sessions: int, days: float, seed: int, oddities: bool) -> None:
    history = History(
        org_id=server.org_id,
        sessions=sessions,
        days=days,
        seed=seed,
        oddities=oddities,
        until_us=server.store.now_us(),
    )
    made = 0
    for batch in generate(history):
        made += server.store.insert_many(batch)
        if sys.stderr.isatty() and sessions > 5_000:
            typer.echo(f"\r{made:,} of {sessions:,} sessions", err=True, nl=made == sessions)


def run(
    server: EmulatorServer,
    *,
    sessions: int | None,
    days: float,
    seed: int,
    load_file: Path | None,
    rate: float | None,
    oddities: bool,
) -> None:
    """Fill the store, say what to type next, serve until interrupted."""
    traffic = None
    try:
        server.bind()
        if not _is_loopback(server.host):
            _say(
                f"Warning: {server.host} can be reached from other machines; anybody with the key reads and writes here."
            )
        if rate is not None:
            traffic = server.traffic(rate=rate, seed=seed, oddities=oddities)
        kept = server.store.count()
        if load_file is not None:
            load(server.store, load_file, server.org_id, seed=seed)
        wanted = sessions if sessions is not None else 0 if load_file or kept else DEFAULT_SESSIONS
        if kept and sessions:
            _say(f"{server.store.path} holds {kept:,} sessions already: none are generated.")
        else:
            _fill(server, wanted, days, seed, oddities)
        server.serve(lambda: _ready(server, traffic))
        if traffic is not None and traffic.error is not None:
            raise traffic.error
    finally:
        if traffic is not None:
            traffic.stop()
        server.stop()


def _ready(server: EmulatorServer, traffic: LiveTraffic | None) -> None:
    if traffic is not None:
        traffic.start()
    _say(
        f"Vapi's Sessions API, emulated, on {server.url} with {server.store.count():,} sessions. Ctrl-C ends it."
    )
    for key, org_id in server.settings.keys.items():
        _say(f"  key {key}  organisation {org_id}")
    _say("Next:")
    _say(f"  export VAPI_API_KEY={server.key} VAPI_BASE_URL={server.url}")
    _say("  vapi-sessions sync")


def _check_ignored(names: Sequence[str]) -> frozenset[str]:
    for name in names:
        if name not in DECLARED:
            raise EmulatorError(
                f"The list has no parameter {name!r}.", f"Choose from: {', '.join(sorted(DECLARED))}."
            )
    return frozenset(names)


def emulate(
    sessions: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"How many to generate. [default: {DEFAULT_SESSIONS}; 0 with --load]",
            show_default=False,
        ),
    ] = None,
    days: Annotated[float, typer.Option(help="Over how many days up to now.")] = 30.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same history.")] = 1,
    load_file: Annotated[
        Path | None, typer.Option("--load", metavar="FILE.jsonl", help="Conversations to load.")
    ] = None,
    live: Annotated[
        float | None, typer.Option(metavar="RATE", help="Keep living: so many changes per second.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8787,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Keep the sessions in this file. [default: a temporary one]",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY[=ORG]", help=f"An API key, repeatable. [default: {DEFAULT_KEY}]", show_default=False
        ),
    ] = None,
    oddities: Annotated[bool, typer.Option(help="Also shapes that the contract does not declare.")] = True,
    latency: Annotated[
        float, typer.Option(min=0, metavar="MS", help="Before each answer.", rich_help_panel=_FAULTS)
    ] = 0.0,
    rate_limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests per second, then 429.", rich_help_panel=_FAULTS),
    ] = None,
    rate_limit_per_minute: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Requests per organisation and UTC minute, as the source counts; then 429 until the next one.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    lockout: Annotated[
        float, typer.Option(min=0, metavar="S", help="How long a 429 lasts.", rich_help_panel=_FAULTS)
    ] = 0.0,
    retry_after: Annotated[
        bool, typer.Option(help="Whether a 429 has that header.", rich_help_panel=_FAULTS)
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=P",
            help=f"With probability P; repeatable: {', '.join(FAULT_KINDS)}.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    limit0: Annotated[
        LimitZero, typer.Option(help="What limit=0 gives.", rich_help_panel=_SETTINGS)
    ] = "empty",
    past_end: Annotated[
        PastEnd, typer.Option(help="What a page past the end gives.", rich_help_panel=_SETTINGS)
    ] = "empty",
    expiry: Annotated[Expiry, typer.Option(help="What expiry changes.", rich_help_panel=_SETTINGS)] = "none",
    expires_after: Annotated[
        ExpiresAfter,
        typer.Option(
            help="expirationSeconds after the creation, or after the last change.", rich_help_panel=_SETTINGS
        ),
    ] = "creation",
    late_cost: Annotated[
        Literal["moves", "silent"],
        typer.Option(help="Whether a late cost moves updatedAt.", rich_help_panel=_SETTINGS),
    ] = "moves",
    retention: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="How far back the list reaches.", rich_help_panel=_SETTINGS),
    ] = None,
    retention_style: Annotated[
        RetentionStyle, typer.Option(help="How that shows.", rich_help_panel=_SETTINGS)
    ] = "silent",
    unknown_parameters: Annotated[UnknownParameters, typer.Option(rich_help_panel=_SETTINGS)] = "reject",
    ties: Annotated[
        Ties, typer.Option(help="Order among equal sort keys.", rich_help_panel=_SETTINGS)
    ] = "stable",
    name_filter: Annotated[
        NameFilter, typer.Option(help="What the parameter name means.", rich_help_panel=_SETTINGS)
    ] = "session",
    page_cap: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The most rows a page holds.", rich_help_panel=_SETTINGS),
    ] = None,
    optional_metadata: Annotated[
        bool, typer.Option(help="totalPages, hasNextPage, ….", rich_help_panel=_SETTINGS)
    ] = False,
    sub_millisecond: Annotated[
        bool, typer.Option(help="Keep microseconds behind what is shown.", rich_help_panel=_SETTINGS)
    ] = True,
    commit_delay: Annotated[
        float,
        typer.Option(min=0, metavar="S", help="How long a write stays invisible.", rich_help_panel=_SETTINGS),
    ] = 0.0,
    clock_skew: Annotated[
        float, typer.Option(metavar="S", help="Added to the Date header.", rich_help_panel=_SETTINGS)
    ] = 0.0,
    stale_cache: Annotated[
        float,
        typer.Option(
            min=0, metavar="S", help="A cache in between repeats answers.", rich_help_panel=_SETTINGS
        ),
    ] = 0.0,
    ignore_parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Accepted, not obeyed; repeatable.", rich_help_panel=_SETTINGS),
    ] = None,
    content_limit: Annotated[
        bool, typer.Option(help="Refuse messages over 10,000 characters.", rich_help_panel=_SETTINGS)
    ] = False,
    refuse_default_user_agents: Annotated[
        bool, typer.Option(help="403 for a client library's own User-Agent.", rich_help_panel=_SETTINGS)
    ] = False,
    must_pay: Annotated[bool, typer.Option(help="402 for everybody.", rich_help_panel=_SETTINGS)] = False,
    gzip: Annotated[
        bool, typer.Option(help="Compress lists for who accepts it.", rich_help_panel=_SETTINGS)
    ] = False,
) -> None:
    """Run Vapi's Sessions API on this machine, with data, latency, rate limits and faults to order."""
    faults = FaultSettings(
        latency_seconds=latency / 1000,
        rate_limit=rate_limit,
        rate_limit_per_minute=rate_limit_per_minute,
        lockout_seconds=lockout,
        retry_after=retry_after,
        probabilities=parse_faults(fault or ()),
        seed=seed,
    )
    settings = EmulatorSettings(
        limit0=limit0,
        past_end=past_end,
        expiry=expiry,
        expires_after=expires_after,
        late_cost_moves_updated_at=late_cost == "moves",
        retention_days=retention,
        retention_style=retention_style,
        unknown_parameters=unknown_parameters,
        ties=ties,
        name_filter=name_filter,
        page_cap=page_cap,
        optional_metadata=optional_metadata,
        sub_millisecond=sub_millisecond,
        commit_delay_seconds=commit_delay,
        clock_skew_seconds=clock_skew,
        stale_cache_seconds=stale_cache,
        ignored_parameters=_check_ignored(ignore_parameter or ()),
        content_limit=content_limit,
        refuse_default_user_agents=refuse_default_user_agents,
        gzip=gzip,
        faults=faults,
    )
    if key:
        settings = replace(settings, keys=parse_keys(key))
    if must_pay:
        settings = replace(settings, must_pay=frozenset(settings.keys.values()))
    server = EmulatorServer(settings, store_path=store, host=host, port=port)
    run(server, sessions=sessions, days=days, seed=seed, load_file=load_file, rate=live, oddities=oddities)
