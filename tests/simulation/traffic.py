"""Changes of the source between two requests. Each kind is counted, and must occur in some seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, MINUTE

from . import contents
from .model import Model, Session


class Traffic:
    """Random changes. `page` is the page size in use: some blocks of ties fill whole pages, others do not."""

    def __init__(
        self, model: Model, rng: random.Random, *, page: int, fired: Counter[str], late: int
    ) -> None:
        self.model = model
        self.rng = rng
        self.page = page
        self.fired = fired
        self.late = (
            late  # µs, longer than the settling delay and the lookback; 0: nothing is late in this world
        )
        self.weights: dict[Callable[[], bool], float] = {
            self.create: 6,
            self.create_in_the_past: 1.5,
            self.append: 10,
            self.shrink: 0.7,
            self.complete: 4,
            self.bill: 2,
            self.bill_silently: 1.2,
            self.expire_silently: 1,
            self.bulk_update: 2.5,
            self.delete: 1.5,
            self.delete_many: 0.1,
            self.recreate: 0.7,
            self.bring_back: 1.2,
            self.make_odd: 1.2,
            self.block: 0.25,
            self.touch_block: 0.5,
            self.retention: 0.2,
            self.commit_late: 0.6,
            self.restless: 2,
        }
        self._restless: Session | None = None

    def happen(self) -> None:
        """One random change."""
        action = self.rng.choices(list(self.weights), list(self.weights.values()))[0]
        if action():
            self.fired[f"traffic: {action.__name__}"] += 1

    def history(self, sessions: int) -> None:
        """The sessions before the first sync: a few weeks, with busy times and gaps."""
        clock = self.model.clock
        present = clock.true
        moments = sorted(
            present - int(self.rng.random() ** 3 * 20 * DAY) - 5 * MINUTE for _ in range(sessions)
        )
        for moment in moments:
            clock.true = moment
            session = self.model.create(contents.begin(self.rng))
            for _ in range(self.rng.randrange(3)):
                clock.true = min(present - MINUTE, clock.true + int(self.rng.random() * HOUR))
                contents.append(self.rng, self.model.change(session))
                self.model.commit(session)
            if self.rng.random() < 0.4:
                contents.complete(self.rng, self.model.change(session))
                self.model.commit(session)
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            clock.true = present - int(self.rng.random() ** 3 * 20 * DAY) - 5 * MINUTE
            self.block()
            if self.rng.random() < 0.7:
                clock.true += MINUTE
                self.touch_block()
        clock.true = present

    # -- kinds ---------------------------------------------------------------------------------------------------

    def create(self) -> bool:
        """A new session."""
        self.model.create(contents.begin(self.rng))
        return True

    def create_in_the_past(self) -> bool:
        """An import: a session created long ago and updated now."""
        ago = self.rng.choice((MINUTE, HOUR, 3 * DAY)) * self.rng.random()
        created = max(self.model.oldest_kept(), self.model.clock.source() - int(ago))
        self.model.create(contents.begin(self.rng), created_at=created)
        return True

    def append(self) -> bool:
        """A new message, mostly in a recent session."""
        return self._alter(contents.append)

    def shrink(self) -> bool:
        """Messages are removed."""
        return self._alter(contents.shrink)

    def complete(self) -> bool:
        """A session ends."""
        return self._alter(contents.complete)

    def bill(self) -> bool:
        """Costs arrive, and `updatedAt` changes."""
        return self._alter(contents.bill)

    def bill_silently(self) -> bool:
        """Costs arrive, and `updatedAt` does not change."""
        return self._alter(contents.bill, silent=True)

    def expire_silently(self) -> bool:
        """A session expires, and `updatedAt` does not change."""
        return self._alter(contents.expire, silent=True)

    def make_odd(self) -> bool:
        """Unknown or retyped fields."""
        return self._alter(contents.make_odd)

    def spoil(self) -> bool:
        """A session becomes unreadable until its next change."""
        alive = self.model.alive()
        if len(alive) < 4:
            return False
        self.model.commit(self.rng.choice(alive), spoilt=True)
        return True

    def bulk_update(self) -> bool:
        """Many sessions get the same `updatedAt`."""
        alive = self.model.alive()
        if not alive:
            return False
        at = self.model.clock.source()
        for session in self.rng.sample(
            alive, min(len(alive), self.rng.choice((3, self.page, 2 * self.page)))
        ):
            contents.append(self.rng, self.model.change(session))
            self.model.commit(session, at=at, delay=0)
        return True

    def delete(self) -> bool:
        """One session is deleted."""
        alive = self.model.alive()
        if len(alive) < 3:
            return False
        self.model.delete(self.rng.choice(alive))
        return True

    def delete_many(self) -> bool:
        """Half of the sessions are deleted, which trips the circuit breaker."""
        alive = self.model.alive()
        if len(alive) < 30:
            return False
        for session in self.rng.sample(alive, len(alive) // 2):
            self.model.delete(session)
        return True

    def recreate(self) -> bool:
        """A session is deleted, and its content gets a new id."""
        alive = self.model.alive()
        if not alive:
            return False
        session = self.rng.choice(alive)
        self.model.delete(session)
        self.model.create(session.fields)
        return True

    def bring_back(self) -> bool:
        """A deletion is undone."""
        now = self.model.clock.true
        gone = [s for s in self.model.sessions.values() if s.deleted(now)]
        if not gone:
            return False
        self.model.bring_back(self.rng.choice(gone))
        return True

    def block(self) -> bool:
        """Several sessions created at the same instant: a few, or one or two pages, exactly or with one more."""
        count = self.rng.choice((1, 2, self.page, self.page + 1, 2 * self.page, 2 * self.page + 1))
        at = self.model.clock.source()
        for _ in range(count):
            created = (
                at if self.rng.random() < 0.8 else at - at % MILLISECOND + self.rng.randrange(MILLISECOND)
            )
            self.model.create(contents.begin(self.rng), created_at=created, delay=0)
        size = "two pages" if count >= 2 * self.page else "a page" if count >= self.page else "few"
        self.fired[f"ties of {size}"] += 1
        return True

    def touch_block(self) -> bool:
        """Sessions created at one instant are also updated at one instant."""
        alive = self.model.alive()
        if not alive:
            return False
        instants = Counter(s.created_at // MILLISECOND for s in alive)
        instant, count = instants.most_common(1)[0]
        if count < 2:
            return False
        at = self.model.clock.source()
        for session in alive:
            if session.created_at // MILLISECOND == instant:
                contents.append(self.rng, self.model.change(session))
                self.model.commit(session, at=at, delay=0)
        return True

    def retention(self) -> bool:
        """The oldest sessions are no longer listed, or listed again."""
        created = sorted(s.created_at for s in self.model.sessions.values())
        if len(created) < 8:
            return False
        if self.model.oldest_kept() and self.rng.random() < 0.3:
            self.model.keep_since(0)
            self.fired["retention grows"] += 1
            return True
        position = self.rng.randrange(1, max(2, len(created) // 4))
        self.model.keep_since(max(self.model.oldest_kept(), created[position]))
        return True

    def commit_late(self) -> bool:
        """A change that becomes visible later than promised."""
        if not self.late:
            return False
        return self._alter(contents.append, delay=self.late + int(self.rng.random() * self.late))

    def restless(self) -> bool:
        """One session changes again and again, and so is hardly ever in a closed window."""
        now = self.model.clock.true
        if self._restless is None or self._restless.deleted(now) or self.rng.random() < 0.05:
            alive = self.model.alive()
            if not alive:
                return False
            self._restless = self.rng.choice(alive)
        contents.append(self.rng, self.model.change(self._restless))
        self.model.commit(self._restless)
        return True

    def _alter(
        self,
        how: Callable[[random.Random, contents.Fields], None],
        *,
        silent: bool = False,
        delay: int | None = None,
    ) -> bool:
        """Alter the fields of one session and commit it; half of the time one of the newest 15."""
        alive = self.model.alive()
        if not alive:
            return False
        recent = max(0, len(alive) - 15)
        session = (
            alive[self.rng.randrange(recent, len(alive))]
            if self.rng.random() < 0.5
            else self.rng.choice(alive)
        )
        how(self.rng, self.model.change(session))
        self.model.commit(session, silent=silent, delay=delay)
        return True
