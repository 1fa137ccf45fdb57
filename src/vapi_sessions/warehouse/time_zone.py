"""The time zone of days and hours in the views. It is set once and stored in `sync.state`; the views are made with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions.errors import ConfigurationError, WarehouseError
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.view_files import UTC

#: The fact in `sync.state`.
_FACT: Final = "time_zone"


def time_zone(state: Mapping[str, str]) -> str:
    """The time zone of a warehouse with these facts."""
    return state.get(_FACT, UTC)


def set_time_zone(index: Index, given: str | None, others: Iterable[Path]) -> None:
    """Store the given time zone, for the next publication; None keeps the stored one.

    A new index has none; then the first of the `others`, databases of the same warehouse, that has one gives it. Raises
    ConfigurationError for a time zone that DuckDB does not know.
    """
    stored = index.state().get(_FACT)
    if given is not None and given != stored and not _is_known(index, given):
        raise ConfigurationError(
            f"DuckDB does not know the time zone '{given}'.",
            "Give --time-zone or VAPI_TIME_ZONE a name such as Europe/Berlin; "
            "SELECT name FROM pg_timezone_names() lists them.",
        )
    zone = given or stored or _found(index, others) or UTC
    if zone != stored:
        index.record(Changes(state={_FACT: zone}))


def _is_known(index: Index, zone: str) -> bool:
    return bool(index.rows("SELECT 1 FROM pg_timezone_names() WHERE name = ?", [zone]))


def _found(index: Index, others: Iterable[Path]) -> str | None:
    for other in others:
        if other.exists():
            with contextlib.suppress(WarehouseError, duckdb.Error), index.attached(other, read_only=True):
                found = index.rows("SELECT value FROM sync.state WHERE key = ?", [_FACT])
                if found and _is_known(index, found[0][0]):
                    return str(found[0][0])
    return None
