"""How the report writes numbers, amounts, shares and times. None is written as an en dash."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from vapi_sessions.core.wording import counted

__all__ = ["WEEKDAYS", "change", "counted", "day", "later", "moment", "money", "number", "share", "weekday"]

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NOTHING: Final = "–"


def number(value: float | None) -> str:
    """`1,234`; up to two decimals if it is not whole."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".rstrip("0")


def money(value: float | None) -> str:
    """`$1,235`, `$12.35`, `$0.0123`: enough digits to tell small amounts apart."""
    if value is None:
        return NOTHING
    sign, size = ("−" if value < 0 else ""), abs(value)
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 1 or size == 0:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.4f}" if size >= 0.0001 else f"{sign}<$0.0001"


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
