"""Changes that become visible late are read by later runs, although some runs fail."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from operator import attrgetter

import pytest
from plans import LOOKBACK, SETTLE, begin, make

import selection
from constants import EPOCH, ORG
from source_model import Answer, Session, SourceModel, by_id
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import OpenWindow
from vapi_sessions.core.timestamps import HOUR, MINUTE, floor_ms
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.pagination import encode_cursors, walk


class LateSource(SourceModel):
    """A source that shows each state of a session with a delay, and the previous state until then."""

    states: list[tuple[int, Session]]  # when each state becomes visible, and the state

    def happen(self) -> None:
        """Create or change a session, which becomes visible after a random delay."""
        if self.rng.random() < 0.3:
            changed = self.rng.choice(list(self.sessions))
            self.update(changed)
        else:
            self.create()
            changed = f"born-{self.born:06d}"
        self.states.append((self.now + self.rng.randrange(SETTLE + LOOKBACK), self.sessions[changed]))

    def shown(self) -> dict[str, Session]:
        """The newest visible state of each session."""
        visible = [state for at, state in self.states if at <= self.now]
        return by_id(sorted(visible, key=attrgetter("updated_at")))

    def answer(self, query: Query, sessions: dict[str, Session]) -> Answer:
        """The answer for the states that are visible now."""
        return super().answer(query, self.shown())


def run_after_run(seed: int, failures: float) -> None:
    """Twenty runs over a source with a commit delay. After each run that succeeds, no settled change is missing.

    A run that fails stops after some page, or before the first; the next run continues.
    """
    rng = random.Random(seed)
    oldest = Session("oldest", EPOCH, EPOCH)
    model = LateSource(by_id([oldest]), now=EPOCH + HOUR, rng=rng)
    model.states = [(EPOCH, oldest)]
    ledger, open_windows, read = Ledger(), list[OpenWindow](), set[tuple[str, int]]()
    for _ in range(20):
        for _ in range(rng.randrange(60)):
            model.now += rng.randrange(2 * MINUTE)
            model.happen()
        shown = {(s.session_id, s.updated_at) for s in model.shown().values()}
        plan, state = make(model, ledger, open_windows, page_size=10, concurrency=2)
        assert plan.bound is not None
        # Recorded before the first window is read: the state, and the windows that are resumed.
        ledger = replace(
            ledger,
            org_id=ORG,
            origin=int(state["origin"]),
            unsettled=ledger.unsettled | plan.unsettled,
        )
        left = {n: planned.cursors for n, planned in enumerate(plan.windows) if planned.resumed}
        fails = rng.random() < failures
        pages_left = rng.randrange(8) if fails else 10_000
        for number, planned in enumerate(plan.windows):
            pages = walk(model.fetch, planned.cursors, limit=10) if pages_left else ()
            for page in itertools.islice(pages, pages_left):
                pages_left -= 1
                read |= {(row.session_id, row.updated_at) for row in page.rows}
                left[number] = page.left
            if left.get(number) == () and planned.claim is not None:
                claim = IntervalSet([planned.claim])
                ledger = replace(
                    ledger,
                    completed=ledger.completed | claim,
                    unsettled=ledger.unsettled - (claim - plan.unsettled),
                )
        open_windows = [
            OpenWindow(
                run_id="run",
                window_index=number,
                lower=begin(plan.windows[number]),
                upper=plan.windows[number].window.upper,
                expected=0,
                claimed_until=ends[1] if (ends := plan.windows[number].claim) else None,
                left=json.loads(encode_cursors(cursors)),
            )
            for number, cursors in left.items()
            if cursors
        ]
        if not fails:
            settled = {(i, floor_ms(at)) for i, at in shown if at < plan.bound}
            assert settled - read == set(), f"seed {seed}"


SEEDS = selection.first([range(6), range(6, 25)])


@pytest.mark.parametrize("seeds", SEEDS, ids=["six", "more"])
def test_late_changes_are_read_by_runs_that_succeed(seeds: range) -> None:
    """If the delay is within the settling delay and the lookback."""
    for seed in seeds:
        run_after_run(seed, failures=0)


@pytest.mark.parametrize("seeds", SEEDS, ids=["six", "more"])
def test_late_changes_are_read_although_runs_fail(seeds: range) -> None:
    """Every other run stops somewhere, and the next one continues."""
    for seed in seeds:
        run_after_run(seed, failures=0.5)
