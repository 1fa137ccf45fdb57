"""Simulated traffic: sessions are created, continued, completed, charged, changed in bulk, and deleted.

`LiveTraffic.step` makes one change, which the store and the random generator determine. `LiveTraffic.start` calls it
from a thread, at a given rate.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Literal, Self

from vapi_emulator import EmulatorError
from vapi_emulator.conversations import complete, open_session, set_costs, set_pending, write_turns
from vapi_emulator.store import Store
from vapi_emulator.stored import Session
from vapi_emulator.talk import customer, customer_of

Change = Literal["create", "append", "complete", "cost", "bulk", "delete"]

#: The relative frequency of each kind of change.
WEIGHTS: Final[Mapping[Change, int]] = {
    "create": 25,
    "append": 42,
    "complete": 12,
    "cost": 14,
    "bulk": 1,
    "delete": 6,
}
#: Traffic prefers sessions that changed recently: their rank is exponentially distributed with this mean.
_RECENT: Final = 60.0
_BULK: Final = 150
_CUSTOMERS: Final = 500


class LiveTraffic:
    """Changes the sessions of one organisation. `made` counts the changes by kind.

    `created`, `changed` and `deleted` are the ids of the sessions concerned. One change can concern many sessions (`bulk`), and
    several changes one session: it may be in all three.
    """

    def __init__(
        self,
        store: Store,
        org_id: str,
        *,
        rate: float = 1.0,
        seed: int = 1,
        oddities: bool = True,
        late_cost_moves_updated_at: bool = True,
        weights: Mapping[Change, int] = WEIGHTS,
    ) -> None:
        if not 0 < rate <= 1000:
            raise EmulatorError(
                f"A rate of {rate:g} changes per second is not possible.",
                "Choose more than 0 and at most 1000.",
            )
        self._store = store
        self._org_id = org_id
        self._rate = rate
        self._random = random.Random(f"traffic/{seed}")
        self._oddities = oddities
        self._late_cost_touches = late_cost_moves_updated_at
        self._kinds = list(weights)
        self._weights = list(weights.values())
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self.made: Counter[Change] = Counter()
        self.created: set[str] = set()
        self.changed: set[str] = set()
        self.deleted: set[str] = set()
        #: Sessions that bulk jobs changed, each counted once a job.
        self.renamed = 0
        #: The exception that ended the thread, if any.
        self.error: Exception | None = None

    def step(self, rng: random.Random | None = None) -> Change:
        """Make one change at the current time of the store; returns its kind. If no session is suitable, creates one."""
        rng = rng or self._random
        kind = rng.choices(self._kinds, self._weights)[0]
        if not self._make(kind, rng):
            kind = "create"
            self._create(rng)
        self.made[kind] += 1
        return kind

    def steps(self, count: int) -> Counter[Change]:
        """Make several changes; returns how many of each kind."""
        return Counter(self.step() for _ in range(count))

    def _make(self, kind: Change, rng: random.Random) -> bool:
        makers: dict[Change, Callable[[random.Random], bool]] = {
            "create": self._create,
            "append": self._append,
            "complete": self._complete,
            "cost": self._fill_cost,
            "bulk": self._bulk,
            "delete": self._delete,
        }
        return makers[kind](rng)

    def _pick(self, rng: random.Random, where: str, mean: float = _RECENT) -> str | None:
        """The id of a suitable session, preferably one that changed recently."""
        for offset in (int(rng.expovariate(1 / mean)), 0):
            found = self._store.ids(self._org_id, where, "updated_us DESC, seq DESC", 1, offset)
            if found:
                return found[0]
        return None

    def _change(
        self, session_id: str | None, change: Callable[[Session], object], *, touch: bool = True
    ) -> bool:
        if session_id is None or self._store.update(self._org_id, session_id, change, touch=touch) is None:
            return False
        self.changed.add(session_id)
        return True

    def _create(self, rng: random.Random) -> bool:
        now = self._store.now_us()
        who = customer(int(rng.random() ** 2 * _CUSTOMERS))
        session = open_session(rng, self._org_id, who, now, oddities=self._oddities)
        if rng.random() < 0.95:
            write_turns(rng, session, who, now, rng.randrange(3), returning=False, oddities=self._oddities)
        set_pending(rng, session, oddities=self._oddities)
        self._store.add(session, created_us=now, updated_us=now)
        self.created.add(session["id"])
        return True

    def _append(self, rng: random.Random) -> bool:
        # One in ten continues an old conversation.
        returning = rng.random() < 0.1
        session_id = self._pick(rng, "status = 'active'", _RECENT * 20 if returning else _RECENT)
        turns = 1 + rng.randrange(3)
        now = self._store.now_us()

        def change(session: Session) -> None:
            who = customer_of(session)
            write_turns(rng, session, who, now, turns, returning=returning, oddities=self._oddities)
            set_pending(rng, session, oddities=self._oddities)

        return self._change(session_id, change)

    def _complete(self, rng: random.Random) -> bool:
        now = self._store.now_us()

        def change(session: Session) -> None:
            complete(rng, session, now, oddities=self._oddities)
            set_pending(rng, session, oddities=self._oddities)

        return self._change(self._pick(rng, "status = 'active'"), change)

    def _fill_cost(self, rng: random.Random) -> bool:
        return self._change(
            self._pick(rng, "pending = 1"),
            lambda session: set_costs(rng, session, oddities=self._oddities),
            touch=self._late_cost_touches,
        )

    def _bulk(self, rng: random.Random) -> bool:
        total = self._store.count(self._org_id)
        offset = rng.randrange(max(1, total - _BULK))
        ids = self._store.ids(self._org_id, limit=_BULK, offset=offset)
        name = f"Campaign {rng.randrange(100)}"
        self.changed.update(ids)
        renamed = self._store.update_many(self._org_id, ids, lambda session: session.update(name=name))
        self.renamed += renamed
        return renamed > 0

    def _delete(self, rng: random.Random) -> bool:
        session_id = self._pick(rng, "1", _RECENT * 5)
        if session_id is None or self._store.delete(self._org_id, session_id) is None:
            return False
        self.deleted.add(session_id)
        return True

    # -- the thread

    def start(self) -> Self:
        """Make changes from a thread until `stop` is called."""
        self._halt.clear()
        self._thread = threading.Thread(target=self._run, name="emulator-traffic", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread, if there is one."""
        self._halt.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        pauses = random.Random(self._rate)
        try:
            while not self._halt.wait(min(5.0, pauses.expovariate(self._rate))):
                self.step()
        except Exception as error:  # a thread cannot raise to its starter
            self.error = error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
