"""What all runs add up to, those included whose rows of `sync.runs` were pruned. So sums never fall, as counters must not.

The sums of pruned runs are the fact `pruned_runs` in `sync.state`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

#: The columns of `sync.runs` that are added up. Of `drift`, an object, the numbers.
TOTALS: Final = (
    "requests",
    "retries",
    "throttled",
    "bytes_received",
    "sessions_read",
    "sessions_new",
    "sessions_changed",
    "sessions_deleted",
    "late_rows",
    "silent_changes",
    "drift",
)
_DRIFT_ROWS: Final = "list_sum(json_extract(drift, '$.*')::BIGINT[])"
FACT: Final = "pruned_runs"
_Rows: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]


class RunTotals(msgspec.Struct, frozen=True):
    """`outcomes`: number of runs by command, flows under the command's name, and outcome. `sums`: of the columns in `TOTALS`."""

    outcomes: dict[str, dict[str, int]] = {}
    sums: dict[str, int] = {}

    def __add__(self, other: RunTotals) -> RunTotals:
        commands = sorted({*self.outcomes, *other.outcomes})
        return RunTotals(
            {one: _added(self.outcomes.get(one, {}), other.outcomes.get(one, {})) for one in commands},
            _added(self.sums, other.sums),
        )


def totals(rows: _Rows, where: str = "true", parameters: Sequence[object] = ()) -> RunTotals:
    """The sums over the rows of `sync.runs` that a condition holds for."""
    outcomes: dict[str, dict[str, int]] = {}
    counted = f"SELECT split_part(command, ' ', 1), outcome, count(*) FROM sync.runs WHERE {where} GROUP BY ALL ORDER BY ALL"
    for command, outcome, count in rows(counted, parameters):
        outcomes.setdefault(command, {})[outcome] = count
    summed = ", ".join(
        f"coalesce(sum({_DRIFT_ROWS if name == 'drift' else name}), 0)::BIGINT" for name in TOTALS
    )
    (sums,) = rows(f"SELECT {summed} FROM sync.runs WHERE {where}", parameters)
    return RunTotals(outcomes, dict(zip(TOTALS, sums, strict=True)))


def pruned(facts: Mapping[str, str]) -> RunTotals:
    """The sums of the runs whose rows were pruned."""
    return msgspec.json.decode(facts.get(FACT, "{}"), type=RunTotals)


def as_fact(sums: RunTotals) -> dict[str, str]:
    """The fact to record."""
    return {FACT: msgspec.json.encode(sums).decode()}


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
