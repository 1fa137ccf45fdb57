"""Plans for a source with a history of one month, and ledgers of earlier runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from constants import EPOCH, ORG
from source_model import ModelSource, Session, SourceModel, by_id, spread
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import OpenWindow
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE
from vapi_sessions.settings import Settings
from vapi_sessions.source.planning import Plan, make_plan
from vapi_sessions.source.windows import PlannedWindow

NOW = EPOCH + 30 * DAY
SETTLE, LOOKBACK = MINUTE, 15 * MINUTE
BOUND = NOW - SETTLE
FAR = NOW + 1000 * DAY  # stands for the end of a window that is open to the right


def with_settings(**given_settings: Any) -> Settings:
    """Settings that do not depend on the environment."""
    fixed: dict[str, Any] = {"settle": SETTLE, "lookback": LOOKBACK, "warehouse": Path("the-warehouse")}
    return Settings(**(fixed | given_settings))


def history(count: int = 300, seed: int = 1) -> SourceModel:
    """A source with sessions at any time of the last month."""
    rng = random.Random(seed)
    oldest = Session("oldest", EPOCH + 123, EPOCH + HOUR)
    return SourceModel(by_id([oldest], spread(rng, count, Window(EPOCH + 2 * DAY, NOW))), now=NOW, rng=rng)


def make(
    model: SourceModel,
    ledger: Ledger | None = None,
    open_windows: Sequence[OpenWindow] = (),
    **given_settings: Any,
) -> tuple[Plan, dict[str, str]]:
    """The plan and the state to record."""
    source: Any = ModelSource(model)
    return make_plan(with_settings(**given_settings), source, ledger or Ledger(), open_windows)


def begin(planned: PlannedWindow) -> int:
    """Where a window begins. The first one may be open to the left; it then begins where its claim does."""
    return planned.claim[0] if planned.claim is not None else planned.window.lower


def end(planned: PlannedWindow) -> int:
    """Where a window ends; an open one ends in the far future."""
    return FAR if planned.window.upper is None else planned.window.upper


def covered(planned: Sequence[PlannedWindow]) -> IntervalSet:
    """The moments in the windows."""
    return IntervalSet((begin(p), end(p)) for p in planned)


def after_a_run(until: int = NOW - HOUR, completed: Sequence[tuple[int, int]] | None = None) -> Ledger:
    """A ledger after a run that read everything before `until`, or `completed`. The last lookback is not settled."""
    spans = IntervalSet(completed or [(EPOCH, until)])
    return Ledger(ORG, EPOCH, spans, IntervalSet([(until - LOOKBACK, until)]))


def stored_window(lower: int, upper: int | None, **other: Any) -> OpenWindow:
    """A window that an earlier run did not finish, as the warehouse returns it."""
    left = [[lower, upper, lower - DAY, ["tied-1", "tied-2"]]]
    row = OpenWindow(
        run_id="earlier",
        window_index=0,
        lower=lower,
        upper=upper,
        expected=7,
        claimed_until=upper,
        left=left,
    )
    return row._replace(**other)
