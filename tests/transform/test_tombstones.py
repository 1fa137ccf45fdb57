"""A tombstone is valid until the session is seen in a later request."""

from __future__ import annotations

import pytest

from batches import observation
from constants import EPOCH
from sample_observations import merge, merged, resolved
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.transform.resolve import Tombstone


@pytest.mark.parametrize("kind", ["deleted", "aged_out"])
def test_a_tombstone_is_valid_if_the_session_was_seen_before_it(kind: str) -> None:
    """The check was requested after the last observation."""
    warehouse = merged([observation("a", 1)])
    tombstone = observation("a", 2, kind=kind)  # type: ignore[arg-type]  # one of two literals
    assert merge([tombstone], warehouse).won == set()
    assert warehouse["a"].tombstone == Tombstone(kind, tombstone.requested_at, 2)  # type: ignore[arg-type]  # one of two literals


def test_a_tombstone_older_than_the_last_observation_has_no_effect() -> None:
    """A check that was requested before the session was seen proves nothing."""
    warehouse = merged([observation("a", 5)])
    assert merge([observation("a", 4, kind="deleted")], warehouse).held == {}
    assert warehouse["a"].tombstone is None


def test_a_later_observation_removes_the_tombstone() -> None:
    """A session that is seen again is not deleted, even if its content is unchanged."""
    warehouse = merged([observation("a", 1)], [observation("a", 2, kind="deleted")])
    merge([observation("a", 3)], warehouse)
    assert warehouse["a"].tombstone is None


def test_an_earlier_observation_does_not_remove_the_tombstone() -> None:
    """Even if a page that was requested before the check arrives later, with newer content."""
    warehouse = merged([observation("a", 1)], [observation("a", 5, kind="deleted")])
    merge([observation("a", 4, updated=EPOCH + MINUTE)], warehouse)
    assert warehouse["a"].updated_at == EPOCH + MINUTE
    assert warehouse["a"].tombstone == Tombstone("deleted", observation("a", 5).requested_at, 5)


def test_a_tombstone_of_an_unknown_session_makes_no_row() -> None:
    """A tombstone requires an existing session."""
    resolution = resolved([observation("a", 1, kind="deleted")], {})
    assert (resolution.held, resolution.dirty) == ({}, {})
