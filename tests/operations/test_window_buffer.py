"""What a reading stores: what is not held already, in `raw/` and flattened in `staging/`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models import EPOCH, observation
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.operations.window_buffer import Stored, WindowBuffer
from vapi_sessions.transform.flatten import Head, flatten
from vapi_sessions.transform.resolve import Observation, Sighting, Unreadable, short
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.derive import version
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.staging import Staging


class Sieve:
    """Lets everything through."""

    run_id = "run"

    def clean(self, step: Any) -> list[Observation | Unreadable]:
        return [*step.rows, *step.unreadable]


class Read:
    """A reading of a warehouse of its own that holds these, and keeps those aside."""

    def __init__(self, root: Path, *held: Observation, aside: dict[str, str] | None = None) -> None:
        self.layout = Layout(root)
        self.layout.create()
        self.staging = Staging.begin(self.layout.staging)
        contents = {one.session_id: short(one.content_hash) for one in held}
        self.reading = WindowBuffer(Sieve(), self.layout, self.staging, contents, aside or {})  # type: ignore[arg-type]

    def take(self, *shown: Observation | Unreadable) -> None:
        """One step."""
        rows = [one for one in shown if isinstance(one, Observation)]
        odd = [one for one in shown if isinstance(one, Unreadable)]
        step: Any = SimpleNamespace(rows=rows, unreadable=odd)
        assert self.reading.take(step) == [*rows, *odd]

    def store(self) -> tuple[Stored, list[tuple[str, int]]]:
        """What was stored, and the rows of its raw file: session and request."""
        stored = self.reading.store(dict)
        if not stored.file:
            return stored, []
        rows = [one for part in raw.read(self.layout.raw / stored.file) for one in part]
        return stored, [(one.session_id, one.seq) for one in rows]


def head(one: Observation) -> Head:
    """What its children derive from."""
    (found,) = flatten([version(one)]).heads
    return found


def odd(seq: int, content: str = "c" * 64, name: str = "odd") -> Unreadable:
    """A session that does not say when it changed."""
    body = f'{{"id":"{name}","createdAt":"2026-03-01T00:00:00Z"}}'.encode()
    return Unreadable(
        name, True, "org", EPOCH, None, EPOCH, seq, "run", body, content, "updatedAt is missing"
    )


def test_what_is_held_goes_nowhere(tmp_path: Path) -> None:
    """Overlap costs no space: no raw file is written for it."""
    read = Read(tmp_path, observation("a", 1, messages=2))
    read.take(observation("a", 2, messages=2))
    assert read.reading.size == 0
    assert read.reading.sessions == 1
    stored, _ = read.store()
    assert (stored.file, list(stored.sightings), stored.staged_batch) == ("", [], None)
    assert list(read.layout.raw.iterdir()) == list(read.layout.staging.iterdir()) == []


def test_what_is_new_goes_to_raw_and_staging(tmp_path: Path) -> None:
    """With what decides who wins: the moments, the request, and hashes of what the children derive from."""
    read = Read(tmp_path, observation("a", 1), observation("b", 1))
    changed = observation("a", 2, updated=EPOCH + MINUTE, messages=2)
    read.take(changed, observation("b", 2), observation("c", 2))
    stored, rows = read.store()
    assert rows == [("a", 2), ("c", 2)]
    (first, _) = stored.sightings
    assert isinstance(first, Sighting)
    assert (first.updated_at, first.seq, first.kind) == (EPOCH + MINUTE, 2, "seen")
    assert first.content_hash == short(changed.content_hash)
    assert first.head == head(changed)
    assert first.head.message_count == 2
    assert stored.staged_batch is not None
    assert len(stored.staged_batch.created) == 2


def test_what_was_stored_is_held_from_then_on(tmp_path: Path) -> None:
    """The same reading may come by it again."""
    read = Read(tmp_path)
    read.take(observation("a", 1), observation("a", 2))
    assert read.store()[1] == [("a", 1)]
    read.take(observation("a", 3))
    assert read.store()[1] == []


def test_content_that_comes_back_is_stored(tmp_path: Path) -> None:
    """It is not what was read last."""
    read = Read(tmp_path, observation("a", 1))
    read.take(observation("a", 2, name="other"), observation("a", 3))
    assert read.store()[1] == [("a", 2), ("a", 3)]


def test_several_versions_in_one_batch_stage_the_one_that_can_win(tmp_path: Path) -> None:
    """All are in raw, and each is told with the head of its own content."""
    read = Read(tmp_path)
    versions = [observation("a", n, updated=EPOCH + at, messages=at) for n, at in ((1, 2), (2, 3), (3, 1))]
    read.take(*versions)
    stored, rows = read.store()
    assert rows == [("a", 1), ("a", 2), ("a", 3)]
    assert stored.staged_batch is not None
    assert len(stored.staged_batch.created) == 1
    heads = [one.head for one in stored.sightings if isinstance(one, Sighting)]
    assert heads == [head(one) for one in versions]


def test_a_mark_alone_is_stored_and_stages_nothing(tmp_path: Path) -> None:
    """It has no rows."""
    read = Read(tmp_path)
    read.reading.add(observation("a", 7, kind="deleted"))
    stored, rows = read.store()
    assert rows == [("a", 7)]
    assert stored.staged_batch is None
    assert list(read.layout.staging.iterdir()) == []


@pytest.mark.parametrize(("content", "kept"), [("c" * 64, []), ("d" * 64, [("odd", 2)])])
def test_what_cannot_be_read_is_stored_once(tmp_path: Path, content: str, kept: list[Any]) -> None:
    """As long as it says the same."""
    read = Read(tmp_path, aside={"odd": "c" * 64})
    read.take(odd(2, content))
    assert read.store()[1] == kept


def test_a_session_that_reads_well_again_is_stored_whatever_is_held(tmp_path: Path) -> None:
    """Else it would stay aside."""
    read = Read(tmp_path, observation("odd", 1), aside={"odd": "c" * 64})
    read.take(observation("odd", 3))
    assert read.store()[1] == [("odd", 3)]
    read.take(odd(4, "d" * 64))
    read.take(observation("odd", 5))
    assert read.store()[1] == [("odd", 4), ("odd", 5)]


def test_what_is_held_of_more_sessions_does_not_replace_what_was_read_since(tmp_path: Path) -> None:
    """A later look into the index may be older than this reading."""
    read = Read(tmp_path)
    read.take(observation("a", 2, name="new"))
    read.reading.hold({"a": short(observation("a", 1).content_hash), "b": 5})
    read.take(observation("a", 3))
    assert read.store()[1] == [("a", 2), ("a", 3)]
