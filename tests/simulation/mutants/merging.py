"""Mistakes in which state of a session wins, and in what is remembered of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from vapi_sessions import merge
from vapi_sessions.flatten import Version
from vapi_sessions.merge import Known, Mark, Observation, Resolution, Unreadable

from .planting import Planting, mutant

Observed = Iterable[Observation | Unreadable]


@mutant("merge without the guard", "reordered")
def without_the_guard(planting: Planting) -> None:
    planting.around(merge, "_is_later", lambda inner, *given: planting.swap(inner(*given), True))


@mutant("a change without updatedAt is ignored")
def silent_change_ignored(planting: Planting) -> None:
    def is_later(inner: Any, observation: Observation, position: tuple[int, int]) -> bool:
        return planting.swap(inner(observation, position), observation.updated_at > position[0])

    planting.around(merge, "_is_later", is_later)


@mutant("merge without the de-duplication")
def without_de_duplication(planting: Planting) -> None:
    def resolve(inner: Any, observations: Observed, known: Mapping[str, Known], *aside: Any) -> Resolution:
        observations = list(observations)
        result: Resolution = inner(observations, known, *aside)
        readable = [one for one in observations if isinstance(one, Observation)]
        readable.sort(key=lambda one: (one.session_id, one.updated_at, one.seq))
        each = [inner([one], known, *aside) for one in readable]
        result.versions = planting.swap(result.versions, [v for one in each for v in one.versions])
        odd = [one for one in result.keep if isinstance(one, Unreadable)]
        result.keep = [*(o for one in each for o in one.keep), *odd]
        return result

    planting.around(merge, "resolve", resolve)


@mutant("marks are never lifted")
def marks_stay(planting: Planting) -> None:
    def resolve(inner: Any, observations: Observed, known: Mapping[str, Known], *aside: Any) -> Resolution:
        observations = [*observations]
        result: Resolution = inner(observations, known, *aside)
        written = {version.session_id for version in result.versions}
        for session_id in {one.session_id for one in observations if isinstance(one, Observation)}:
            before = known.get(session_id)
            held = before.mark if before is not None else None
            proofs = {
                o.seq: o
                for o in observations
                if isinstance(o, Observation) and o.session_id == session_id and o.kind != "seen"
            }
            marks = [Mark(o.kind, o.requested_at, o.seq) for o in proofs.values()]
            mark = max([*marks, *([held] if held is not None else [])], key=lambda m: m.seq, default=None)
            if mark is None or (before is None and session_id not in written):
                continue
            planting.changed(when=session_id in result.marks and result.marks[session_id] is None)
            if session_id in written or mark != held:
                result.marks[session_id] = mark
            else:
                result.marks.pop(session_id, None)
            if mark != held and proofs[mark.seq] not in result.keep:
                result.keep.append(proofs[mark.seq])
        return result

    planting.around(merge, "resolve", resolve)


def _versions(planting: Planting, wrong: Any) -> None:
    """The states that are to be written, with something wrong about each."""

    def resolve(inner: Any, *given: Any) -> Resolution:
        result: Resolution = inner(*given)
        result.versions = planting.swap(result.versions, [wrong(version) for version in result.versions])
        return result

    planting.around(merge, "resolve", resolve)


@mutant("the first reading is overwritten")
def first_reading_overwritten(planting: Planting) -> None:
    def wrong(version: Version) -> Version:
        return replace(version, first_synced_at=version.requested_at)

    _versions(planting, wrong)


@mutant("the first sight of a message is overwritten")
def first_sight_overwritten(planting: Planting) -> None:
    # What a version that was never seen before has is `()`.
    _versions(planting, lambda version: replace(version, growth=None) if version.growth else version)


@mutant("what cannot be read is dropped", "spoilt")
def unreadable_dropped(planting: Planting) -> None:
    def resolve(inner: Any, observations: Observed, *given: Any) -> Resolution:
        observations = [*observations]
        readable = [one for one in observations if not isinstance(one, Unreadable)]
        return inner(planting.swap(observations, readable), *given)

    planting.around(merge, "resolve", resolve)


@mutant("what reads well again is named for ever", "spoilt")
def never_released(planting: Planting) -> None:
    def resolve(inner: Any, *given: Any) -> Resolution:
        result: Resolution = inner(*given)
        result.released = planting.swap(result.released, set())
        return result

    planting.around(merge, "resolve", resolve)
