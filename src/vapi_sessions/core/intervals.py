"""Half-open intervals of time in microseconds, and sets of them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

#: A window with this lower bound is open to the left.
BEGINNING: Final = 0


class Window(NamedTuple):
    """`[lower, upper)`; `upper` None means open to the right, `lower` `BEGINNING` open to the left."""

    lower: int
    upper: int | None

    def __contains__(self, moment: object) -> bool:
        return (
            isinstance(moment, int) and self.lower <= moment and (self.upper is None or moment < self.upper)
        )

    @property
    def empty(self) -> bool:
        """Whether it contains no moment."""
        return self.upper is not None and self.upper <= self.lower


class IntervalSet:
    """An immutable set of moments, stored as sorted half-open intervals that do not touch."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for lower, upper in sorted(span for span in spans if span[0] < span[1]):
            if merged and lower <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], upper))
            else:
                merged.append((lower, upper))
        self._spans = tuple(merged)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def __contains__(self, moment: int) -> bool:
        position = bisect_right(self._spans, moment, key=lambda span: span[0]) - 1
        return position >= 0 and moment < self._spans[position][1]

    def __len__(self) -> int:
        return len(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntervalSet) and self._spans == other._spans

    def __hash__(self) -> int:
        return hash(self._spans)

    def __repr__(self) -> str:
        return f"IntervalSet({list(self._spans)})"

    def __or__(self, other: IntervalSet) -> IntervalSet:
        return IntervalSet((*self._spans, *other._spans))

    def __sub__(self, other: IntervalSet) -> IntervalSet:
        rest: list[tuple[int, int]] = []
        for span_lower, span_upper in self._spans:
            lower = span_lower
            for cut_lower, cut_upper in other._spans:
                if cut_upper <= lower:
                    continue
                if cut_lower >= span_upper:
                    break
                rest.append((lower, cut_lower))
                lower = cut_upper
            rest.append((lower, span_upper))
        return IntervalSet((lower, upper) for lower, upper in rest if lower < upper)

    def __and__(self, other: IntervalSet) -> IntervalSet:
        return self - (self - other)

    def end_of_stretch(self, origin: int) -> int:
        """The end of the interval that contains `origin`; `origin` itself if there is none."""
        for lower, upper in self._spans:
            if lower <= origin < upper:
                return upper
        return origin

    @property
    def end(self) -> int | None:
        """The largest upper bound, or None if the set is empty."""
        return self._spans[-1][1] if self._spans else None
