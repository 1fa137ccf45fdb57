"""Which fields without a column the user was told of, so that a field is news once. The fact `told_drift` in `sync.state`.

A field joins the fact as new in the transaction of the batch that has it, or of the publication that derives it from `raw/`. It counts
as told after a run has told it. So a run that is killed leaves its news to the next one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from vapi_sessions.core.wording import counted
from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse.index import Changes, Index

FACT: Final = "told_drift"
#: Fields that are remembered, and so told. A warehouse with so many has names that are data: one more is no news.
MOST: Final = 1_000
#: Fields that a message names.
_NAMED: Final = 5
#: What the fields beyond the limit of one batch are counted as.
_OTHER: Final = "other"


class _Fields(msgspec.Struct):
    """`told` and `new` have no field in common. `complete`: the fields that earlier runs found are in `told`."""

    told: list[str] = []
    new: list[str] = []
    complete: bool = False


def prepare(index: Index, others: Iterable[Path] = ()) -> None:
    """Make an index know what was told before: by the first of the `others`, earlier databases of this warehouse, that has the fact,
    or else by the fields in its table of runs. Does nothing if it knows that.
    """
    fields = _read(index.state())
    if fields.complete:
        return
    before = _of_others(index, others)
    if not before.complete:
        keys = index.rows("SELECT DISTINCT unnest(json_keys(drift)) FROM sync.runs WHERE drift IS NOT NULL")
        before.told += sorted(name for (name,) in keys)
    told = list(dict.fromkeys([*before.told, *fields.told]))[:MOST]
    new = [name for name in dict.fromkeys([*before.new, *fields.new]) if name not in set(told)]
    index.record(Changes(state=_fact(_Fields(told, new[: MOST - len(told)], complete=True))))


def seen(state: Mapping[str, str], found: Iterable[str]) -> dict[str, str]:
    """The fact as it is once rows with these fields are there; {} if it stays the same."""
    names = set(found) - {_OTHER}
    if not names:
        return {}
    fields = _read(state)
    known = {*fields.told, *fields.new}
    fresh = sorted(names - known)[: max(0, MOST - len(known))]
    return _fact(_Fields(fields.told, [*fields.new, *fresh], fields.complete)) if fresh else {}


def news(state: Mapping[str, str]) -> tuple[str, ...]:
    """The fields to tell."""
    return tuple(_read(state).new)


def told(state: Mapping[str, str]) -> dict[str, str]:
    """The fact once they are told."""
    fields = _read(state)
    return _fact(_Fields([*fields.told, *fields.new], [], fields.complete))


def describe(fields: Iterable[str]) -> str:
    """A message about new fields."""
    names = list(fields)
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return (
        f"{counted(len(names), 'new field')} without a column, kept in extra: {', '.join(names[:_NAMED])}{more}; "
        "vapi-sessions status shows all"
    )


def _read(state: Mapping[str, str]) -> _Fields:
    return msgspec.json.decode(state.get(FACT, "{}"), type=_Fields)


def _fact(fields: _Fields) -> dict[str, str]:
    return {FACT: msgspec.json.encode(fields).decode()}


def _of_others(index: Index, others: Iterable[Path]) -> _Fields:
    for other in others:
        if other.exists():
            with contextlib.suppress(WarehouseError, duckdb.Error, msgspec.DecodeError):
                with index.attached(other, read_only=True):
                    found = dict(index.rows("SELECT key, value FROM sync.state WHERE key = ?", [FACT]))
                if found:
                    return _read(found)
    return _Fields()
