"""How a run is told in a few lines: for the command line, and for the states and artifacts of Prefect.

Nothing here is content of a session: counts, times, ids of unreadable sessions, and names of fields.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vapi_sessions.core.records import WindowRecord
from vapi_sessions.core.timestamps import from_datetime, show, show_span
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain

if TYPE_CHECKING:
    from vapi_sessions.operations.maintain import Maintained
    from vapi_sessions.operations.reconcile import Reconciled
    from vapi_sessions.operations.sync import Summary
    from vapi_sessions.source.windows import PlannedWindow

#: Names in one message, at most.
_NAMED: Final = 5
#: Characters with a meaning in Markdown or HTML.
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")


def synced(summary: Summary) -> str:
    """What a sync did, in one line."""
    if summary.org_id is None:
        return "The source lists no sessions: nothing was read and nothing is claimed"
    counts = summary.counts
    return (
        f"{counted(counts.sessions_read, 'session')} read: {counts.sessions_new:,} new, {counts.sessions_changed:,} changed, "
        f"{counted(counts.messages_written, 'message')} written, "
        f"in {summary.seconds:.1f} s with {counted(summary.requests, 'request')}"
    )


def reconciled(done: Reconciled) -> str:
    """What a reconcile did, in one line."""
    counts = done.counts
    return (
        f"{counts.deleted:,} marked as deleted, {counts.aged_out:,} as aged out, {counts.restored:,} restored, "
        f"{counts.sessions_new:,} missing and added, {counts.sessions_changed:,} changed and updated"
    )


def maintained(done: Maintained) -> list[str]:
    """What a maintenance did, in a few sentences."""
    before, after = done.before.total_bytes / 1e6, done.after.total_bytes / 1e6
    lines = []
    if done.raw.files:
        lines.append(f"Merged {counted(done.raw.files, 'small raw file')} into {done.raw.into:,}.")
    if done.snapshots:
        lines.append(f"Removed {counted(done.snapshots, 'old snapshot')}.")
    lines += [f"Removed {name}." for name in done.by_products]
    lines.append(
        f"{after:,.1f} MB, before {before:,.1f} MB; {counted(done.after.snapshots, 'snapshot')} kept."
    )
    return lines


def maintain_facts(done: Maintained) -> dict[str, str]:
    """The figures of a maintenance."""
    return {
        "raw files merged": f"{done.raw.files:,}",
        "snapshots removed": f"{done.snapshots:,}",
        "by-products removed": f"{len(done.by_products):,}",
        "bytes before": f"{done.before.total_bytes:,}",
        "bytes": f"{done.after.total_bytes:,}",
        "raw files": f"{done.after.raw_files:,}",
        "snapshots": f"{done.after.snapshots:,}",
    }


def complete_until(summary: Summary) -> str:
    """How far the warehouse is complete, as a part of a sentence; "" before the first claim."""
    return f"complete until {show(summary.watermark)}" if summary.watermark is not None else ""


def sync_facts(summary: Summary) -> dict[str, str]:
    """The figures of a sync."""
    counts = summary.counts
    return {
        "run": summary.run_id,
        "organisation": plain(summary.org_id or "not seen", 100),
        "windows": f"{summary.windows:,}",
        "requests": f"{summary.requests:,}",
        "seconds": f"{summary.seconds:,.1f}",
        "sessions read": f"{counts.sessions_read:,}",
        "sessions new": f"{counts.sessions_new:,}",
        "sessions changed": f"{counts.sessions_changed:,}",
        "messages written": f"{counts.messages_written:,}",
        "late rows": f"{counts.late_rows:,}",
        "silent changes": f"{counts.silent_changes:,}",
        "new data published": "yes" if summary.published else "no",
    }


def reconcile_facts(done: Reconciled) -> dict[str, str]:
    """The figures of a reconcile."""
    counts = done.counts
    return {
        "run": done.run.run_id,
        "organisation": plain(done.org_id or "not seen", 100),
        "marked as deleted": f"{counts.deleted:,}",
        "marked as aged out": f"{counts.aged_out:,}",
        "restored": f"{counts.restored:,}",
        "missing sessions added": f"{counts.sessions_new:,}",
        "sessions changed": f"{counts.sessions_changed:,}",
        "silent changes": f"{counts.silent_changes:,}",
        "differing windows": f"{done.differing:,}",
        "ids checked": f"{done.checked:,}",
        "requests": f"{done.requests:,}",
        "seconds": f"{done.seconds:,.1f}",
    }


# -- why a run that succeeded needs a look -----------------------------------------------------------------------


def concerns(summary: Summary) -> list[str]:
    """What a person should look at after this run, a line each; empty if there is nothing."""
    found = []
    if failing := summary.failing_checks:
        fail = "fails" if len(failing) == 1 else "fail"
        rows = [f"{name} ({counted(number, 'row')})" for name, number in failing.items()]
        found.append(f"{counted(len(failing), 'check')} {fail}: {_first(rows)}")
    if unreadable := summary.unreadable:
        found.append(f"{counted(len(unreadable), 'session')} cannot be read: {_first(sorted(unreadable))}")
    if drift := summary.new_drift:
        found.append(f"{counted(len(drift), 'new field')} without a column, kept in extra: {_first(drift)}")
    if gaps := describe_gaps(summary.gaps):
        found.append(gaps)
    if summary.retained_from is not None:
        found.append(describe_retention(summary.retained_from))
    return [plain(concern, 1_000) for concern in found]


def describe_gaps(gaps: Iterable[tuple[int, int]]) -> str:
    """A message about spans that have not been read; "" if there are none."""
    spans = [show_span(lower, upper) for lower, upper in gaps]
    return f"changes of these times were not read, the next sync reads them: {_first(spans)}" if spans else ""


def describe_retention(oldest: int) -> str:
    """A message about history that the source keeps back. `oldest`: createdAt of the oldest session that it shows, µs."""
    return f"the source hides older sessions (retention of its plan): history begins at {show(oldest)}"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(plain(name, 100) for name in names[:_NAMED]) + more


# -- windows -----------------------------------------------------------------------------------------------------


def bounds(window: PlannedWindow) -> str:
    """The span of a planned window, for its task's name."""
    lower = window.claim[0] if window.claim is not None else window.window.lower
    return show_span(lower, window.window.upper)


def span(windows: Sequence[PlannedWindow], bound: int | None) -> str:
    """From the first window to the end of what is claimed, for a run's name; "" without windows."""
    if not windows:
        return ""
    first = windows[0]
    lower = first.claim[0] if first.claim is not None else first.window.lower
    return show_span(min(lower, bound) if bound is not None else lower, bound)


def window_rows(windows: Iterable[WindowRecord]) -> list[dict[str, str | int]]:
    """Rows of the table of windows."""
    return [
        {
            "from": show(from_datetime(window.lower_bound)),
            "to": show(from_datetime(window.upper_bound)) if window.upper_bound is not None else "now",
            "claimed until": show(from_datetime(window.claimed_until))
            if window.claimed and window.claimed_until is not None
            else "not claimed",
            "sessions": window.distinct_ids,
            "requests": window.requests,
            "verdict": window.verdict,
        }
        for window in windows
    ]


# -- Markdown ----------------------------------------------------------------------------------------------------


def markdown(
    headline: str, facts: Mapping[str, str], concerns: Sequence[str], warehouse: Path, complete: str = ""
) -> str:
    """A page about a run: what it did, what to look at, its figures, and how to query the warehouse."""
    page = [f"## {_literal(headline)}"]
    if complete:
        page.append(f"The warehouse is **{_literal(complete)}**: it has all changes before that moment.")
    if concerns:
        page.append("**Warnings**")
        page.append("\n".join(f"- {_literal(concern)}" for concern in concerns))
    rows = [f"| {_literal(name)} | {_literal(value)} |" for name, value in facts.items()]
    page.append("\n".join(["| figure | value |", "|---|---|", *rows]))
    page.append("**Query it**, for example:")
    command = f'vapi-sessions --warehouse {shlex.quote(str(warehouse))} sql "FROM cost_by_day"'
    page.append(f"```sh\n{plain(command)}\n```")
    page.append(f"```python\nimport vapi_sessions\nvapi_sessions.connect({str(warehouse)!r})\n```")
    return "\n\n".join(page) + "\n"


def _literal(text: str) -> str:
    return _MARKUP.sub(r"\\\1", plain(text))
