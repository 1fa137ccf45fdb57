"""The source, its traffic, and the runs of the exporter."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import psutil
from pydantic import SecretStr

from vapi_sessions.core.timestamps import DAY, MINUTE, parse
from vapi_sessions.operations.maintain import maintain
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.sync import sync
from vapi_sessions.settings import Settings, load_settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.space import Space, space

from .source import LivingSource

_T = TypeVar("_T")
#: The hours, UTC, in which nothing happens at the source. Runs at that time find no change.
NIGHT: Final = range(6)
_BEGIN: Final = parse("2026-03-01")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """`minutes` between runs, `changes` at the source before each (by day), `sessions` before the first. `hours`: in which runs start."""

    minutes: int = 15
    changes: float = 8
    sessions: int = 500
    keep_hours: str = "24"
    hours: range = range(24)


@dataclass(frozen=True, slots=True)
class Day:
    """The state at the end of a day. `most_bytes`, `most_snapshots`: the largest of the day, at full hours. `quiet_seconds`: median of
    the runs without changes.
    """

    number: int
    runs: int
    sessions: int
    space: Space
    most_bytes: int
    most_snapshots: int
    batches: int
    ledger_rows: int
    memory_bytes: int
    quiet_seconds: float


def lived(warehouse: Path, rhythm: Rhythm, days: int) -> Iterator[Day]:
    """Each day of the life of a warehouse: a sync every few minutes, a reconcile at night, and `maintain` once a week."""
    with LivingSource(rhythm.sessions, _BEGIN) as source:

        def sleep(seconds: float) -> None:
            source.now += round(seconds * 1e6)

        settings = load_settings(
            warehouse=warehouse,
            base_url=source.url,
            api_key=SecretStr(source.key),
            concurrency=2,
            keep_hours=rhythm.keep_hours,
        )
        environment = Environment(
            now=lambda: source.now, monotonic=lambda: (source.now - _BEGIN) / 1e6, sleep=sleep
        )
        runs, owed = 0, 0.0
        for number in range(1, days + 1):
            midnight = _BEGIN + (number - 1) * DAY
            quiet: list[float] = []
            most = snapshots = 0
            for minute in range(60 * rhythm.hours.start, 60 * rhythm.hours.stop, rhythm.minutes):
                source.now = max(source.now, midnight + minute * MINUTE)
                if minute // 60 not in NIGHT:
                    owed += rhythm.changes
                source.live(int(owed))
                owed -= int(owed)
                started = time.perf_counter()
                summary = sync(settings, environment=environment)
                if runs and not summary.counts.sessions_new + summary.counts.sessions_changed:
                    quiet.append(time.perf_counter() - started)
                runs += 1
                if minute == 3 * 60:
                    _nightly(settings, environment, weekly=number % 7 == 0)
                if minute % 60 < rhythm.minutes:
                    size = _space(warehouse)
                    most, snapshots = max(most, size.total_bytes), max(snapshots, size.snapshots)
            yield _day(number, runs, warehouse, most, snapshots, statistics.median(quiet or [0.0]))


def _nightly(settings: Settings, environment: Environment, *, weekly: bool) -> None:
    reconcile(settings, recheck=0, accept_deletions=True, environment=environment)
    if weekly:
        maintain(settings, environment=environment)


def _space(warehouse: Path) -> Space:
    return space(
        Layout(warehouse), _looking(warehouse, lambda db: dict(db.execute("FROM sync.state").fetchall()))
    )


def _looking(warehouse: Path, look: Callable[[duckdb.DuckDBPyConnection], _T]) -> _T:
    with duckdb.connect(warehouse / "vapi.duckdb", read_only=True) as db:
        return look(db)


def _day(number: int, runs: int, warehouse: Path, most: int, snapshots: int, quiet_seconds: float) -> Day:
    def counts(db: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
        (found,) = db.execute(
            "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM sync.batches), "
            "(SELECT count(*) FROM sync.runs) + (SELECT count(*) FROM sync.windows)"
        ).fetchall()
        return found

    sessions, batches, ledger_rows = _looking(warehouse, counts)
    gc.collect()
    return Day(
        number=number,
        runs=runs,
        sessions=sessions,
        space=_space(warehouse),
        most_bytes=most,
        most_snapshots=snapshots,
        batches=batches,
        ledger_rows=ledger_rows,
        memory_bytes=psutil.Process().memory_info().rss,
        quiet_seconds=quiet_seconds,
    )
