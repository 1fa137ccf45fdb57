"""Sums over all runs, of which old rows are pruned."""

from __future__ import annotations

from vapi_sessions.core.timestamps import DAY
from vapi_sessions.operations.metrics import current
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout
from worlds import World


def test_counters_stay_when_old_runs_are_pruned(world: World) -> None:
    """Also after a rebuild. A counter that falls looks to Prometheus like one that began again."""
    for _ in range(4):
        world.insert(2, lambda n: (world.ago(minutes=1),) * 2)
        world.clock.forward(minutes=5)
        world.sync(concurrency=1)

    def counters() -> dict[str, str]:
        lines = current(world.warehouse, now=world.clock.us()).splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if "_total{" in line)

    before = counters()
    layout = Layout(world.warehouse)
    for _ in range(2):
        with Index(layout.index, layout.scratch) as index:
            index.prune_history(windows_before=0, runs_before=world.clock.us() + DAY, runs_kept=2)
            assert index.rows("SELECT count(*) FROM sync.runs") == [(2,)]
    world.rebuild()
    after = counters()
    name = next(key for key in before if key.startswith("vapi_sessions_sessions_new_total"))
    assert (before[name], after[name]) == ("8", "8")
    assert after == before
