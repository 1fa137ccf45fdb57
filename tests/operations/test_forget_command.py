"""What `forget` accepts and prints, and the files that it leaves."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from town import BOB, Town, town_fixtures

import command
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations.forget import Whom
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression

template, town = town_fixtures()


def test_all_files_are_readable_by_their_owner_only(town: Town) -> None:
    """Files 0600 and directories 0700, after sync, rebuild and forget; the suppression list too."""
    town.forget(Whom(sessions=[town.bob[0]]))
    modes = {
        str(path.relative_to(town.world.warehouse)): (path.is_dir(), stat.S_IMODE(path.lstat().st_mode))
        for path in town.world.warehouse.rglob("*")
        if not path.is_symlink()
    }
    assert "suppression.json" in modes
    assert {
        name: oct(mode) for name, (is_dir, mode) in modes.items() if mode != (0o700 if is_dir else 0o600)
    } == {}


def test_the_suppression_list_does_not_reveal_who_was_forgotten(town: Town) -> None:
    """It holds hashes under a key of the warehouse's own. Its repr hides that key."""
    town.forget(Whom(customers=[("email", BOB["email"])]))
    path = town.world.warehouse / "suppression.json"
    text = path.read_text()
    assert not any(word in text for word in (*town.bob, *BOB.values()))
    listed = Suppression.open(Layout(town.world.warehouse))
    assert text.split('"')[3] not in repr(listed)
    now = town.world.clock.us()
    assert listed.count(Window(now - 30 * DAY, now)) == 9
    path.write_text("{")
    with pytest.raises(WarehouseDamagedError, match="cannot be read"):
        town.world.sync()


def test_forget_without_anybody_or_without_a_warehouse_is_refused(town: Town, tmp_path: Path) -> None:
    """Exit code 2, with a remedy."""
    with pytest.raises(ConfigurationError, match="Nothing to forget"):
        town.forget(Whom())
    town.world.warehouse = tmp_path / "none"
    with pytest.raises(ConfigurationError, match="is not a warehouse"):
        town.forget(Whom(sessions=["x"]))


def test_the_forget_command_prints_what_it_erased(town: Town) -> None:
    """It needs no key of the source."""
    environment = {"VAPI_WAREHOUSE": str(town.world.warehouse)}
    ran = command.run("forget", town.bob[0], "--dry-run", environment=environment)
    assert (ran.code, ran.out.startswith("Would erase 1 session")) == (0, True)
    ran = command.run("forget", "--customer-email", BOB["email"], environment=environment)
    assert ran.code == 0, ran.err
    assert "Erased 9 sessions" in ran.out
    assert "\n".join(f"  {name}" for name in sorted(town.bob)) in ran.out


@pytest.mark.parametrize("whom", [Whom([""]), Whom([], [("number", " ")])])
def test_an_empty_value_to_forget_is_refused(town: Town, whom: Whom) -> None:
    """An unset variable must not look like a successful erasure."""
    before = (town.world.warehouse / "suppression.json").read_bytes()
    with pytest.raises(ConfigurationError, match="is empty"):
        town.forget(whom)
    assert (town.world.warehouse / "suppression.json").read_bytes() == before
