"""Mistakes in which state of a session wins, in what the index keeps of it, and in which tables are then dirty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from vapi_sessions.transform import resolve as resolving
from vapi_sessions.transform.resolve import Known, Resolution, Sighting, Tombstone, Unreadable
from vapi_sessions.warehouse import derive, index_rows

from .planting import Planting, mutant

Seen = Iterable[Sighting | Unreadable]


@mutant("merge without the guard", "reordered")
def without_the_guard(planting: Planting) -> None:
    planting.around(resolving, "_is_later", lambda inner, *given: planting.swap(inner(*given), True))


@mutant("a change without updatedAt is ignored")
def silent_change_ignored(planting: Planting) -> None:
    def is_later(inner: Any, one: Sighting, position: tuple[int, int]) -> bool:
        return planting.swap(inner(one, position), one.updated_at > position[0])

    planting.around(resolving, "_is_later", is_later)


@mutant("merge without the de-duplication")
def without_de_duplication(planting: Planting) -> None:
    """Each state in a batch that wins against the index gets a row, not only the newest one of a session."""
    others: list[tuple[str, Known]] = []

    def resolve(inner: Any, sightings: Seen, known: Mapping[str, Known], *given: Any, **named: Any) -> Any:
        sightings = list(sightings)
        result: Resolution = inner(sightings, known, *given, **named)
        others.clear()
        for one in sightings:
            if isinstance(one, Sighting):
                alone: Resolution = inner([one], known, *given, **named)
                won = alone.held.get(one.session_id) if one.session_id in alone.won else None
                if won is not None and (won.updated_at, won.seq) < _place(result.held[one.session_id]):
                    others.append((one.session_id, won))
        return result

    def rows(inner: Any, held: Mapping[str, Known]) -> pa.Table:
        planting.changed(when=bool(others))
        return pa.concat_tables([inner(held), *(inner({name: known}) for name, known in others)])

    planting.around(resolving, "resolve", resolve)
    planting.around(index_rows, "to_arrow", rows)


def _place(known: Known) -> tuple[int, int]:
    return known.updated_at, known.seq


@mutant("both states of a session that is twice in a batch are staged")
def staged_twice(planting: Planting) -> None:
    planting.around(derive, "latest", lambda inner, seen: planting.swap(inner(seen), list(seen)))


@mutant("tombstones are never removed")
def tombstones_stay(planting: Planting) -> None:
    def resolve(inner: Any, sightings: Seen, known: Mapping[str, Known], *given: Any, **named: Any) -> Any:
        sightings = [*sightings]
        result: Resolution = inner(sightings, known, *given, **named)
        for name in {one.session_id for one in sightings if isinstance(one, Sighting)}:
            before = known.get(name)
            held = result.held.get(name, before)
            tombstones = [
                Tombstone(one.kind, one.requested_at, one.seq)
                for one in sightings
                if isinstance(one, Sighting) and one.session_id == name and one.kind != "seen"
            ]
            if before is not None and before.tombstone is not None:
                tombstones.append(before.tombstone)
            if held is None or not tombstones:
                continue
            wrong = replace(held, tombstone=max(tombstones, key=lambda tombstone: tombstone.seq))
            planting.changed(when=wrong != held)
            if wrong == before:
                result.held.pop(name, None)
                result.dirty.pop(name, None)
            else:
                result.held[name] = wrong
                result.dirty[name] = resolving._dirty(before, wrong)
        return result

    planting.around(resolving, "resolve", resolve)


def _winners(planting: Planting, wrong: Callable[[Known, Sighting], Known]) -> None:
    """Replace what the index keeps of each session whose new state wins."""

    def resolve(inner: Any, sightings: Seen, known: Mapping[str, Known], *given: Any, **named: Any) -> Any:
        sightings = [*sightings]
        result: Resolution = inner(sightings, known, *given, **named)
        states = {
            (one.session_id, one.seq, one.updated_at): one for one in sightings if isinstance(one, Sighting)
        }
        for name in result.won:
            right = result.held[name]
            made = planting.swap(right, wrong(right, states[name, right.seq, right.updated_at]))
            result.held[name] = made
            result.dirty[name] = resolving._dirty(known.get(name), made)
        return result

    planting.around(resolving, "resolve", resolve)


@mutant("first_synced_at is overwritten")
def first_synced_overwritten(planting: Planting) -> None:
    _winners(planting, lambda held, state: replace(held, first_synced_at=state.requested_at))


@mutant("first_seen_at of a message is overwritten")
def first_seen_overwritten(planting: Planting) -> None:
    def wrong(held: Known, state: Sighting) -> Known:
        return replace(held, growth=((held.updated_at, held.head.message_count),))

    _winners(planting, wrong)


@mutant("unreadable sessions are dropped", "spoilt")
def unreadable_dropped(planting: Planting) -> None:
    def resolve(inner: Any, sightings: Seen, *given: Any, **named: Any) -> Resolution:
        sightings = [*sightings]
        readable = [one for one in sightings if not isinstance(one, Unreadable)]
        result: Resolution = inner(planting.swap(sightings, readable), *given, **named)
        return result

    planting.around(resolving, "resolve", resolve)


@mutant("sessions that can be read again stay listed as unreadable", "spoilt")
def never_released(planting: Planting) -> None:
    def resolve(inner: Any, *given: Any, **named: Any) -> Resolution:
        result: Resolution = inner(*given, **named)
        result.released = planting.swap(result.released, set())
        return result

    planting.around(resolving, "resolve", resolve)


# -- which tables are dirty


Tables = frozenset[str]


def _dirty(planting: Planting, wrong: Callable[[Known | None, Known, Tables], Tables]) -> None:
    def dirty(inner: Any, before: Known | None, held: Known) -> Tables:
        right: Tables = inner(before, held)
        return planting.swap(right, wrong(before, held, right))

    planting.around(resolving, "_dirty", dirty)


@mutant("tool calls are not published when messages change", "published")
def tool_calls_stay(planting: Planting) -> None:
    _dirty(planting, lambda before, held, right: right - {"tool_calls"})


@mutant("costs that arrive are not published", "published")
def costs_stay(planting: Planting) -> None:
    _dirty(planting, lambda before, held, right: right - {"costs"})


@mutant("structured outputs that arrive are not published", "published")
def outputs_stay(planting: Planting) -> None:
    _dirty(planting, lambda before, held, right: right - {"structured_outputs"})


@mutant("messages are not published again when an older state turns up", "published")
def first_seen_unpublished(planting: Planting) -> None:
    """Only their `first_seen_at` changes."""

    def wrong(before: Known | None, held: Known, right: Tables) -> Tables:
        same = before is not None and before.head.messages_hash == held.head.messages_hash
        return right - {"messages"} if same else right

    _dirty(planting, wrong)
