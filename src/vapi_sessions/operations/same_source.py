"""A warehouse is filled from one source: another address is refused, because its sessions would be taken for changes and deletions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vapi_sessions.core.addresses import is_same_source
from vapi_sessions.errors import other_source
from vapi_sessions.settings import Settings

#: The fact in `sync.state`: the address of the last sync.
ADDRESS: Final = "base_url"


def check_source(state: Mapping[str, str], settings: Settings, *, may_accept: bool = False) -> str | None:
    """Compare the source with the one in `sync.state`, before a request is sent.

    Returns the earlier address if it is another one, `settings.accept_source` is set and the command `may_accept` it, as only a
    sync may: to others, what is missing at the new address would be deletions or differences. Otherwise raises ConfigurationError.
    """
    stored = state.get(ADDRESS)
    if stored is None or is_same_source(stored, settings.base_url):
        return None
    if not (may_accept and settings.accept_source):
        raise other_source(settings.warehouse, stored, settings.base_url)
    return stored
