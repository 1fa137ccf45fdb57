"""The figures that `demo` prints agree with each other, with the source and with the warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vapi_sessions
from selection import first
from vapi_emulator.live import Change, LiveTraffic
from vapi_sessions.cli.demo import happened, unseen
from vapi_sessions.cli.first_answers import first_answers
from vapi_sessions.operations.progress import Counts
from worlds import World, new_world


def numbers(text: str) -> list[float]:
    """All numbers in a text."""
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def section(lines: Iterable[str], view: str) -> list[str]:
    """The lines below the heading that names a view."""
    text = "\n".join(lines)
    return text.split(f"FROM {view}\n")[1].split("\n  W")[0].splitlines()


def amounts(lines: Iterable[str]) -> list[int]:
    """The amounts of these lines in cents; each line ends with one."""
    return [round(100 * numbers(line.rpartition("$")[2])[0]) for line in lines]


@dataclass(frozen=True)
class Busy:
    """Traffic of every kind between two syncs, what the second one found, and the numbers of sessions afterwards."""

    traffic: LiveTraffic
    found: Counts
    at_the_source: int
    in_the_warehouse: int


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """Bulk changes, and sessions created, changed and deleted again."""
    often: dict[Change, int] = {"create": 8, "append": 3, "complete": 2, "cost": 2, "bulk": 1, "delete": 8}
    with new_world(tmp_path_factory.mktemp("busy") / "warehouse") as world:
        world.generate(200, days=5)
        world.sync()
        traffic = LiveTraffic(world.server.store, world.server.org_id, seed=4, weights=often)
        for _ in range(60):
            world.clock.forward(seconds=1)
            traffic.step()
        found = world.sync().counts
        yield Busy(traffic, found, len(world.there()), len(world.here()))


@pytest.mark.proof
def test_the_sync_finds_what_happened(busy: Busy) -> None:
    """Also sessions that changed twice, in bulk, or were deleted soon after they were created."""
    assert {"bulk", "create", "delete"} <= busy.traffic.made.keys()
    assert busy.traffic.created & busy.traffic.deleted
    text = happened(busy.traffic)
    found = busy.found
    assert text.endswith(f" Together: {found.sessions_new} new sessions, {found.sessions_changed} changed.")
    changes, *kinds = numbers(text.partition(")")[0])
    assert changes == sum(kinds) == 60 - busy.traffic.made["bulk"]


def test_a_bulk_change_is_told_apart(busy: Busy) -> None:
    """One job changes 150 sessions, so sessions changed can be many more than changes."""
    jobs = busy.traffic.made["bulk"]
    assert f", and {jobs} bulk jobs renamed {150 * jobs:,} sessions." in happened(busy.traffic)


def test_deletions_are_said_to_be_unseen(busy: Busy) -> None:
    """Those of sessions that the warehouse has: it keeps them until a reconcile."""
    gone = busy.in_the_warehouse - busy.at_the_source
    assert gone > 0
    assert f" {gone} sessions are gone" in unseen(busy.traffic)
    assert "reconcile" in unseen(busy.traffic)


def test_nothing_is_said_of_deletions_if_there_were_none(world: World) -> None:
    """A hint that applies to nothing would confuse."""
    quiet = LiveTraffic(world.server.store, world.server.org_id)
    assert unseen(quiet) == ""


@pytest.mark.parametrize("view", first(["cost_by_day", "cost_by_model"]))
def test_amounts_add_up_to_the_total(demo_warehouse: Path, view: str) -> None:
    """To the cent, sessions and costs without a model included; and the total is that of the tables."""
    *parts, total = amounts(section(first_answers(demo_warehouse), view))
    assert len(parts) >= 4
    assert sum(parts) == total
    usd = vapi_sessions.frame("SELECT sum(cost_usd) AS usd FROM sessions", demo_warehouse)["usd"].item()
    assert total == round(100 * usd)


def test_each_amount_is_within_a_cent(demo_warehouse: Path) -> None:
    """Rounding so that the cents add up changes no amount by more."""
    lines = section(first_answers(demo_warehouse), "cost_by_model")
    costs = vapi_sessions.frame("FROM cost_by_model", demo_warehouse)["cost_usd"]
    assert sorted(amounts(lines[:-1])) == pytest.approx(sorted(100 * usd for usd in costs), abs=1)


def test_sessions_add_up(demo_warehouse: Path) -> None:
    """Those of the days, and those of the outcomes."""
    lines = first_answers(demo_warehouse)
    sessions, *outcomes, _ = numbers(lines[0])
    assert sum(outcomes) == sessions
    *days, total = [numbers(line.partition(" session")[0])[-1] for line in section(lines, "cost_by_day")]
    assert sum(days) == total == sessions


def test_answers_fit_a_terminal(demo_warehouse: Path) -> None:
    """Of 80 columns."""
    assert [line for line in first_answers(demo_warehouse) if len(line) > 80] == []


def test_an_empty_warehouse_has_answers_too(world: World) -> None:
    """None yet, rather than an error."""
    world.sync()
    lines = first_answers(world.warehouse)
    assert lines[0].startswith("  0 sessions: 0 completed")
    assert section(lines, "cost_by_day") == ["    nothing yet"]


def test_a_cost_that_is_pending_is_not_zero(world: World) -> None:
    """Not for a day, and not in the total."""
    world.insert(2, lambda n: (world.ago(days=2),) * 2, cost=None)
    world.sync()
    day, total = section(first_answers(world.warehouse), "cost_by_day")
    assert day.endswith(" pending")
    assert total.endswith(" pending")
    world.insert(1, lambda n: (world.ago(minutes=2),) * 2, cost=0)
    world.sync()
    free, pending, total = section(first_answers(world.warehouse), "cost_by_day")
    assert free.endswith(" $0.00")
    assert pending.endswith(" pending")
    assert total.endswith(" $0.00")
