"""Simulated traffic: changes made one by one, or by a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vapi_emulator import EmulatorError
from vapi_emulator.generate import History, fill
from vapi_emulator.live import WEIGHTS, Change, LiveTraffic
from vapi_emulator.store import Store

from .conftest import FakeClock

ORG = "0e111a70-0000-4000-8000-00000000000a"


class Fixture:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.store = Store(folder / "sessions.sqlite", clock=self.clock)
        fill(self.store, History(org_id=ORG, sessions=200, days=5, until_us=self.store.now_us()))
        self.before = self.state()

    def state(self) -> dict[str, dict[str, Any]]:
        return {session["id"]: session for session in self.store.sessions(ORG)}

    def run(self, steps: int = 1, **options: Any) -> LiveTraffic:
        traffic = LiveTraffic(self.store, ORG, **options)
        for _ in range(steps):
            self.clock.forward(seconds=1)
            traffic.step()
        return traffic

    def changed(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        after = self.state()
        return [(old, after[key]) for key, old in self.before.items() if key in after and after[key] != old]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path)
    yield fixture
    fixture.store.close()


def only(kind: Change) -> dict[Change, int]:
    return {name: int(name == kind) for name in WEIGHTS}


def test_the_same_seed_makes_the_same_traffic(tmp_path: Path) -> None:
    """Store, clock and seed determine every change, including new ids."""
    states = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fixture = Fixture(tmp_path / name)
        fixture.run(120, seed=9)
        states.append(fixture.state())
        fixture.store.close()
    assert states[0] == states[1]


def test_every_kind_of_change_happens(at: Fixture) -> None:
    """Enough steps make every kind of change."""
    traffic = at.run(300)
    assert set(traffic.made) == set(WEIGHTS)
    assert sum(traffic.made.values()) == 300


def test_create_makes_a_session_with_pending_costs(at: Fixture) -> None:
    """The session has a new id, equal timestamps and no cost."""
    at.run(1, weights=only("create"))
    (new,) = [session for key, session in at.state().items() if key not in at.before]
    assert new["createdAt"] == new["updatedAt"]
    assert new.get("cost") is None


def test_append_adds_messages_at_the_end(at: Fixture) -> None:
    """Existing messages stay, new ones follow, and `updatedAt` moves."""
    at.run(5, weights=only("append"))
    changed = at.changed()
    assert changed
    for old, new in changed:
        before, after = old.get("messages", []), new["messages"]
        assert after[: len(before)] == before
        assert len(after) > len(before)
        assert new["updatedAt"] > old["updatedAt"]


def test_complete_sets_status_and_artifact(at: Fixture) -> None:
    """An active session becomes completed."""
    at.run(3, weights=only("complete"))
    for old, new in at.changed():
        assert (old["status"], new["status"]) == ("active", "completed")
        assert new["artifact"]["structuredOutputs"]


@pytest.mark.parametrize("moves", [True, False])
def test_a_late_cost_moves_updated_at_or_not(at: Fixture, moves: bool) -> None:
    """The switch decides."""
    at.run(1, weights=only("cost"), late_cost_moves_updated_at=moves)
    ((old, new),) = at.changed()
    assert old.get("cost") is None
    assert new["cost"] > 0
    assert (new["updatedAt"] != old["updatedAt"]) is moves


def test_a_bulk_change_gives_many_sessions_one_updated_at(at: Fixture) -> None:
    """The changed sessions include old ones."""
    at.run(1, weights=only("bulk"))
    changed = at.changed()
    assert len(changed) == 150
    assert len({new["updatedAt"] for _, new in changed}) == 1


def test_ids_are_recorded(at: Fixture) -> None:
    """Tests compare them with what an exporter found, and the demo counts them."""
    traffic = at.run(60)
    after = at.state()
    assert set(at.before) - set(after) == traffic.deleted - traffic.created != set()
    assert set(after) - set(at.before) == traffic.created - traffic.deleted != set()
    assert (
        {old["id"] for old, _ in at.changed()} == traffic.changed - traffic.created - traffic.deleted != set()
    )


def test_sessions_that_a_bulk_change_renamed_are_counted(at: Fixture) -> None:
    """For each job, because a session can be in two."""
    traffic = at.run(2, weights=only("bulk"))
    assert traffic.renamed == 300
    assert 150 <= len(traffic.changed) <= 300


def test_traffic_on_an_empty_store_creates_a_session(tmp_path: Path) -> None:
    """Without a suitable session, a change creates one."""
    store = Store(tmp_path / "empty.sqlite", clock=FakeClock())
    assert LiveTraffic(store, ORG, weights=only("delete")).steps(2) == {"create": 1, "delete": 1}
    store.close()


def test_the_thread_makes_changes_until_it_is_stopped(at: Fixture) -> None:
    """It makes many changes per second, and none after `stop`."""
    with LiveTraffic(at.store, ORG, rate=500) as traffic:
        end = time.monotonic() + 200
        while sum(traffic.made.values()) < 20 and time.monotonic() < end:
            time.sleep(0.01)
    made = sum(traffic.made.values())
    assert made >= 20
    assert traffic.error is None
    time.sleep(0.02)
    assert sum(traffic.made.values()) == made


def test_a_rate_of_zero_is_refused(at: Fixture) -> None:
    with pytest.raises(EmulatorError, match="0 changes per second"):
        LiveTraffic(at.store, ORG, rate=0)
