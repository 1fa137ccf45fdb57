"""The first answers that `demo` prints, all of them from views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain
from vapi_sessions.warehouse import reader

#: Days that get a line of their own.
_DAYS: Final = 5
_NAME: Final = 38
_Row = tuple[Any, ...]


def first_answers(warehouse: Path) -> list[str]:
    """Lines of at most 80 characters. Amounts of a list add up to its total."""
    with reader.reading(warehouse) as db:

        def rows(sql: str) -> list[_Row]:
            return db.execute(sql).fetchall()

        days = rows(
            "SELECT CAST(day AS VARCHAR), session_count, cost_usd, pending_session_count FROM cost_by_day ORDER BY day DESC"
        )
        models = rows(
            "SELECT model_provider, model_name, cost_usd FROM cost_by_model ORDER BY model_name IS NULL, cost_usd DESC"
        )
        outcomes = rows(
            "SELECT completed_session_count, expired_session_count, open_session_count FROM outcomes_by_day"
        )
        customers = rows("SELECT session_count FROM customers")
        tools = rows(
            "SELECT function_name, call_count, unanswered_count + no_result_count + error_count FROM tool_usage "
            "ORDER BY call_count DESC, function_name LIMIT 3"
        )
    completed, expired, still_open = (_total(outcomes, column) for column in range(3))
    returning = sum(count > 1 for (count,) in customers)
    sessions, pending = _total(days, 1), _total(days, 3)
    ended = f"{completed:,} completed, {expired:,} expired, {still_open:,} open"
    lines = [
        f"  {counted(sessions, 'session')}: {ended}; {pending:,} without a price yet",
        f"  {counted(len(customers), 'customer')}, of whom {returning:,} came more than once",
        "",
        "  What does a day cost?  FROM cost_by_day",
        *_days(days),
        "  What does a model cost?  FROM cost_by_model",
        *_models(models),
    ]
    if tools:
        lines.append("  Which tools fail?  FROM tool_usage")
    for name, calls, failed in tools:
        lines.append(
            f"    {plain(name or 'without a name'):<{_NAME}.{_NAME}}{counted(calls, 'call'):>12}, {failed:,} failed"
        )
    return lines


def _days(rows: Sequence[_Row]) -> list[str]:
    shown, earlier = rows[:_DAYS], rows[_DAYS:]
    parts = [(day, count, usd) for day, count, usd, _ in shown]
    if earlier:
        usd = _total(earlier, 2) if any(row[2] is not None for row in earlier) else None
        parts.append(("earlier", _total(earlier, 1), usd))
    names = [f"{day:<14}{counted(count, 'session'):>17}" for day, count, _ in parts]
    total = f"{'total':<14}{counted(_total(rows, 1), 'session'):>17}"
    return _added_up(names, [usd for *_, usd in parts], total)


def _models(rows: Sequence[_Row]) -> list[str]:
    names = [
        plain(" ".join(filter(None, (provider, model)))) or "without a model (session fees)"
        for provider, model, _ in rows
    ]
    return _added_up(names, [usd for *_, usd in rows], "total")


def _added_up(names: Sequence[str], amounts: Sequence[float | None], total: str) -> list[str]:
    """A line for each amount, and the total; null is pending, not zero.

    Amounts rounded to cents rarely add up, so each may be rounded the other way.
    """
    if not amounts:
        return ["    nothing yet"]
    until = [round(100 * usd) for usd in accumulate(usd or 0 for usd in amounts)]
    cents = [after - before for before, after in pairwise([0, *until])]
    shown = [None if usd is None else cent for usd, cent in zip(amounts, cents, strict=True)]
    known = any(usd is not None for usd in amounts)
    shown.append(until[-1] if known else None)
    return [
        f"    {name:<{_NAME}.{_NAME}}{'pending' if cent is None else f'${cent / 100:,.2f}':>12}"
        for name, cent in zip([*names, total], shown, strict=True)
    ]


def _total(rows: Iterable[_Row], column: int) -> Any:
    return sum(row[column] or 0 for row in rows)
