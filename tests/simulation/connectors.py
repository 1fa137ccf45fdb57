"""The paging and cursor rules of other connectors, reading from the same source under the same traffic, without faults and
stops: what do they lose through no fault of the network?

The rules are those that the frameworks use for this kind of API: offset pages and a filter on `updatedAt`. Deletions are
not counted, because none of the frameworks looks for them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, floor_ms, parse, show

from . import engine
from .observed import observing
from .running import pool
from .world import World, scratch


@dataclass(slots=True)
class Destination:
    """The rows that a connector has loaded (id to `updatedAt` as text), and its cursor."""

    rows: dict[str, str] = field(default_factory=dict)
    cursor: str | None = None


class Reader:
    """The API as a connector sees it. Traffic happens before each request."""

    def __init__(self, world: World) -> None:
        self.world = world

    def pages(self, **filters: str) -> Iterator[list[dict[str, str]]]:
        """Offset pages until a short one, oldest first, like the default paginator of every framework."""
        number = 1
        while True:
            self.world.clock.pass_(150_000)
            self.world.happen()
            params = {
                "limit": str(self.world.page),
                "page": str(number),
                "sortBy": "createdAt",
                "sortOrder": "ASC",
            }
            answer = self.world.model.answer(params | filters)
            yield [json.loads(version.body) for _, version in answer.rows]
            if len(answer.rows) < answer.limit:
                return
            number += 1

    def now(self) -> str:
        """The clock of the source."""
        return show(self.world.clock.source())


Connector = Callable[[Reader, Destination], None]


def _newest(rows: Iterable[dict[str, str]], cursor: str | None) -> str | None:
    return max([row["updatedAt"] for row in rows] + ([cursor] if cursor else []), default=None)


def _back(moment: str, span: int) -> str:
    return show(floor_ms(parse(moment) - span))


def dlt(lag: int) -> Connector:
    """`rest_api` with `incremental`: `updatedAt` from the newest value seen, minus `lag`."""

    def sync(reader: Reader, destination: Destination) -> None:
        start = {"updatedAtGe": _back(destination.cursor, lag)} if destination.cursor else {}
        for rows in reader.pages(**start):
            destination.rows.update((row["id"], row["updatedAt"]) for row in rows)
            destination.cursor = _newest(rows, destination.cursor)

    return sync


def airbyte(lookback: int) -> Connector:
    """Low-code `DatetimeBasedCursor`: slices of `updatedAt` up to the present, with offset pages in each. The next sync
    begins at the newest value minus the lookback.
    """

    def sync(reader: Reader, destination: Destination) -> None:
        end = parse(reader.now())
        start = parse(destination.cursor) - lookback if destination.cursor else end - 40 * DAY
        while start <= end:
            slice_end = min(start + 5 * DAY, end + 1000)
            for rows in reader.pages(updatedAtGe=show(start), updatedAtLt=show(slice_end)):
                destination.rows.update((row["id"], row["updatedAt"]) for row in rows)
                destination.cursor = _newest(rows, destination.cursor)
            start = slice_end
            if slice_end > end:
                break

    return sync


def singer(reader: Reader, destination: Destination) -> None:
    """A replication key: everything with `updatedAt` from the bookmark on. The newest value becomes the bookmark."""
    start = {"updatedAtGe": destination.cursor} if destination.cursor else {}
    newest = destination.cursor
    for rows in reader.pages(**start):
        destination.rows.update((row["id"], row["updatedAt"]) for row in rows)
        newest = _newest(rows, newest)
    destination.cursor = newest


def by_created_at(reader: Reader, destination: Destination) -> None:
    """The known Vapi connector: sessions created after the newest one it has."""
    start = {"createdAtGt": destination.cursor} if destination.cursor else {}
    for rows in reader.pages(**start):
        destination.rows.update((row["id"], row["updatedAt"]) for row in rows)
        created = max((row["createdAt"] for row in rows), default=None)
        destination.cursor = max(filter(None, (created, destination.cursor)), default=None)


OTHERS: Final[dict[str, Connector]] = {
    "dlt, `rest_api`, no `lag`": dlt(0),
    "dlt, `rest_api`, `lag` of 1 h": dlt(HOUR),
    "Airbyte, low-code, no lookback": airbyte(0),
    "Airbyte, low-code, lookback of 1 h": airbyte(HOUR),
    "Singer, replication key": singer,
    "by `createdAt` only": by_created_at,
}
OURS: Final = "vapi-sessions, `sync` alone"


@dataclass(slots=True)
class Losses:
    """Over some seeds: sessions never loaded, and loaded sessions whose later changes were never loaded.

    `seeds`: seeds with a loss; `of`: all sessions.
    """

    sessions: int = 0
    changes: int = 0
    seeds: int = 0
    of: int = 0

    def add(self, other: Losses) -> None:
        """Add the losses of other seeds."""
        self.sessions += other.sessions
        self.changes += other.changes
        self.seeds += other.seeds
        self.of += other.of


def losses(name: str, seed: int) -> Losses:
    """One seed: history, four syncs under traffic; then everything becomes visible, and one more sync."""
    with tempfile.TemporaryDirectory(dir=scratch(), prefix="simulation-") as place:
        world = World(seed, Path(place) / "warehouse", check=False)
        world.fault_rate, world.clock.source_off, world.clock.ours_off = 0, 0, 0
        world.busy = max(world.busy, 0.3)
        world.traffic.late = 0  # no connector promises to find late changes
        world.publishing = False
        world.lift_secret_cap()
        world.traffic.weights = {
            action: weight
            for action, weight in world.traffic.weights.items()
            if action.__name__ not in ("retention", "bring_back", "commit_late")
        }
        with engine.scaled_down(world):
            destination = Destination()
            reader = Reader(world)
            world.traffic.history(60)
            for number in range(5):
                if number == 4:
                    world.busy = 0
                    latest = max(v.visible_at for s in world.model.sessions.values() for v in s.versions)
                    world.clock.true = max(latest, world.clock.true) + world.settle + MINUTE
                if name == OURS:
                    world.run("sync")
                else:
                    OTHERS[name](reader, destination)
                if number < 4:
                    world.idle()
                    world.clock.source_off = 0
            rows = _ours(world) if name == OURS else destination.rows
        result = Losses(seeds=1)
        for session, version in world.model.listed():
            result.of += 1
            loaded = rows.get(session.session_id)
            result.sessions += loaded is None
            result.changes += loaded is not None and floor_ms(parse(loaded)) < floor_ms(version.updated_at)
        return Losses(
            result.sessions, result.changes, int(bool(result.sessions or result.changes)), result.of
        )


def _ours(world: World) -> dict[str, str]:
    with observing(world.warehouse / "index.duckdb") as db:
        found = db.execute("SELECT session_id, epoch_us(updated_at) FROM sessions").fetchall()
    return {session_id: show(updated) for session_id, updated in found}


def all_losses(name: str, seeds: range, workers: Executor) -> Losses:
    """The losses of one connector over some seeds."""
    total = Losses()
    for part in workers.map(losses, [name] * len(seeds), seeds, chunksize=3):
        total.add(part)
    return total


def comparison(seeds: range) -> str:
    """The table of all connectors, as Markdown."""
    lines = [
        f"| rules of | sessions never loaded | changes never loaded | seeds with a loss, of {len(seeds)} |",
        "|---|---|---|---|",
    ]
    with pool() as workers:
        for name in (*OTHERS, OURS):
            total = all_losses(name, seeds, workers)
            lines.append(
                f"| {name} | {total.sessions:,} of {total.of:,} | {total.changes:,} | {total.seeds} |"
            )
    return "\n".join(lines)
