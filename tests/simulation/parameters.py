"""The parameters of a world: how its source behaves, what goes wrong, and the sizes that the engine works with."""

from __future__ import annotations

import random
from typing import Final

from vapi_sessions.core.timestamps import MINUTE, SECOND

from . import faults
from .model import Shape
from .themes import drawn

#: Share of the worlds in which some sessions cannot be read now and then.
_SPOILING: Final = 0.2
#: Share of the worlds in which small raw files are merged. The others are as if there were no merging.
_MERGING: Final = 0.1


class Parameters:
    """Drawn from `seed` in a fixed order: the same seed always gives the same world. Times in µs."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        #: Whether publications run the checks, which equal tables pass. In a twentieth of the worlds, because it takes long.
        self.checking = seed % 20 == 0
        self.rng = rng = random.Random(seed)
        #: Sessions on one page.
        self.page = rng.choice((3, 4, 5, 5, 7, 10, 20))
        self.settle = rng.choice((0, 10 * SECOND, MINUTE, MINUTE))
        self.lookback = rng.choice((0, MINUTE, 15 * MINUTE, 15 * MINUTE))
        #: How old an answer of a lagging replica may be.
        self.lag = rng.choice((0, 0, self.settle // 2))
        capped = rng.random() < 0.15
        # A sync finds every change that becomes visible within this time.
        promised = self.settle + self.lookback - self.lag
        self.model_seed = rng.random()
        #: How the source behaves at first.
        self.shape = Shape(
            micro_shown=rng.random() < 0.2,
            filter_on_micro=rng.random() < 0.5,
            shuffle_ties=rng.random() < 0.5,
            page_cap=max(2, self.page - rng.randint(1, 3)) if capped else None,
            cap_admitted=rng.random() < 0.7,
            says_beyond_retention=rng.random() < 0.5,
            delay=rng.choice((0, promised // 2, max(0, promised - SECOND))),
        )
        self.traffic_seed = rng.random()
        #: Delay of a late change, longer than promised; 0: nothing is late.
        self.late = promised + MINUTE if rng.random() < 0.25 else 0
        #: Changes between two requests, on average.
        self.busy = rng.choice((0, 0.3, 0.8, 2))
        self.fault_rate = rng.choices((0, 0.03, 0.12, 0.4), (3, 2, 4, 0.4))[0]
        #: The fault that is most frequent in this world.
        self.leaning = rng.choice((*faults.LIES, *faults.LIES, *faults.BREAKAGES))
        #: How likely that fault is repeated on the next request, as by one bad replica or proxy.
        self.repeating = 0.0
        #: Whether pages of different windows arrive in another order than they were requested.
        self.reordering = rng.random() < 0.5
        #: How likely a page arrives late in that case.
        self.held_back = 0.4
        #: Whether the window that is open to the right is read last and its pages arrive before those of other windows.
        self.newest_first = False
        #: Whether every run publishes. Publishing takes as long as the rest of a run, and reading and merging do not depend
        #: on it. In the other worlds only the last run publishes, and is compared with the model in every column.
        self.publishing = rng.random() < 1 / 3
        #: How far the two clocks are from true time.
        self.source_off = rng.randint(-30, 30) * SECOND if rng.random() < 0.3 else 0
        self.ours_off = rng.randint(-30, 30) * SECOND if rng.random() < 0.3 else 0
        self.stop_rate = rng.choice((0, 0.6))
        #: Sizes of the engine, see `engine.scaled_down`.
        self.knobs: dict[str, int] = {
            "batch_bytes": rng.choices((1, 2_000, 6_000, 32 << 20), (0.4, 1.5, 3, 4))[0],
            "pages_a_window": rng.choice((1, 2, 4, 20)),
            "small": rng.choice((2, 5, 100)),
            "sessions_a_part": rng.choice((12, 8_000, 8_000, 8_000)),
            "staged_most": rng.choice((20_000, 10**9, 10**9)),
            "ids_a_request": rng.choice((2, 5, 100)),
            "breaker_least": rng.choice((3, 20)),
        }
        #: How likely a run after the first is a reconcile.
        self.reconciles = 0.35
        #: How likely a run uses the key of another organisation.
        self.foreign = 0.2
        #: The rate of faults for requests of one session by its id.
        self.fault_rate_by_id = self.fault_rate
        self.runs = rng.choice((1, 1, 2, 2))
        #: Sessions before the first run.
        self.history = rng.choice((4, 10, 20, 30))
        #: A key of `THEMES`, or "".
        self.theme = drawn(rng.random())
        #: Whether small raw files are merged, by syncs and by `maintain`, and come back from a backup now and then.
        self.merging = random.Random(f"merging {seed}").random() < _MERGING
        if self.merging:
            self.theme = "merging"
        self.spoiling = random.Random(f"spoilt {seed}").random() < _SPOILING
