"""How the report writes numbers, amounts, shares and times. None is written as an en dash."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from vapi_sessions.core.wording import counted

__all__ = [
    "WEEKDAYS", "amounts", "axis_of_amounts", "change", "counted", "day", "later", "moment", "money", "number", "share",
    "short", "weekday",
]  # fmt: skip

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NOTHING: Final = "–"
#: How D3 chooses the steps of an axis: the factor of a power of ten, and the least part of it for that.
_STEPS: Final = ((10, 50**0.5), (5, 10**0.5), (2, 2**0.5), (1, 0))


def number(value: float | None) -> str:
    """`1,234`; two decimals if it is not whole."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def money(value: float | None) -> str:
    """`$1,235`, `$12.35`, `$0.0123`: enough digits to tell small amounts apart."""
    return amounts([value])(value)


def amounts(values: Iterable[float | None]) -> Callable[[float | None], str]:
    """How to write amounts that are read together: all with the decimals that the largest of these values gets."""
    largest = max((abs(value) for value in values if value is not None), default=0)
    decimals = 0 if largest >= 1000 else 2 if largest >= 1 or largest == 0 else 4

    def write(value: float | None) -> str:
        if value is None:
            return NOTHING
        sign, size = ("−" if value < 0 else ""), abs(value)
        least = 10**-decimals
        if 0 < size < least / 2:
            return f"{sign}<${least:.{decimals}f}"
        return f"{sign}${size:,.{decimals}f}"

    return write


def axis_of_amounts(largest: float, ticks: int) -> str:
    """The format, as D3 has it, for the labels of an axis of amounts from 0 on: all with the decimals that its steps need."""
    rough = max(largest, 1e-9) / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor, least in _STEPS if rough / power >= least)
    return f"$,.{0 if step >= 1 else max(2, math.ceil(-math.log10(step) - 1e-9))}f"


def share(value: float | None) -> str:
    """`72.4%`; `0%` and `100%` only if it is exact."""
    if value is None:
        return NOTHING
    if value in (0, 1):
        return f"{100 * value:.0f}%"
    return f"{min(max(100 * value, 0.1), 99.9):.1f}%"


def change(kind: str, value: float | None, before: float | None) -> str:
    """`+12%` against the period before, or percentage points for a share; empty if there is nothing to compare."""
    if value is None or before is None or (kind != "share" and before == 0):
        return ""
    difference = 100 * (value - before) if kind == "share" else 100 * (value / before - 1)
    text = f"{abs(difference):,.1f}" if round(abs(difference), 1) < 10 else f"{abs(difference):,.0f}"
    sign = "±" if float(text.replace(",", "")) == 0 else "+" if difference > 0 else "−"
    return f"{sign}{text}{' points' if kind == 'share' else '%'}"


def short(text: str, most: int) -> str:
    """The text for a label of a chart, cut to `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def day(value: date) -> str:
    """`9 Nov 2026`."""
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def weekday(value: date) -> str:
    """`Mon 9 Nov 2026`."""
    return f"{WEEKDAYS[value.weekday()]} {day(value)}"


def moment(value: datetime | None, zone: ZoneInfo) -> str:
    """`9 Nov 2026, 14:03`."""
    if value is None:
        return NOTHING
    local = value.astimezone(zone)
    return f"{day(local)}, {local:%H:%M}"


def later(value: datetime, before: datetime | None, zone: ZoneInfo) -> str:
    """The time of a message after another one: `14:03:07`, with the day if it is another one, or nothing if it is the same."""
    if value == before:
        return ""
    local = value.astimezone(zone)
    if before is not None and before.astimezone(zone).date() == local.date():
        return f"{local:%H:%M:%S}"
    return f"{day(local)}, {local:%H:%M:%S}"
