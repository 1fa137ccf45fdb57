"""`vapi-sessions status`."""

from __future__ import annotations

import json
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vapi_sessions.cli import options
from vapi_sessions.cli.invocation import as_called
from vapi_sessions.cli.output import bounded, duration
from vapi_sessions.core import text_tables
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import DifferenceError, plain

if TYPE_CHECKING:
    from vapi_sessions.operations.status import LastRun, Status
    from vapi_sessions.warehouse.space import Space

_LONGEST_LINE: Final = 100_000
#: Where the values begin, and where a run continues.
_INDENT: Final = 16
_RUN_INDENT: Final = 28
#: A number stays with its name and its unit.
_TOGETHER: Final = re.compile(r"(?<=\w) (?=[\d(]|MB)")
_HARD_SPACE: Final = "\xa0"


def status(
    warehouse: options.Warehouse = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
    as_metrics: Annotated[
        bool, typer.Option("--prometheus", help="Print Prometheus metrics, as in VAPI_METRICS_FILE.")
    ] = False,
    max_age: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Exit with code 6 if the warehouse is older than this, such as 2h or 1h30m.",
        ),
    ] = None,
    everything: options.Everything = False,
) -> None:
    """Show how fresh and how complete the warehouse is.

    Examples:
    vapi-sessions status
    vapi-sessions status --max-age 2d12h    # exits with code 6 if it is older
    """
    from vapi_sessions.operations import metrics
    from vapi_sessions.operations.status import status as read_status

    settings = options.command_settings(uses=options.READERS, warehouse=warehouse)
    limit = options.duration("--max-age", max_age) if max_age is not None else None
    now = time.time_ns() // 1000
    found = read_status(settings.warehouse, now=now)
    if as_metrics:
        print(metrics.current(settings.warehouse, now=now), end="")
    elif as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        print_status(found, everything=everything)
    if limit is not None and (found.age_seconds is None or found.age_seconds > limit / 1e6):
        age = "never synced" if found.age_seconds is None else f"{duration(found.age_seconds)} old"
        remedy = (
            "A run is writing to it: see vapi-sessions status."
            if found.running
            else "Run vapi-sessions sync."
        )
        raise DifferenceError(f"The warehouse is {age}, more than {max_age}.", remedy)


def print_status(status: Status, *, everything: bool = False) -> None:
    """One fact a line, then the last runs. Of long lists only the beginning, unless `everything` is to be shown."""
    from vapi_sessions.operations.coordinator import describe

    _line("warehouse", status.warehouse)
    if status.running is not None:
        _line("running", status.running.text)
    if not status.rows:
        _line("complete until", "nothing yet: the first sync has not published anything")
        return
    _line("organisation", status.org_id or "not seen yet")
    _line("source", status.base_url or "-")
    _line("history from", f"{status.origin} ({status.origin_reason})" if status.origin else "-")
    age = f", {duration(status.age_seconds)} ago" if status.age_seconds is not None else ""
    until = f"{status.watermark or 'nothing yet'}{age}"
    if status.first_sync:
        print(plain(f"first sync {status.first_sync}: complete until {until}"))
    else:
        _line("complete until", until)
    gaps = (f"{lower} … {upper}" for lower, upper in status.gaps)
    _line("gaps", "; ".join(bounded(gaps, everything=everything)) or "none")
    _line("rows", ", ".join(f"{count:,} {table}" for table, count in status.rows.items()))
    _line(
        "sessions",
        f"{status.deleted_sessions:,} deleted, {status.aged_out_sessions:,} aged out, {status.pending_cost_sessions:,} with pending cost",
    )
    _line("published", status.snapshot or "never")
    _line("sizes", ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in status.bytes.items()))
    _line("space", _space(status.space))
    for left in status.space.left_over:
        _line("left over", f"{left.name}, {left.bytes / 1e6:,.1f} MB, of {left.modified_at}: {left.remedy}")
    if count := status.unmerged_raw_files:
        _line(
            "unmerged", f"{counted(count, 'raw file')}; the next sync merges {'it' if count == 1 else 'them'}"
        )
    if warning := describe(status.unreadable, everything=everything):
        _line("unreadable", warning)
    if status.drift:
        fields = (f"{name} ({count:,})" for name, count in status.drift.items())
        _line("drift", ", ".join(bounded(fields, everything=everything)))
    for line in _checks(status):
        _line("checks", line)
    print("last runs")
    width = max((len(run.command) for run in status.last_runs), default=0)
    for run in status.last_runs:
        _print_run(run, width)


def _checks(status: Status) -> Iterator[str]:
    """The failing checks, each with a command that shows the rows; or that none fails."""
    from vapi_sessions.warehouse.checks import describe

    if status.checks is None:
        yield "not run yet; the next sync that writes data runs them"
        return
    if not status.checks:
        yield "none fails"
    for name, rows in status.checks.items():
        yield describe(name, rows, Path(status.warehouse))
    if status.unchecked_parts:
        yield f"could not be run on {counted(status.unchecked_parts, 'part')}; the next sync that writes data tries again"


def _space(space: Space) -> str:
    growth = space.growth_bytes_a_day
    grows = "" if growth is None else f", data grow by {growth / 1e6:,.1f} MB a day"
    return (
        f"{space.total_bytes / 1e6:,.1f} MB with {counted(space.snapshots, 'snapshot')} "
        f"and {counted(space.raw_files, 'raw file')}{grows}"
    )


def _line(name: str, value: str) -> None:
    _print(f"{name:<{_INDENT}}{value}", _INDENT)


def _print_run(run: LastRun, width: int) -> None:
    error = f": {run.error}" if run.error else ""
    _print(
        f"  {run.started_at}  {run.command:<{width}} {run.outcome:<11} read {run.sessions_read or 0:,}, "
        f"new {run.sessions_new or 0:,}, changed {run.sessions_changed or 0:,}, late {run.late_rows or 0:,}{error}",
        _RUN_INDENT,
    )


def _print(text: str, indent: int) -> None:
    """Lines that fit the terminal, the further ones indented; one line where there is no terminal. Commands to copy stay whole."""
    line = as_called(plain(text, _LONGEST_LINE))
    width = text_tables.columns_of(sys.stdout)
    if len(line) <= width or "vapi-sessions sql" in text:
        print(line)
        return
    for words in (_TOGETHER.sub(_HARD_SPACE, line), line):
        if indent + max(map(len, words.split(" "))) <= width:
            line = textwrap.fill(
                words, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
            ).replace(_HARD_SPACE, " ")
            break
    print(line)
