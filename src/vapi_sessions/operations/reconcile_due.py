"""Whether a reconcile is due after a sync, for those who have one line in their crontab: `sync --reconcile-every 24h`."""

from __future__ import annotations

from typing import Final

from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import reader
from vapi_sessions.warehouse.published_state import PublishedState

#: A reconcile is due this share of the interval early: with a daily sync and 24h, the last one began a moment less than a day ago.
_EARLY: Final = 0.1


def is_due(settings: Settings, *, environment: Environment | None = None) -> bool:
    """Whether the last successful reconcile began `reconcile_every` ago. Before the first one, the first successful sync counts:
    it has just read everything.
    """
    every = settings.reconcile_every
    if every is None:
        return False
    now = (environment or Environment()).now()
    with reader.reading(settings.warehouse) as db:
        state = PublishedState(db)
        if state.ledger().org_id is None:  # the source has never listed a session
            return False
        last = state.last_success("reconcile")
    return last is not None and now - last >= every * (1 - _EARLY)
