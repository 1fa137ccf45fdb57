"""A window buffer stores sessions that are not held already, in `raw/` and flattened in `staging/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batches import observation
from constants import EPOCH
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.operations.window_buffer import RequestStamp, Stored, WindowBuffer
from vapi_sessions.transform.flatten import Head, flatten
from vapi_sessions.transform.resolve import Observation, Sighting, Unreadable, short
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.derive import version
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.staging import Staging


class Unchanged:
    """A page sanitizer that changes nothing: its rows are observations already."""

    run_id = "run"

    def clean(self, rows: Any, unreadable: Any, request: RequestStamp) -> list[Observation | Unreadable]:
        return [*rows, *unreadable]


class Reading:
    """The buffer of a warehouse that holds some observations, and keeps some aside."""

    def __init__(self, root: Path, *held: Observation, aside: dict[str, str] | None = None) -> None:
        self.layout = Layout(root)
        self.layout.create()
        self.staging = Staging.begin(self.layout.staging)
        contents = {one.session_id: short(one.content_hash) for one in held}
        self.buffer = WindowBuffer(Unchanged(), self.layout, self.staging, contents, aside or {})  # type: ignore[arg-type]

    def take(self, *shown: Observation | Unreadable) -> None:
        """Take a page that shows these."""
        rows: list[Any] = [one for one in shown if isinstance(one, Observation)]
        odd: list[Any] = [one for one in shown if isinstance(one, Unreadable)]
        assert self.buffer.take(rows, odd, RequestStamp(EPOCH, 1)) == [*rows, *odd]

    def store(self) -> tuple[Stored, list[tuple[str, int]]]:
        """The stored batch, and the rows of its raw file: session and request."""
        stored = self.buffer.store({})
        if not stored.file:
            return stored, []
        rows = [one for part in raw.read(self.layout.raw / stored.file) for one in part]
        return stored, [(one.session_id, one.seq) for one in rows]


def head(one: Observation) -> Head:
    """The head of an observation."""
    (found,) = flatten([version(one)]).heads
    return found


def odd(seq: int, content: str = "c" * 64, name: str = "odd") -> Unreadable:
    """A session without `updatedAt`."""
    body = f'{{"id":"{name}","createdAt":"2026-03-01T00:00:00Z"}}'.encode()
    return Unreadable(
        name, True, "org", EPOCH, None, EPOCH, seq, "run", body, content, "updatedAt is missing"
    )


def test_held_content_is_not_stored_again(tmp_path: Path) -> None:
    """Overlapping readings cost no space: no raw file is written."""
    reading = Reading(tmp_path, observation("a", 1, messages=2))
    reading.take(observation("a", 2, messages=2))
    assert reading.buffer.size == 0
    assert reading.buffer.sessions == 1
    stored, _ = reading.store()
    assert (stored.file, list(stored.sightings), stored.staged_batch) == ("", [], None)
    assert list(reading.layout.raw.iterdir()) == list(reading.layout.staging.iterdir()) == []


def test_new_and_changed_sessions_go_to_raw_and_staging(tmp_path: Path) -> None:
    """The sightings have the times, the request, and the hashes that decide which version wins."""
    reading = Reading(tmp_path, observation("a", 1), observation("b", 1))
    changed = observation("a", 2, updated=EPOCH + MINUTE, messages=2)
    reading.take(changed, observation("b", 2), observation("c", 2))
    stored, rows = reading.store()
    assert rows == [("a", 2), ("c", 2)]
    (first, _) = stored.sightings
    assert isinstance(first, Sighting)
    assert (first.updated_at, first.seq, first.kind) == (EPOCH + MINUTE, 2, "seen")
    assert first.content_hash == short(changed.content_hash)
    assert first.head == head(changed)
    assert first.head.message_count == 2
    assert stored.staged_batch is not None
    assert len(stored.staged_batch.created) == 2


def test_stored_content_counts_as_held(tmp_path: Path) -> None:
    """The same walk may read it again."""
    reading = Reading(tmp_path)
    reading.take(observation("a", 1), observation("a", 2))
    assert reading.store()[1] == [("a", 1)]
    reading.take(observation("a", 3))
    assert reading.store()[1] == []


def test_content_that_comes_back_is_stored(tmp_path: Path) -> None:
    """It differs from the content that was read last."""
    reading = Reading(tmp_path, observation("a", 1))
    reading.take(observation("a", 2, name="other"), observation("a", 3))
    assert reading.store()[1] == [("a", 2), ("a", 3)]


def test_of_several_versions_in_a_batch_only_the_one_that_can_win_is_staged(tmp_path: Path) -> None:
    """All are in raw, and each sighting has the head of its own content."""
    reading = Reading(tmp_path)
    versions = [observation("a", n, updated=EPOCH + at, messages=at) for n, at in ((1, 2), (2, 3), (3, 1))]
    reading.take(*versions)
    stored, rows = reading.store()
    assert rows == [("a", 1), ("a", 2), ("a", 3)]
    assert stored.staged_batch is not None
    assert len(stored.staged_batch.created) == 1
    heads = [one.head for one in stored.sightings if isinstance(one, Sighting)]
    assert heads == [head(one) for one in versions]


def test_a_tombstone_is_stored_and_stages_nothing(tmp_path: Path) -> None:
    """It has no rows."""
    reading = Reading(tmp_path)
    reading.buffer.add(observation("a", 7, kind="deleted"))
    stored, rows = reading.store()
    assert rows == [("a", 7)]
    assert stored.staged_batch is None
    assert list(reading.layout.staging.iterdir()) == []


@pytest.mark.parametrize(("content", "kept"), [("c" * 64, []), ("d" * 64, [("odd", 2)])])
def test_an_unreadable_session_is_stored_once(tmp_path: Path, content: str, kept: list[Any]) -> None:
    """Unless its content changes."""
    reading = Reading(tmp_path, aside={"odd": "c" * 64})
    reading.take(odd(2, content))
    assert reading.store()[1] == kept


def test_a_session_that_becomes_readable_is_stored_even_if_its_content_is_held(tmp_path: Path) -> None:
    """Otherwise it would stay aside."""
    reading = Reading(tmp_path, observation("odd", 1), aside={"odd": "c" * 64})
    reading.take(observation("odd", 3))
    assert reading.store()[1] == [("odd", 3)]
    reading.take(odd(4, "d" * 64))
    reading.take(observation("odd", 5))
    assert reading.store()[1] == [("odd", 4), ("odd", 5)]


def test_held_contents_do_not_replace_newer_readings(tmp_path: Path) -> None:
    """A look into the index may be older than this buffer."""
    reading = Reading(tmp_path)
    reading.take(observation("a", 2, name="new"))
    reading.buffer.hold({"a": short(observation("a", 1).content_hash), "b": 5})
    reading.take(observation("a", 3))
    assert reading.store()[1] == [("a", 2), ("a", 3)]
