"""`vapi-sessions`: the command line. Results go to stdout, everything else to stderr; exit codes as in `errors`."""

from __future__ import annotations

import functools
import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn

import typer

from vapi_emulator import EmulatorError
from vapi_sessions import __version__
from vapi_sessions.cli import signals, streams
from vapi_sessions.core.timestamps import parse_duration, show
from vapi_sessions.errors import ConfigurationError, DifferenceError, VapiSessionsError, WarehouseError, plain
from vapi_sessions.settings import Settings, load_settings

app = typer.Typer(
    help="Vapi's sessions, messages and costs in DuckDB and Parquet: incremental, complete, provable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Warehouse = Annotated[
    str | None,  # a Path would make "." of nothing, and "s3:/b" of "s3://b"
    typer.Option(
        "--warehouse",
        metavar="DIR",
        help="Where the warehouse lies (VAPI_WAREHOUSE; default: ./warehouse).",
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url", metavar="URL", help="The source (VAPI_BASE_URL; default: https://api.vapi.ai)."
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="Read changes from here (ISO 8601, UTC). On the first sync: where history begins.",
    ),
]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="Read changes before here only.")]
Full = Annotated[
    bool, typer.Option("--full", help="Read everything again; what did not change is not written.")
]
Settle = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="How long a change may take to show at the source (default: 60s)."),
]
Lookback = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="What is read again before the last bound (default: 15m)."),
]
Concurrency = Annotated[
    int | None, typer.Option(metavar="N", help="Requests side by side, 1 to 64 (default: 6).")
]
PageSize = Annotated[
    int | None, typer.Option(metavar="N", help="Sessions a page, 1 to 1000 (default: 1000).")
]
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
_GOES_ON: Final = "What was merged stays; the next run goes on from there."
_KEEPS: Final = "Interrupted: keeping what has arrived. Once more ends at once."
#: Commands that are of no use without what they print.
_ANSWERING: Final = ("plan", "sql", "status")
_GLOBAL: Final[dict[str, Any]] = {}


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"vapi-sessions {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    _GLOBAL.clear()
    _GLOBAL.update(warehouse=warehouse, base_url=base_url, debug=debug, command=context.invoked_subcommand)


def _settings(*, warehouse: str | None, base_url: str | None, **given: object) -> Settings:
    settings = load_settings(
        warehouse=warehouse if warehouse is not None else _GLOBAL.get("warehouse"),
        base_url=base_url or _GLOBAL.get("base_url"),
        **given,
    )
    from vapi_sessions.warehouse.layout import Layout

    for doubt in Layout(settings.warehouse).doubts():
        print(f"warning: {plain(doubt)}", file=sys.stderr)
    return settings


@app.command()
def sync(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    since: Since = None,
    until: Until = None,
    full: Full = False,
    settle: Settle = None,
    lookback: Lookback = None,
    concurrency: Concurrency = None,
    page_size: PageSize = None,
) -> None:
    """Bring what changed since the last sync; the first one brings everything. The key is read from VAPI_API_KEY."""
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations import sync as pipeline

    settings = _settings(
        warehouse=warehouse, base_url=base_url, since=since, until=until, full=full or None, settle=settle,
        lookback=lookback, concurrency=concurrency, page_size=page_size,
    )  # fmt: skip
    with display("sync") as progress:
        summary = pipeline.sync(settings, progress=progress)
    _print_summary(summary, settings)


@app.command()
def plan(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    since: Since = None,
    until: Until = None,
    full: Full = False,
    settle: Settle = None,
    lookback: Lookback = None,
    concurrency: Concurrency = None,
    page_size: PageSize = None,
) -> None:
    """Show what a sync would do. Downloads nothing but counts, and changes nothing."""
    from vapi_sessions.operations.preview import preview as preview_of

    settings = _settings(
        warehouse=warehouse, base_url=base_url, since=since, until=until, full=full or None, settle=settle,
        lookback=lookback, concurrency=concurrency, page_size=page_size,
    )  # fmt: skip
    preview = preview_of(settings)
    made = preview.plan
    if made.bound is None:
        print("The source shows no session at all: a sync would claim nothing.")
        return
    print(f"{'from':24}  {'until':24}  {'sessions':>9}  {'requests':>8}")
    for window in made.windows:
        upper = show(window.window.upper) if window.window.upper is not None else "now"
        print(
            f"{show(window.claim[0] if window.claim else window.window.lower):24}  {upper:24}  {window.expected:>9,}  {preview.requests_for(window):>8,}"
        )
    print(
        f"{len(made.windows)} windows, {made.sessions:,} sessions, about {preview.requests:,} requests, "
        f"about {_duration(preview.seconds)} at {preview.latency * 1000:.0f} ms a request and {settings.concurrency} side by side"
    )


@app.command()
def status(
    warehouse: Warehouse = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    max_age: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Exit with 6 if the warehouse is older than this.")
    ] = None,
) -> None:
    """Say how fresh and how complete the warehouse is."""
    from vapi_sessions.operations.status import status as read_status

    settings = _settings(warehouse=warehouse, base_url=None)
    limit = _parse_duration("--max-age", max_age) if max_age is not None else None
    found = read_status(settings.warehouse, now=time.time_ns() // 1000)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        _print_status(found.as_dict())
    if limit is not None and (found.age_seconds is None or found.age_seconds > limit / 1e6):
        age = "never synced" if found.age_seconds is None else f"{_duration(found.age_seconds)} old"
        raise DifferenceError(f"The warehouse is {age}, more than {max_age}.", "Run vapi-sessions sync.")


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="SQL on the published tables and views; - reads it from stdin.")
    ],
    warehouse: Warehouse = None,
    output: Annotated[
        str, typer.Option("--format", metavar="table|csv|json", help="How to print rows.")
    ] = "table",
) -> None:
    """Ask the published tables in SQL: vapi-sessions sql "SELECT status, count(*) FROM sessions GROUP BY ALL"."""
    from vapi_sessions.warehouse import query as querying

    settings = _settings(warehouse=warehouse, base_url=None)
    text = _read_query(query)
    streams.demand()
    querying.run(settings.warehouse, text, output, streams.as_is(sys.stdout))
    sys.stdout.flush()


def _read_query(given: str) -> str:
    try:
        text = sys.stdin.read() if given == "-" else given
        text.encode()  # fails for bytes of another encoding, which Python lets pass as surrogates
    except (OSError, UnicodeError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"The query cannot be read: {why}.", "Give it as text in UTF-8.") from None
    return text


@app.command()
def reconcile(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    recheck: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Also read again all sessions created within this time: 48h."),
    ] = None,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="Mark them even if they are more than is believable.")
    ] = False,
    settle: Settle = None,
    page_size: PageSize = None,
) -> None:
    """Find deletions and mark them; fetch what lacks. Compares counts, so one deletion costs some twenty requests."""
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.reconcile import reconcile as run_reconcile

    settings = _settings(warehouse=warehouse, base_url=base_url, settle=settle, page_size=page_size)
    span = _parse_duration("--recheck", recheck) if recheck is not None else 0
    with display("reconcile") as progress:
        done = run_reconcile(settings, recheck=span, accept_deletions=accept_deletions, progress=progress)
    counts = done.counts
    print(
        f"{counts.deleted:,} marked as deleted, {counts.aged_out:,} as aged out, {counts.restored:,} restored, "
        f"{counts.sessions_new:,} missing here and added, {counts.sessions_changed:,} changed and updated"
    )
    print(
        f"{done.differing:,} differing windows read, {done.checked:,} ids asked for, "
        f"in {done.seconds:.1f} s with {done.requests:,} requests"
    )


@app.command()
def verify(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Compare every session by its content and its rows, not only counts."),
    ] = False,
    page_size: PageSize = None,
) -> None:
    """Compare the warehouse with the source; exit with 6 and name what differs. Changes nothing."""
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.coordinator import describe
    from vapi_sessions.operations.verify import verify as run_verify

    settings = _settings(warehouse=warehouse, base_url=base_url, page_size=page_size)
    with display("verify") as progress:
        done = run_verify(settings, deep=deep, progress=progress)
    for finding in done.findings:
        where = ""
        if finding.window is not None:
            upper = show(finding.window.upper) if finding.window.upper is not None else "now"
            where = f"created {show(finding.window.lower)} … {upper}: "
        print(plain(f"{where}{finding.what}; remedy: {finding.remedy}"))
        for session_id in finding.ids:
            print(plain(f"  {session_id}"))
    how = "row by row" if deep else "by counts"
    if warning := describe(done.unreadable):
        print(plain(f"warning: {warning}"))
    if done.findings:
        raise DifferenceError(
            f"{len(done.findings):,} difference(s), {how}, among {done.sessions:,} sessions.",
            "The remedies are named above, on stdout.",
        )
    print(
        f"{done.sessions:,} sessions agree with the source, {how}, for changes until {show(done.until)} "
        f"({done.requests:,} requests, {done.seconds:.1f} s)"
    )


@app.command()
def rebuild(warehouse: Warehouse = None) -> None:
    """Derive everything again from raw/, and publish it."""
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations import rebuild as work

    settings = _settings(warehouse=warehouse, base_url=None)
    with display("rebuild") as progress:
        files, sessions = work.rebuild(settings.warehouse, sanitizer=settings.sanitizer(), progress=progress)
    print(f"Rebuilt {sessions:,} sessions from {files:,} raw files.")


@app.command()
def forget(
    sessions: Annotated[list[str] | None, typer.Argument(metavar="[SESSION_ID]...", help="Sessions.")] = None,
    number: Annotated[
        list[str] | None, typer.Option("--customer-number", metavar="NUMBER", help="A customer's number.")
    ] = None,
    email: Annotated[
        list[str] | None,
        typer.Option("--customer-email", metavar="EMAIL", help="A customer's e-mail address."),
    ] = None,
    external_id: Annotated[
        list[str] | None,
        typer.Option("--customer-external-id", metavar="ID", help="A customer's id in your own systems."),
    ] = None,
    customer_id: Annotated[
        list[str] | None, typer.Option("--customer-id", metavar="ID", help="A saved customer's id.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--customer-name", metavar="NAME", help="A customer's name.")
    ] = None,
    sip_uri: Annotated[
        list[str] | None, typer.Option("--customer-sip-uri", metavar="URI", help="A customer's SIP URI.")
    ] = None,
    mentions: Annotated[
        bool,
        typer.Option(
            "--mentions", help="Erase sessions of others too in which such a customer is mentioned."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and erase nothing.")] = False,
    show_list: Annotated[
        bool,
        typer.Option("--list", help="Show what is on the list of what was forgotten, and do nothing else."),
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", metavar="ENTRY", help="Take an entry off the list: its name, or what was forgotten."
        ),
    ] = None,
    warehouse: Warehouse = None,
) -> None:
    """Erase sessions, or all of a customer's, from every file of the warehouse, and keep them from coming back."""
    from vapi_sessions.operations import forget as forgetting

    settings = _settings(warehouse=warehouse, base_url=None)
    given = (
        ("number", number), ("email", email), ("name", name), ("sipUri", sip_uri),
        ("externalId", external_id), ("customerId", customer_id),
    )  # fmt: skip
    whom = forgetting.Whom(
        sessions or (), [(kind, value) for kind, values in given for value in values or ()], mentions
    )
    if (show_list or remove) and (
        whom.sessions or whom.customers or mentions or dry_run or (show_list and remove)
    ):
        raise ConfigurationError(
            "--list and --remove stand alone.", "Give one of them, and nothing to forget."
        )
    if show_list:
        _print_forgotten(forgetting.listed(settings))
        return
    if remove:
        for kind, count in forgetting.remove(settings, remove):
            print(f"Took a {_WORDS.get(kind, kind)} off the list, and with it {_sessions(count)}.")
        print("The next vapi-sessions sync --full brings back what the source still has of them.")
        return
    done = forgetting.forget(settings, whom, dry_run=dry_run, say=lambda text: print(text, file=sys.stderr))
    _print_erased(done, mentions=mentions)


#: What `forget` is given, in words.
_WORDS: Final = {
    "number": "number",
    "email": "e-mail address",
    "name": "name",
    "sipUri": "SIP URI",
    "externalId": "external id",
    "customerId": "customer id",
}


def _sessions(count: int) -> str:
    return f"{count:,} session{'' if count == 1 else 's'}"


def _print_forgotten(entries: Any) -> None:
    if not entries:
        print("Nothing is on the list: nothing was forgotten here.")
        return
    print(f"{'entry':8}  {'since':24}  {'sessions':>8}  kind")
    for entry in entries:
        since = show(entry.at) if entry.at else "unknown"
        print(f"{entry.name:8}  {since:24}  {entry.sessions:>8,}  {_WORDS.get(entry.kind, entry.kind)}")
    print("Who it was cannot be read from the list. Take an entry off: vapi-sessions forget --remove ENTRY")


def _print_erased(done: Any, *, mentions: bool) -> None:
    print(
        f"{'Would erase' if done.dry_run else 'Erased'} {len(done.ids):,} sessions ({done.observations:,} observations in raw/), "
        f"{len(done.snapshots):,} published snapshots and {len(done.files):,} other files"
    )
    for name in (*done.ids, *done.snapshots, *done.files):
        print(plain(f"  {name}"))
    for one in done.customers:
        entry = f" (entry {one.entry})" if one.entry else ""
        found = f"{_sessions(one.sessions)} found" if one.sessions else "found nobody in the warehouse"
        print(f"{_WORDS[one.kind]}{entry}: {found}")
    if done.mentions:
        what = "counted above" if mentions else "not erased: --mentions erases them"
        print(f"{_sessions(len(done.mentions))} of others mention them ({what}):")
        for name in done.mentions:
            print(plain(f"  {name}"))
    if done.absent and done.ids:
        print("Not in the warehouse, of the sessions that were given:")
        for name in done.absent:
            print(plain(f"  {name}"))
    if not done.ids:
        print("Found nobody in the warehouse by what was given: there was nothing to erase.")
    if done.dropped:
        print(
            f"warning: what names a customer was dropped from {done.dropped:,} raw file(s), so nobody is found in them. "
            "Give the ids of these sessions, or run vapi-sessions sync --full: it reads every session again and erases "
            "theirs. What the source no longer lists is found by its id only.",
            file=sys.stderr,
        )
    if done.tightened:
        print("What is stored was put through the stricter policy.")
    if not done.dry_run:
        kept = "They are" if done.ids else "What was given is"
        print(f"{kept} on the suppression list: neither a sync nor a rebuild brings them back.")


@app.command()
def demo(
    directory: Annotated[
        str, typer.Option("--dir", metavar="DIR", help="Where the demonstration lies.")
    ] = "demo",
    sessions: Annotated[int, typer.Option(min=1, max=200_000, help="How many sessions to generate.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Over how many days.")] = 30,
    seed: Annotated[int, typer.Option(help="Another seed, another history.")] = 1,
) -> None:
    """See the whole thing work, without an account: emulate, sync, more traffic, sync again, first answers."""
    from vapi_sessions.cli.demo import demo as run_demo

    run_demo(directory, sessions=sessions, days=days, seed=seed, say=print)


@app.command()
def schedule(
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="Interval: 15m, 1h.")] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="CRON", help="Cron expression in UTC, instead of --every.")
    ] = None,
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
) -> None:
    """Serve the Prefect deployment of the sync on a schedule, until interrupted."""
    from vapi_sessions.operations.schedule import serve

    settings = _settings(warehouse=warehouse, base_url=base_url)
    interval = _parse_duration("--every", every) if every is not None else None
    serve(settings, interval=interval, cron=cron, say=lambda text: print(text, file=sys.stderr))


@functools.cache
def _commands(*, emulator: bool) -> Callable[..., object]:
    """All commands as one that can be called; typer makes it from signatures, which takes longer than most of them.

    Without the `emulator` its server's imports are spared, which is nothing that a sync should wait for.
    """
    if emulator:
        from vapi_emulator.command import emulate

        app.command("emulate")(emulate)
    return typer.main.get_command(app)


def main() -> NoReturn:
    """Run the command line and exit. Every error is one or two lines; a traceback only with --debug."""
    with signals.listening(lambda: _KEEPS if _keeps_what_arrived() else ""):
        emulator = bool({"emulate", "-h", "--help"} & set(sys.argv[1:])) or len(sys.argv) == 1
        code = _with_loss(_guarded(lambda: _commands(emulator=emulator)(standalone_mode=False)))
    sys.exit(code)


def end_with(command: Callable[[], object]) -> NoReturn:
    """Run something else as a command of ours, with the same messages and exit codes: `python flows/….py`."""
    sys.exit(_guarded(command))


def _guarded(command: Callable[[], object]) -> int:
    try:
        result = command()
    except VapiSessionsError as error:
        return _fail(error.fact, error.remedy, error.exit_code)
    except EmulatorError as error:
        return _fail(plain(error.fact), plain(error.remedy), ConfigurationError.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except streams.OutputLostError:
        return 0  # until `_with_loss` has looked why
    except SystemExit as end:
        if not isinstance(end.__context__, OSError):
            raise
        return _fail_of_system(end.__context__)  # typer takes every broken pipe for that of stdout
    except OSError as error:
        return _fail_of_system(error)
    except Exception as error:
        if hasattr(error, "show") and hasattr(
            error, "exit_code"
        ):  # typer's usage errors have no public common class
            if isinstance(getattr(error, "message", None), str):
                said = vars(error)["message"]  # it repeats what was given
                vars(error)["message"] = "\n".join(map(plain, said.split("\n")))
            error.show(sys.stderr)
            return int(error.exit_code)
        return _fail(
            f"A bug: {type(error).__name__}.",
            "Run again with --debug before the command, and report what it shows.",
            1,
        )
    if result == _INTERRUPTED:  # what typer makes of Ctrl-C
        return _interrupted()
    return result if isinstance(result, int) else 0


def _with_loss(code: int) -> int:
    """The exit code, after a look at whether stdout took all that was printed. A reader that stopped reading is no loss."""
    lost = streams.lost()
    if lost is None or streams.reader_gone(lost):
        return code
    fact = f"stdout cannot be written: {lost.strerror}."
    if code == 0 and _GLOBAL.get("command") in _ANSWERING:
        return _fail(fact, "Make room or give another place, then run again.", WarehouseError.exit_code)
    print(f"warning: {fact} Some of the output is lost.", file=sys.stderr)
    return code


def _fail_of_system(error: OSError) -> int:
    return _fail(
        f"{error.filename or 'The system'}: {error.strerror}.",
        "Look at the disk, then run again.",
        WarehouseError.exit_code,
    )


def _interrupted() -> int:
    code = _INTERRUPTED if signals.received is None else 128 + signals.received
    return _fail("Interrupted.", _GOES_ON if _keeps_what_arrived() else "", code)


def _keeps_what_arrived() -> bool:
    return _GLOBAL.get("command") in ("sync", "reconcile")


def _fail(fact: str, remedy: str, code: int) -> int:
    if _GLOBAL.get("debug") and sys.exc_info()[0] is not None:
        traceback.print_exc()
    print(f"error: {fact}", file=sys.stderr)
    if remedy:
        print(remedy, file=sys.stderr)
    return code


def _parse_duration(option: str, text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "under a second"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _print_summary(summary: Any, settings: Settings) -> None:
    counts = summary.counts
    if summary.org_id is None:
        print("The source shows no session at all: nothing was read and nothing is claimed.")
        return
    print(
        f"{counts.sessions_read:,} sessions read: {counts.sessions_new:,} new, {counts.sessions_changed:,} changed, "
        f"{counts.messages_written:,} messages written, in {summary.seconds:.1f} s with {summary.requests:,} requests"
    )
    if summary.watermark is not None:
        print(f"complete until {show(summary.watermark)} · query {settings.warehouse / 'vapi.duckdb'}")
    if counts.late_rows:
        print(
            f"warning: {counts.late_rows:,} change(s) showed later than the settling delay allows; consider a longer --settle",
            file=sys.stderr,
        )
    if counts.drift:
        top = ", ".join(f"{name} ({count:,})" for name, count in counts.drift.most_common(3))
        print(
            plain(
                f"note: fields without a column are kept in extra: {top}; all of them: vapi-sessions status"
            ),
            file=sys.stderr,
        )


def _print_status(found: dict[str, Any]) -> None:
    from vapi_sessions.operations.coordinator import describe

    def line(name: str, value: object) -> None:
        print(plain(f"{name:<16}{value}", 100_000))

    line("warehouse", found["warehouse"])
    line("organisation", found["org_id"] or "not seen yet")
    line("source", found["base_url"] or "-")
    line("history from", f"{found['origin']} ({found['origin_reason']})" if found["origin"] else "-")
    age = f", {_duration(found['age_seconds'])} ago" if found["age_seconds"] is not None else ""
    until = f"{found['watermark'] or 'nothing yet'}{age}"
    if found["first_sync"]:
        print(plain(f"first sync {found['first_sync']}: complete until {until}"))
    else:
        line("complete until", until)
    line("gaps", "; ".join(f"{a} … {b}" for a, b in found["gaps"]) or "none")
    line("rows", ", ".join(f"{count:,} {table}" for table, count in found["rows"].items()))
    line(
        "sessions",
        f"{found['deleted_sessions']:,} deleted, {found['aged_out_sessions']:,} aged out, {found['pending_cost_sessions']:,} with pending cost",
    )
    line("published", f"{found['snapshot']}" if found["snapshot"] else "never")
    line("sizes", ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in found["bytes"].items()))
    if found["unmerged_raw_files"]:
        line("unmerged", f"{found['unmerged_raw_files']} raw file(s); the next sync merges them")
    if warning := describe(found["unreadable"]):
        line("unreadable", warning)
    if found["drift"]:
        line("drift", ", ".join(f"{name} ({count:,})" for name, count in found["drift"].items()))
    print("last runs")
    for run in found["last_runs"]:
        error = f": {run['error']}" if run["error"] else ""
        told = (
            f"  {run['started_at']}  {run['command']:<8} {run['outcome']:<11} read {run['sessions_read'] or 0:,}, "
            f"new {run['sessions_new'] or 0:,}, changed {run['sessions_changed'] or 0:,}, late {run['late_rows'] or 0:,}{error}"
        )
        print(plain(told))
