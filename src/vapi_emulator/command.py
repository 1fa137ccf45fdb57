"""`vapi-sessions emulate`: its options."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from vapi_emulator import EmulatorError
from vapi_emulator.faults import FAULT_KINDS
from vapi_emulator.switches import (
    DEFAULT_KEY,
    DEFAULT_ORG,
    DEFAULT_SESSIONS,
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

_SETTINGS: Final = "Behaviour that Vapi's API contract leaves open"
_FAULTS: Final = "Faults"


def parse_keys(given: Sequence[str]) -> dict[str, str]:
    """Keys to organisations, from `KEY` or `KEY=ORG`. Without an organisation the first key gets the default one."""
    from vapi_emulator.talk import fixed_id

    keys: dict[str, str] = {}
    for n, text in enumerate(given):
        key, equals, org_id = text.partition("=")
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise EmulatorError(
                "A --key is empty, or contains a space or a character that is not ASCII.",
                "Write --key KEY or --key KEY=ORGANISATION.",
            )
        if equals:
            try:
                org_id = str(uuid.UUID(org_id))
            except ValueError:
                raise EmulatorError(
                    f"The organisation {org_id!r} of a --key is not a UUID.", f"Write it like {DEFAULT_ORG}."
                ) from None
        keys[key] = org_id or (DEFAULT_ORG if n == 0 else fixed_id(DEFAULT_ORG, "organisation", n))
    return keys


def parse_faults(given: Sequence[str]) -> dict[str, float]:
    """Kinds of faults to probabilities, from `KIND=PROBABILITY`."""
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


def _check_ignored(names: Sequence[str]) -> frozenset[str]:
    from vapi_emulator.parameters import DECLARED

    for name in names:
        if name not in DECLARED:
            raise EmulatorError(
                f"The list has no parameter {name!r}.", f"Choose from: {', '.join(sorted(DECLARED))}."
            )
    return frozenset(names)


def emulate(
    context: typer.Context,
    sessions: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"Number of sessions to generate (default: {DEFAULT_SESSIONS}; 0 with --load).",
            show_default=False,
        ),
    ] = None,
    days: Annotated[
        float, typer.Option(metavar="N", help="Number of days, up to now, over which sessions are spread.")
    ] = 30.0,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed: the same seed generates the same history.")
    ] = 1,
    load_file: Annotated[
        Path | None,
        typer.Option("--load", metavar="FILE.jsonl", help="JSON Lines file of conversations to load."),
    ] = None,
    live: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Simulate traffic, with this number of changes per second."),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port to listen on; 0 picks a free port.")
    ] = 8787,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="SQLite file that keeps the sessions (default: a temporary file).",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY[=ORG]",
            help=f"API key, optionally with its organisation; repeatable (default: {DEFAULT_KEY}).",
            show_default=False,
        ),
    ] = None,
    oddities: Annotated[
        bool, typer.Option(help="Include data shapes missing from Vapi's OpenAPI file.")
    ] = True,
    latency: Annotated[
        float,
        typer.Option(
            min=0, metavar="MS", help="Delay before each response, in milliseconds.", rich_help_panel=_FAULTS
        ),
    ] = 0.0,
    rate_limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Requests allowed per second and organisation; more get a 429.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    rate_limit_per_minute: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Requests allowed per UTC minute and organisation, as at Vapi; more get a 429 until the minute ends.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    lockout: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="S",
            help="How long all requests get a 429 after --rate-limit is exceeded, in seconds.",
            rich_help_panel=_FAULTS,
        ),
    ] = 0.0,
    retry_after: Annotated[
        bool, typer.Option(help="Send a Retry-After header with each 429.", rich_help_panel=_FAULTS)
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=P",
            help=f"Inject a fault into a request with probability P; repeatable. Kinds: {', '.join(FAULT_KINDS)}.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    limit0: Annotated[
        LimitZero, typer.Option(help="Response to limit=0.", rich_help_panel=_SETTINGS)
    ] = "empty",
    past_end: Annotated[
        PastEnd, typer.Option(help="Response to a page past the end.", rich_help_panel=_SETTINGS)
    ] = "empty",
    expiry: Annotated[
        Expiry, typer.Option(help="What changes when a session expires.", rich_help_panel=_SETTINGS)
    ] = "none",
    expires_after: Annotated[
        ExpiresAfter,
        typer.Option(
            help="Count expirationSeconds from creation, or from the last change.",
            rich_help_panel=_SETTINGS,
        ),
    ] = "creation",
    late_cost: Annotated[
        Literal["moves", "silent"],
        typer.Option(help="Whether adding a late cost moves updatedAt.", rich_help_panel=_SETTINGS),
    ] = "moves",
    retention: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Number of days that the list reaches back.",
            rich_help_panel=_SETTINGS,
        ),
    ] = None,
    retention_style: Annotated[
        RetentionStyle,
        typer.Option(help="Response to times before the retention period.", rich_help_panel=_SETTINGS),
    ] = "silent",
    unknown_parameters: Annotated[
        UnknownParameters, typer.Option(help="Response to unknown parameters.", rich_help_panel=_SETTINGS)
    ] = "reject",
    ties: Annotated[
        Ties, typer.Option(help="Order of sessions with equal sort keys.", rich_help_panel=_SETTINGS)
    ] = "stable",
    name_filter: Annotated[
        NameFilter, typer.Option(help="Field that ?name= filters by.", rich_help_panel=_SETTINGS)
    ] = "session",
    page_cap: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Maximum number of sessions per page.", rich_help_panel=_SETTINGS
        ),
    ] = None,
    optional_metadata: Annotated[
        bool,
        typer.Option(
            help="Include totalPages, hasNextPage and other optional metadata.", rich_help_panel=_SETTINGS
        ),
    ] = False,
    sub_millisecond: Annotated[
        bool,
        typer.Option(
            help="Store microseconds, although responses show milliseconds.", rich_help_panel=_SETTINGS
        ),
    ] = True,
    commit_delay: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="S",
            help="How long a write stays invisible, in seconds.",
            rich_help_panel=_SETTINGS,
        ),
    ] = 0.0,
    clock_skew: Annotated[
        float, typer.Option(metavar="S", help="Seconds added to the Date header.", rich_help_panel=_SETTINGS)
    ] = 0.0,
    stale_cache: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="S",
            help="How long a cache repeats a response, in seconds.",
            rich_help_panel=_SETTINGS,
        ),
    ] = 0.0,
    ignore_parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Accept this parameter but do not apply it; repeatable.",
            rich_help_panel=_SETTINGS,
        ),
    ] = None,
    content_limit: Annotated[
        bool, typer.Option(help="Refuse messages of more than 10,000 characters.", rich_help_panel=_SETTINGS)
    ] = False,
    refuse_default_user_agents: Annotated[
        bool,
        typer.Option(
            help="Respond with 403 to the default User-Agent of client libraries.", rich_help_panel=_SETTINGS
        ),
    ] = False,
    must_pay: Annotated[
        bool, typer.Option(help="Respond with 402 to every request.", rich_help_panel=_SETTINGS)
    ] = False,
    gzip: Annotated[
        bool, typer.Option(help="Compress lists for clients that accept gzip.", rich_help_panel=_SETTINGS)
    ] = False,
) -> None:
    """Emulate Vapi's Sessions API on this machine, with generated data, latency, rate limits and faults.

    Examples:
    vapi-sessions emulate
    vapi-sessions emulate --sessions 20000 --live 5 --rate-limit-per-minute 300
    vapi-sessions emulate --fault 429=0.05 --fault cut=0.01 --latency 100
    """
    from vapi_emulator.foreground import (
        Content,
        run,
    )  # slow to import, and not needed for help and completion
    from vapi_emulator.server import EmulatorServer

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
    content = Content(sessions=sessions, days=days, seed=seed, load_file=load_file, oddities=oddities)
    run(
        server, content, rate=live, program=context.parent.command_path if context.parent else "vapi-sessions"
    )
