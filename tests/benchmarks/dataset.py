"""Sessions on disk, ready to be sent: their JSON texts one after another in a file, and an index of versions.

A version becomes visible at its `updatedAt`. So one data set holds a history and its later changes, and a server can show
the state of any moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .pages import DAY, END, SECOND, Author, Mix, changed, grown, restamped

Numbers: TypeAlias = NDArray[np.int64]
#: The changes in the hour after a history; see `build_lanes`.
Lane: TypeAlias = Literal["nothing", "changes", "costs", "deletions"]

HOUR: Final = 3_600 * SECOND
MINUTE: Final = 60 * SECOND
#: Share of the changes that are to one of the newest sessions; the others are to any session.
_RECENT_SHARE: Final = 0.95
_RECENT: Final = 10_000
#: Changes take 20 minutes and are read 40 minutes after the first, so that no lookback reads them a second time.
_CHANGES_TAKE: Final = 20 * MINUTE
_READ_AFTER: Final = 40 * MINUTE


@dataclass(frozen=True, slots=True)
class Dataset:
    """The two files of a data set. `sessions`: their number; `size`: bytes of their first versions."""

    bodies: Path
    index: Path
    sessions: int
    size: int

    def remove(self) -> None:
        """Delete the files."""
        self.bodies.unlink(missing_ok=True)
        self.index.unlink(missing_ok=True)


class _Writer:
    """Appends JSON texts, each followed by a comma, so that neighbours can be sent as one slice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w+b")
        self._end = 0
        self._created: list[int] = []
        self._versions: list[tuple[int, int, int, int]] = []  # session, updated, offset, length

    def add(self, session: int, updated: int, body: bytes) -> None:
        """Add a version of a session."""
        self._file.write(body)
        self._file.write(b",")
        self._versions.append((session, updated, self._end, len(body)))
        self._end += len(body) + 1

    def start(self, created: int) -> int:
        """Add a session; returns its number. Sessions must be added in order of creation."""
        self._created.append(created)
        return len(self._created) - 1

    def read(self, session: int) -> bytes:
        """The first version of a session."""
        _, _, offset, length = self._versions[session]
        self._file.seek(offset)
        body = self._file.read(length)
        self._file.seek(0, 2)
        return body

    def remove(self, session: int, updated: int) -> None:
        """Delete a session at a time: add a version without text."""
        self._versions.append((session, updated, self._end, 0))

    @contextmanager
    def lane(self, name: str) -> Iterator[Dataset]:
        """Versions added inside the `with` belong to the data set that it gives, and to no other."""
        before = len(self._versions)
        index = self.path.with_suffix(f".{name}.npz")
        yield Dataset(self.path, index, len(self._created), self._end)
        self._write_index(index)
        del self._versions[before:]

    def close(self) -> Dataset:
        """Write the index of all versions that are in no lane."""
        self._file.close()
        index = self.path.with_suffix(".npz")
        self._write_index(index)
        return Dataset(self.path, index, len(self._created), self._end)

    def _write_index(self, index: Path) -> None:
        versions = np.array(self._versions, dtype=np.int64).reshape(-1, 4)
        versions = versions[np.argsort(versions[:, 1], kind="stable")]
        with index.open("wb") as file:
            np.savez(file, created=np.array(self._created, dtype=np.int64), versions=versions)


def build(
    path: Path, mix: Mix, sessions: int, *, seed: int = 1, batches: int = 0, changes: int = 0
) -> Dataset:
    """A history that ends at `END`, then `batches` of `changes`, one batch an hour."""
    author = Author(seed)
    writer = _Writer(path)
    for made in author.history(mix, sessions):
        writer.add(writer.start(made.created), made.updated, made.body)
    rng = random.Random(f"changes/{seed}")
    for batch in range(batches):
        for session in _touched(rng, sessions, changes):
            at = _some_time(rng, batch)
            writer.add(session, at, changed(writer.read(session), at, author.line()))
    return writer.close()


def build_lanes(
    path: Path, sessions: int, *, changes: int, costs: int, deletions: int, seed: int = 1
) -> dict[Lane, Dataset]:
    """One history that ends at `END`, and four data sets with different changes in the hour after it.

    `nothing`: no change · `changes`: this number of sessions, most of them recent, get a message · `costs`: this number,
    spread over the history and without costs so far, get costs · `deletions`: this number, spread over it, are deleted.
    """
    author = Author(seed)
    writer = _Writer(path)
    late, complete = set(_spread(sessions, costs)), dict[int, bytes]()
    for made in author.history("plain", sessions):
        session = writer.start(made.created)
        if session in late:
            complete[session] = made.body
        writer.add(session, made.updated, made.pending if session in late else made.body)
    rng = random.Random(f"lanes/{seed}")
    lanes = dict[Lane, Dataset]()
    with writer.lane("nothing") as lanes["nothing"]:
        pass
    with writer.lane("changes") as lanes["changes"]:
        for session in _touched(rng, sessions, changes):
            at = _some_time(rng)
            writer.add(session, at, changed(writer.read(session), at, author.line()))
    with writer.lane("costs") as lanes["costs"]:
        for session, body in complete.items():
            at = _some_time(rng)
            writer.add(session, at, restamped(body, at))
    with writer.lane("deletions") as lanes["deletions"]:
        for session in _spread(sessions, deletions):
            writer.remove(session, _some_time(rng))
    writer.close()
    return lanes


def build_emulated(path: Path, sessions: int, *, seed: int = 1) -> Dataset:
    """A history of the emulator: a month that ends at `END`, with odd shapes."""
    from vapi_emulator.generate import History, generate
    from vapi_emulator.switches import DEFAULT_ORG

    writer = _Writer(path)
    for batch in generate(History(org_id=DEFAULT_ORG, sessions=sessions, until_us=END, seed=seed)):
        for row in batch:
            session = writer.start(row.created_us - row.created_us % 1000)
            writer.add(session, row.updated_us - row.updated_us % 1000, row.body)
    return writer.close()


def _some_time(rng: random.Random, batch: int = 0) -> int:
    """A random time in a batch of changes, µs, in whole milliseconds."""
    at = END + (batch + 1) * HOUR + int(rng.random() * _CHANGES_TAKE)
    return at - at % 1000


def _spread(sessions: int, some: int) -> list[int]:
    """Numbers of `some` sessions at equal distances."""
    return [(2 * n + 1) * sessions // (2 * some) for n in range(some)]


def read_at(batch: int) -> int:
    """A time at which a batch of changes is complete and settled, µs."""
    return END + (batch + 1) * HOUR + _READ_AFTER


def build_hours(path: Path, sessions: int, *, hours: int = 6, versions: int = 5, seed: int = 1) -> Dataset:
    """Hours of traffic up to `END`. Each conversation begins in these hours and has several versions.

    Most last minutes; one in ten lasts until `END`.
    """
    author = Author(seed)
    writer = _Writer(path)
    rng = random.Random(f"hours/{seed}")
    per_day = sessions * DAY // (hours * HOUR)
    for made in author.history("plain", sessions, per_day=per_day):
        number = writer.start(made.created)
        until = (
            END if rng.random() < 0.1 else min(END, made.created + int(rng.expovariate(1 / 1200) * SECOND))
        )
        for updated, body in grown(made, versions, max(until, made.created + 10_000)):
            writer.add(number, updated, body)
    return writer.close()


def _touched(rng: random.Random, sessions: int, changes: int) -> list[int]:
    """Numbers of distinct sessions, most of them recent, in order."""
    recent = range(max(0, sessions - _RECENT), sessions)
    chosen = set(rng.sample(recent, min(len(recent), round(changes * _RECENT_SHARE))))
    while len(chosen) < min(changes, sessions):
        chosen.add(rng.randrange(sessions))
    return sorted(chosen)


class State:
    """The sessions of a data set at one moment, as the server shows them."""

    def __init__(self, index: Path) -> None:
        with np.load(index) as arrays:
            self.created: Numbers = arrays["created"]
            self._versions: Numbers = arrays["versions"]
        self.moment = 0
        self.updated: Numbers = self.created
        self.offset: Numbers = self.created
        self.length: Numbers = self.created
        self.show(END)

    def show(self, moment: int) -> None:
        """Show every session in its newest version at `moment`; none of those not created yet or deleted."""
        self.moment = moment
        seen = self._versions[: np.searchsorted(self._versions[:, 1], moment, "right")]
        updated = np.full(len(self.created), np.iinfo(np.int64).max)
        offset, length = np.zeros_like(self.created), np.zeros_like(self.created)
        session = seen[:, 0]  # sorted by time: the newest version of a session is assigned last
        updated[session], offset[session], length[session] = seen[:, 1], seen[:, 2], seen[:, 3]
        updated[length == 0] = np.iinfo(np.int64).max  # not created yet, or deleted
        self.updated, self.offset, self.length = updated, offset, length

    def somewhere(self) -> Numbers:
        """The offset of some version of each session, whether it is shown or not."""
        texts = self._versions[self._versions[:, 3] > 0]
        offset = np.zeros_like(self.created)
        offset[texts[:, 0]] = texts[:, 2]
        return offset

    def find(self, created: tuple[int, int], updated: tuple[int, int]) -> Any:
        """Numbers of the sessions within both half-open windows, in order of creation."""
        first, last = np.searchsorted(self.created, created, "left")
        part = self.updated[first:last]
        return np.flatnonzero((part >= updated[0]) & (part < min(updated[1], self.moment + 1))) + first
