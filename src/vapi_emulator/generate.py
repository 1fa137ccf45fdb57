"""Generates a history of sessions, with busy days and quiet nights. The same seed gives the same history.

Sessions are generated in order of creation and in batches, so that a history may be larger than memory.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from vapi_emulator import EmulatorError
from vapi_emulator.conversations import finish, open_session
from vapi_emulator.store import Store
from vapi_emulator.stored import StoredSession, make_row
from vapi_emulator.talk import Talk, choose_style, customer
from vapi_emulator.times import DAY_US, SECOND_US, from_us

_HOUR_US: Final = 3_600 * SECOND_US
_BATCH: Final = 2_000
_MAX_TURNS: Final = 80
#: How busy each hour of the day (UTC) and each day of the week is, as relative weights.
_HOURS: Final = (2, 1, 1, 0, 0, 1, 3, 8, 18, 30, 36, 34, 28, 30, 34, 36, 34, 30, 26, 22, 16, 10, 6, 3)
_WEEKDAYS: Final = (1.35, 1.1, 1.0, 1.0, 1.05, 0.5, 0.35)
#: Now and then a bulk job changes this share of the old sessions, all at the same time.
_BULK_EVERY_US: Final = 14 * DAY_US
_BULK_SHARE: Final = 0.015


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What to generate. `until_us` is the current time, at which recent costs are still pending.

    `oddities`: include shapes that occur but that the contract does not declare (chat form, unknown fields, roles and
    cost types, nulls). Without them every session is valid by the contract.
    """

    org_id: str
    sessions: int
    until_us: int
    days: float = 30.0
    seed: int = 1
    oddities: bool = True

    def __post_init__(self) -> None:
        if self.sessions < 0 or not 0 < self.days <= 3_650:
            raise EmulatorError(
                f"Cannot generate {self.sessions} sessions over {self.days:g} days.",
                "Give 0 or more sessions, and more than 0 and at most 3650 days.",
            )

    @property
    def since_us(self) -> int:
        """The beginning."""
        return self.until_us - int(self.days * DAY_US)


def fill(store: Store, history: History) -> int:
    """Generate a history into a store; returns its number of sessions."""
    return sum(store.insert_many(batch) for batch in generate(history))


def generate(history: History) -> Iterator[list[StoredSession]]:
    """The sessions of a history, in order of creation and in batches."""
    rng = random.Random(f"{history.seed}/{history.org_id}")
    batch: list[StoredSession] = []
    created_us = history.since_us
    for hour_us, count in _per_hour(history, rng):
        end_us = min(hour_us + _HOUR_US, history.until_us)
        for moment in sorted(rng.randrange(hour_us, end_us) for _ in range(count)):
            created_us = _sometimes_tied(rng, moment, created_us)
            batch.append(_session(rng, history, created_us))
            if len(batch) >= _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _per_hour(history: History, rng: random.Random) -> Iterator[tuple[int, int]]:
    """How many sessions begin in each hour."""
    starts = list(range(history.since_us, history.until_us, _HOUR_US))
    weights: list[float] = []
    busy = 1.0
    for n, start in enumerate(starts):
        when = from_us(start)
        if n == 0 or when.hour == 0:  # some days are twice as busy as others
            busy = rng.choice((0.7, 0.9, 1.0, 1.0, 1.2, 2.0))
        partial = min(1.0, (history.until_us - start) / _HOUR_US)
        weights.append((_HOURS[when.hour] + 0.05) * _WEEKDAYS[when.weekday()] * busy * partial)
    bounds = list(accumulate(weights))
    counts = [0] * len(starts)
    for _ in range(history.sessions):
        counts[bisect(bounds, rng.random() * bounds[-1])] += 1
    return zip(starts, counts, strict=True)


def _sometimes_tied(rng: random.Random, moment: int, previous: int) -> int:
    """Sometimes two sessions are created in the same millisecond, or at exactly the same time."""
    chance = rng.random()
    if chance < 0.004:
        return previous
    if chance < 0.008:
        return previous + (999 - previous % 1000) // 2
    return max(moment, previous)


def _session(rng: random.Random, history: History, created_us: int) -> StoredSession:
    oddities = history.oddities
    # Squaring prefers low numbers: a few customers come often, most come once or twice.
    who = customer(int(rng.random() ** 2 * max(10, history.sessions // 3)))
    session = open_session(rng, history.org_id, who, created_us, oddities=oddities)
    style = choose_style(rng, oddities=oddities)
    talk = Talk(rng, who, style, created_us, end_us=history.until_us, oddities=oddities)
    if rng.random() < 0.92:
        talk.system()
    if rng.random() < 0.9:
        talk.greet()
    if rng.random() < 0.97:  # the other customers say nothing
        _converse(rng, talk, session)
    session["messages"] = talk.messages
    if not talk.messages and rng.random() < 0.5:
        del session["messages"]
    last_us = min(talk.now_us, history.until_us - 1)
    updated_us = finish(rng, session, last_us, history.until_us, oddities=oddities)
    updated_us = _bulk(rng, history, updated_us)
    return make_row(session, created_us, max(updated_us, created_us), (last_us - created_us) / SECOND_US)


def _converse(rng: random.Random, talk: Talk, session: dict[str, object]) -> None:
    for _ in range(min(1 + int(rng.expovariate(1 / 6.5)), _MAX_TURNS)):
        talk.turn()
    if rng.random() < 0.7:
        talk.close()
    while rng.random() < 0.12:  # the customer returns days later
        gap = int(min(rng.expovariate(1 / 3.0), 25.0) * DAY_US)
        if talk.now_us + gap >= talk.end_us:
            break
        session["expirationSeconds"] = 2_592_000
        talk.now_us += gap
        talk.return_later()
        for _ in range(1 + int(rng.expovariate(1 / 3))):
            talk.turn()


def _bulk(rng: random.Random, history: History, updated_us: int) -> int:
    """The time of the last change: for some sessions that of the next bulk job."""
    if rng.random() >= _BULK_SHARE:
        return updated_us
    first = history.since_us + 3 * DAY_US
    runs = max(0, -(-(updated_us - first) // _BULK_EVERY_US))
    moment = first + runs * _BULK_EVERY_US
    return moment if moment < history.until_us else updated_us
