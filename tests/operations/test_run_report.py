"""What is told of a run: its figures, its windows, and what a person should look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vapi_sessions.core.timestamps import parse, show
from vapi_sessions.operations import run_report, sync
from vapi_sessions.operations.progress import Counts, LogProgress
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.sync import Summary
from worlds import RecordedProgress, World

SUMMARY = Summary(
    run_id="20261129T140000Z-abcdef",
    org_id="an-organisation",
    bound=parse("2026-11-29T14:00:00Z"),
    watermark=parse("2026-11-29T14:00:00Z"),
    windows=2,
    requests=7,
    seconds=1.25,
    published=True,
    recovered_files=0,
    counts=Counts(sessions_read=1_200, sessions_new=1_000, sessions_changed=200, messages_written=1),
)


def test_a_sync_is_told_in_one_line() -> None:
    """With its counts."""
    assert run_report.synced(SUMMARY) == (
        "1,200 sessions read: 1,000 new, 200 changed, 1 message written, in 1.2 s with 7 requests"
    )
    assert run_report.complete_until(SUMMARY) == "complete until 2026-11-29T14:00:00.000Z"


def test_before_anything_is_claimed_nothing_is_complete() -> None:
    """A source without sessions."""
    nothing = replace(SUMMARY, org_id=None, watermark=None)
    assert run_report.complete_until(nothing) == ""
    assert "nothing is claimed" in run_report.synced(nothing)


def test_a_run_without_findings_raises_no_concern() -> None:
    """Late rows and old drift are routine."""
    counts = Counts(late_rows=3)
    counts.drift.update({"newField": 12})
    assert run_report.concerns(replace(SUMMARY, counts=counts)) == []


@pytest.mark.parametrize(
    ("found", "concern"),
    [
        ({"failing_checks": {"messages": 3}}, "1 check fails: messages (3 rows)"),
        ({"failing_checks": {"a": 1, "b": 2}}, "2 checks fail: a (1 row), b (2 rows)"),
        ({"unreadable": {"id-1": "no updatedAt"}}, "1 session cannot be read: id-1"),
        (
            {"new_drift": tuple("abcdefg")},
            "7 new fields without a column, kept in extra: a, b, c, d, e and 2 more",
        ),
        (
            {"gaps": ((parse("2026-01-01"), parse("2026-02-01")),)},
            "changes of these times were not read, the next sync reads them: 2026-01-01 00:00 → 2026-02-01 00:00",
        ),
        (
            {"retained_from": parse("2026-11-01")},
            "the source hides older sessions (retention of its plan): history begins at 2026-11-01T00:00:00.000Z",
        ),
    ],
)
def test_each_finding_is_a_concern_of_one_line(found: dict[str, object], concern: str) -> None:
    """Names are bounded."""
    assert run_report.concerns(replace(SUMMARY, **found)) == [concern]  # type: ignore[arg-type]


def test_a_backfill_before_the_history_leaves_a_gap_until_the_next_sync(world: World) -> None:
    """The run warns of it."""
    start = world.ago(days=9)
    world.insert(3, lambda n: (start + n, start + n))
    world.sync(since=show(world.ago(days=2)))
    progress = RecordedProgress()
    backfill = {"since": show(world.ago(days=8)), "until": show(world.ago(days=7))}
    gaps = world.sync(progress=progress, **backfill).gaps
    assert [(show(lower), show(upper)) for lower, upper in gaps] == [
        (backfill["until"], show(world.ago(days=2)))
    ]
    assert any("were not read" in line for line in progress.said if line.startswith("warning: "))
    assert world.sync().gaps == ()


def test_a_retention_that_hides_history_is_told_once(world: World) -> None:
    """By the run that asks for all of it, not by those that read on."""
    old, young = world.ago(days=9), world.ago(days=2)
    world.insert(2, lambda n: (old + n * 1_000, old + n * 1_000))
    world.insert(1, lambda _: (young, young))
    world.server.configure(retention_days=5, retention_style="flag")
    progress = RecordedProgress()
    assert world.sync(progress=progress).retained_from == young
    assert any("retention" in line for line in progress.said if line.startswith("warning: "))
    assert world.sync().retained_from is None


def test_a_since_before_a_retention_is_told(world: World) -> None:
    """One after it is not, nor history that nothing hides: then no session is older."""
    old, young = world.ago(days=9), world.ago(days=2)
    world.insert(1, lambda _: (young, young))
    world.server.configure(retention_days=5, retention_style="flag")
    settings, environment = world.settings(since=show(world.ago(days=8))), world.environment()
    with sync.Run(settings, environment=environment) as run:
        assert run.plan().retained_from is None
        world.insert(1, lambda _: (old, old))
        assert run.plan().retained_from == young
    with sync.Run(world.settings(since=show(world.ago(days=1))), environment=environment) as run:
        assert run.plan().retained_from is None


def test_the_windows_of_a_run_become_rows(world: World) -> None:
    """The newest ones, in order, as the ledger has them."""
    start = world.ago(days=9)
    world.insert(40, lambda n: (start + n * 10**10, start + n * 10**10))
    with sync.Run(world.settings(page_size=2), environment=world.environment()) as run:
        planned = run.plan()
        sync.fetch_all(run, len(planned.windows))
        run.finish()
        everything = run_report.window_rows(run.index.windows(run.run_id, 100))
        last = run_report.window_rows(run.index.windows(run.run_id, 2))
        assert run.index.windows("another run", 2) == []
    assert len(everything) == len(planned.windows) > 2
    assert everything[-2:] == last
    assert sum(int(row["sessions"]) for row in everything) == 40
    assert (everything[0]["from"], everything[-1]["to"]) == (show(start), "now")
    assert everything[-1]["claimed until"] == show(planned.bound or 0)
    assert {row["verdict"] for row in everything} == {"complete"}
    first = run_report.bounds(planned.windows[0])
    whole = run_report.span(planned.windows, planned.bound)
    assert first.split(" → ")[0] == whole.split(" → ")[0] == show(start)[:16].replace("T", " ")
    assert run_report.span((), planned.bound) == ""


def test_a_reconcile_is_told_with_what_its_run_found(world: World) -> None:
    """Counts in one line, and the same concerns as of a sync."""
    start = world.ago(days=3)
    ids = world.insert(5, lambda n: (start + n * 1_000, start + n * 1_000))
    world.sync()
    world.server.store.delete(world.server.org_id, ids[2])
    done = reconcile(world.settings(), environment=world.environment())
    assert run_report.reconciled(done).startswith("1 marked as deleted, 0 as aged out")
    assert run_report.reconcile_facts(done)["marked as deleted"] == "1"
    assert run_report.complete_until(done.run).startswith("complete until ")
    assert run_report.concerns(done.run) == []


def test_a_page_about_a_run_has_figures_concerns_and_queries() -> None:
    """Texts of the source cannot format it."""
    text = run_report.markdown(
        "Read", run_report.sync_facts(SUMMARY), ["**odd** <b>|`\n"], Path("/a b/warehouse"), "complete"
    )
    assert "| sessions new | 1,000 |" in text
    assert r"- \*\*odd\*\* \<b\>\|\`\\n" in text
    assert "--warehouse '/a b/warehouse' sql" in text
    assert "vapi_sessions.connect('/a b/warehouse')" in text


def test_warnings_reach_the_log_as_warnings() -> None:
    """Messages stay messages, and lines stay one line."""
    said: list[str] = []
    warned: list[str] = []
    progress = LogProgress(said.append, warned.append)
    progress.say("a message")
    progress.warn("odd\nthing")
    assert (said, warned) == (["a message"], ["odd\\nthing"])
