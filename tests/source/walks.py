"""Walks through one window of a source that changes between requests and may send wrong responses."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from constants import EPOCH
from source_model import Fault, Session, SourceModel, block, by_id, spread
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.errors import SourceInconsistentError
from vapi_sessions.source.pagination import Cursor, PageRead, decode_cursors, encode_cursors, walk

WINDOW = Window(EPOCH, EPOCH + HOUR)
LATER = EPOCH + 2 * HOUR  # the source's clock: the window is closed
PAGE = 10

History = Callable[[random.Random], list[Session]]


def plain(rng: random.Random) -> list[Session]:
    """150 sessions anywhere in the window, and some before and after it."""
    before = Window(WINDOW.lower - HOUR, WINDOW.lower)
    after = Window(EPOCH + HOUR, LATER)
    return [
        *spread(rng, 150, WINDOW),
        *spread(rng, 40, before, "before"),
        *spread(rng, 40, after, "after"),
    ]


def tied(size: int, *, created: bool, updated: bool) -> History:
    """A block of sessions that share a timestamp, among 40 others."""
    return lambda rng: [
        *spread(rng, 40, WINDOW),
        *block(rng, size, WINDOW, created=created, updated=updated),
    ]


def source(seed: int, history: History, **switches: object) -> SourceModel:
    """A source with this history. The seed decides everything that happens to it."""
    rng = random.Random(seed)
    return SourceModel(by_id(history(rng)), now=LATER, rng=rng, **switches)  # type: ignore[arg-type]


def pages(
    model: SourceModel,
    window: Window = WINDOW,
    *,
    limit: int = PAGE,
    abandon: float = 0.0,
) -> Iterator[PageRead]:
    """All pages of a walk. After each one it is abandoned with probability `abandon`, and resumed from its JSON."""
    left: Sequence[Cursor] = (Cursor(window),)
    chance = random.Random(1)
    while left:
        for page in walk(model.fetch, left, limit=limit):
            yield page
            left = page.left
            if chance.random() < abandon:
                left = decode_cursors(json.loads(encode_cursors(page.left)))
                break


def read(model: SourceModel, window: Window = WINDOW, **how: object) -> list[str]:
    """Ids in the order in which they were read."""
    return [row.session_id for page in pages(model, window, **how) for row in page.rows]  # type: ignore[arg-type]


def lost(model: SourceModel, ids: Iterable[str], window: Window = WINDOW) -> int:
    """The number of sessions that stayed in the closed window and were not read."""
    return len(model.inside(window) - set(ids))


def complete_or_refused(model: SourceModel, **how: object) -> bool:
    """Whether the walk ended. Asserts that a walk that ends has read every session that stayed."""
    try:
        ids = read(model, **how)
    except SourceInconsistentError:
        return False
    missing = lost(model, ids)
    assert missing == 0
    return True


def once(number: int, fault: Fault) -> Fault:
    """A fault of the n-th request only."""
    return lambda model, query, answer: fault(model, query, answer) if model.requests == number else answer
