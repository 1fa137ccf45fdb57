"""The figures of the report: one function a question, from the published views to plain rows.

Series over time cover the whole history, by day or by week (`Period.bucket`); everything else is about the period.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from vapi_sessions.report.period import Period, Reader, Row

#: Views that a report reads, here and in `transcripts`.
VIEWS: Final = (
    "cost_components_by_day", "customer_journey", "customers", "freshness", "outcomes_by_day", "session_facts",
    "structured_output_trends", "structured_output_values", "tool_calls_with_results", "tools_by_day", "transcript",
)  # fmt: skip
MOST_MODELS: Final = 6
MOST_TOOLS: Final = 12
MOST_ASSISTANTS: Final = 12
MOST_OUTPUTS: Final = 8
MOST_VALUES: Final = 6
OUTCOMES: Final = ("completed", "expired", "open")
TOOL_RESULTS: Final = ("answered", "failed", "empty", "unanswered")
#: Classes of customers by their number of sessions: the least number, and the name.
VISITS: Final = {1: "1", 2: "2", 3: "3", 4: "4", 5: "5–9", 10: "10+"}
#: Sessions that arrived after `Period.until` count in the period, so that its figures equal the sums of the charts.
_END_OF_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC)


def keep(reader: Reader, period: Period) -> None:
    """Compute the views that several questions need, once. Call it before any other function."""
    reader.keep(
        "session_facts",
        "session_id, created_at, day, weekday, hour, outcome, assistant, cost_usd, message_count",
    )
    reader.keep("customer_journey", "session_id, created_at, customer_key, visit_number")
    reader.keep("customers", "session_count, is_returning, cost_usd, median_days_between_contacts")
    reader.keep("cost_components_by_day", "day, type, model_name, cost_usd")
    reader.keep("structured_output_trends", "day, name, field, value_count, mean_number, true_share")
    reader.keep(
        "structured_output_values",
        "session_id, name, field, kind, left(value_text, 200) AS value_text, value_number, value_boolean",
        "session_created_at >= $since AND kind IN ('number', 'boolean', 'text')",
        since=period.since,
    )


@dataclass(frozen=True)
class Headline:
    """A figure of the period, and of the period before. `kind`: count, money or share; null if there is nothing to count."""

    name: str
    kind: str
    value: float | None
    before: float | None
    note: str = ""


def headlines(reader: Reader, period: Period) -> list[Headline]:
    """Sessions, cost, completed share, customers and messages, each against the period before."""
    now = _totals(reader, period.since, _END_OF_TIME)
    then = _totals(reader, *period.before) if period.has_before else dict.fromkeys(now)
    missing = f"{now['pending']:,} still without a price" if now["pending"] else ""
    low = f"{count:,} may cost more" if (count := understated(reader, period.since)) else ""
    return [
        Headline("conversations", "count", now["sessions"], then["sessions"]),
        Headline("cost", "money", now["cost"], then["cost"], ", ".join(filter(None, (missing, low)))),
        Headline(
            "completed",
            "share",
            now["completed_share"],
            then["completed_share"],
            "of those that ended" + (f", {now['open']:,} still open" if now["open"] else ""),
        ),
        Headline("customers", "count", now["customers"], then["customers"], _returned(now)),
        Headline("messages", "count", now["messages"], then["messages"]),
    ]


def sessions(reader: Reader, period: Period) -> int:
    """The number of sessions in the period."""
    found = reader.row(
        "SELECT count(*) AS sessions FROM session_facts WHERE created_at >= $since", since=period.since
    )
    return int(found["sessions"])


def _totals(reader: Reader, since: datetime, until: datetime) -> Row:
    totals = reader.row(
        """SELECT count(*) AS sessions, ROUND(FSUM(cost_usd), 6) AS cost,
            count(*) FILTER (cost_usd IS NULL) AS pending, count(*) FILTER (outcome = 'open') AS open,
            COALESCE(sum(message_count), 0)::BIGINT AS messages,
            ROUND(count(*) FILTER (outcome = 'completed')
                / NULLIF(count(*) FILTER (outcome IN ('completed', 'expired')), 0), 6) AS completed_share
        FROM kept.session_facts WHERE created_at >= $since AND created_at < $until""",
        since=since,
        until=until,
    )
    return totals | reader.row(
        """SELECT count(*) AS customers, count(*) FILTER (first_visit > 1) AS returned
        FROM (
            SELECT customer_key, min(visit_number) AS first_visit
            FROM kept.customer_journey WHERE created_at >= $since AND created_at < $until
            GROUP BY customer_key
        )""",
        since=since,
        until=until,
    )


def _returned(totals: Row) -> str:
    return f"{totals['returned']:,} had been here before" if totals["customers"] else ""


def cost_by_model(reader: Reader, period: Period) -> list[Row]:
    """Cost by day or week and model: the most expensive models, then the others together. Session fees have no model."""
    return reader.rows(
        f"""WITH components AS (
            SELECT {period.bucket()} AS start, cost_usd,
                CASE WHEN model_name IS NOT NULL THEN model_name WHEN type = 'session' THEN 'session fee' ELSE 'no model' END
                    AS model
            FROM kept.cost_components_by_day
        ), ranked AS (
            SELECT model, ROW_NUMBER() OVER (ORDER BY FSUM(cost_usd) DESC NULLS LAST, model) AS rank
            FROM components GROUP BY model
        )
        SELECT start, CASE WHEN rank <= {MOST_MODELS} THEN model ELSE 'other models' END AS model,
            least(rank, {MOST_MODELS + 1}) AS rank, ROUND(FSUM(cost_usd), 6) AS cost_usd
        FROM components JOIN ranked USING (model)
        GROUP BY ALL HAVING ROUND(FSUM(cost_usd), 6) <> 0 ORDER BY start, rank"""
    )


def pending_cost(reader: Reader, period: Period) -> list[Row]:
    """Days or weeks with sessions that have no price yet."""
    return reader.rows(
        f"""SELECT {period.bucket()} AS start, count(*) FILTER (cost_usd IS NULL) AS pending
        FROM kept.session_facts GROUP BY ALL HAVING pending > 0 ORDER BY start"""
    )


def not_itemised(reader: Reader) -> float:
    """Cost of sessions minus cost of their components, over the whole history. Both come from the source."""
    row = reader.row(
        """SELECT COALESCE((SELECT FSUM(cost_usd) FROM kept.session_facts), 0)
            - COALESCE((SELECT FSUM(cost_usd) FROM kept.cost_components_by_day), 0) AS rest"""
    )
    return round(float(row["rest"]), 6)


def understated(reader: Reader, since: datetime | None = None) -> int:
    """Sessions of the period, or of the whole history, with a cost of which the source says that the usage is incomplete."""
    row = reader.row(
        """SELECT count(DISTINCT session_id) AS sessions FROM costs
        WHERE NOT usage_complete AND ($since IS NULL OR session_created_at >= $since)""",
        since=since,
    )
    return int(row["sessions"])


def cost_distribution(reader: Reader, period: Period) -> tuple[Row, list[Row]]:
    """Quantiles of a priced session's cost, and a histogram up to the 99 % quantile; the last bin holds everything above."""
    facts = reader.row(
        """SELECT count(*) AS sessions, ROUND(AVG(cost_usd), 6) AS mean, ROUND(MEDIAN(cost_usd), 6) AS median,
            ROUND(QUANTILE_CONT(cost_usd, 0.9), 6) AS p90, ROUND(QUANTILE_CONT(cost_usd, 0.99), 6) AS p99,
            MAX(cost_usd) AS highest
        FROM kept.session_facts WHERE created_at >= $since AND cost_usd IS NOT NULL""",
        since=period.since,
    )
    if not facts["sessions"]:
        return facts, []
    # Of few sessions, each is shown where it is.
    bound = facts["p99"] if facts["sessions"] >= 100 else facts["highest"]
    width = nice_step(max(bound, 0.0), 30)
    last = math.floor(max(bound, 0.0) / width)
    bins = reader.rows(
        """SELECT least(floor(greatest(cost_usd, 0) / $width), $last)::INTEGER AS bin, count(*) AS sessions
        FROM kept.session_facts WHERE created_at >= $since AND cost_usd IS NOT NULL GROUP BY ALL ORDER BY bin""",
        since=period.since,
        width=width,
        last=last,
    )
    above = facts["highest"] >= (last + 1) * width
    return facts, [
        {
            "low": round(row["bin"] * width, 9),
            "high": round((row["bin"] + 1) * width, 9),
            "above": above and row["bin"] == last,
            "sessions": row["sessions"],
        }
        for row in bins
    ]


def nice_step(span: float, parts: int) -> float:
    """A step of 1, 2 or 5 times a power of ten, of which about `parts` make `span`."""
    if span <= 0:
        return 0.01
    power: float = 10.0 ** math.floor(math.log10(span / parts))
    return next(round(power * step, 12) for step in (1, 2, 5, 10) if power * step * parts >= span)


def assistants(reader: Reader, period: Period) -> list[Row]:
    """The assistants with most sessions: completed share, cost, length."""
    return reader.rows(
        f"""SELECT COALESCE(assistant, 'no assistant') AS assistant, count(*) AS sessions,
            ROUND(count(*) FILTER (outcome = 'completed')
                / NULLIF(count(*) FILTER (outcome IN ('completed', 'expired')), 0), 6) AS completed_share,
            ROUND(FSUM(cost_usd), 6) AS cost_usd, ROUND(MEDIAN(cost_usd), 6) AS median_cost_usd,
            ROUND(QUANTILE_CONT(cost_usd, 0.9), 6) AS p90_cost_usd,
            count(*) FILTER (cost_usd IS NULL) AS pending, ROUND(AVG(message_count), 1) AS messages
        FROM kept.session_facts WHERE created_at >= $since
        GROUP BY ALL ORDER BY cost_usd DESC NULLS LAST, assistant LIMIT {MOST_ASSISTANTS}""",
        since=period.since,
    )


def outcomes(reader: Reader, period: Period) -> list[Row]:
    """Sessions by day or week of creation and outcome."""
    return reader.rows(
        f"""SELECT {period.bucket()} AS start, sum(completed_session_count)::BIGINT AS completed,
            sum(expired_session_count)::BIGINT AS expired, sum(open_session_count)::BIGINT AS open
        FROM outcomes_by_day GROUP BY ALL ORDER BY start"""
    )


def completed_share(reader: Reader, period: Period) -> list[Row]:
    """Share of the ended sessions that completed: of seven days up to each day, or of each week."""
    return reader.rows(
        f"""WITH counted AS (
            SELECT {period.bucket()} AS start, sum(completed_session_count) AS completed, sum(expired_session_count) AS expired
            FROM outcomes_by_day GROUP BY ALL
        ), summed AS (
            SELECT start, sum(completed) OVER recent AS completed, sum(completed + expired) OVER recent AS ended FROM counted
            WINDOW recent AS (ORDER BY start {_recent(period)})
        )
        SELECT start, ROUND(completed / ended, 6) AS share, ended::BIGINT AS ended FROM summed WHERE ended > 0 ORDER BY start"""
    )


def _recent(period: Period) -> str:
    """SQL: the rows of a smoothed value."""
    return f"RANGE BETWEEN INTERVAL {0 if period.weekly else 6} DAY PRECEDING AND CURRENT ROW"


def messages(reader: Reader, period: Period) -> list[Row]:
    """Messages by day or week of their session's creation."""
    return reader.rows(
        f"""SELECT {period.bucket()} AS start, sum(message_count)::BIGINT AS messages
        FROM kept.session_facts GROUP BY ALL ORDER BY start"""
    )


def busiest_hours(reader: Reader, period: Period) -> list[Row]:
    """Sessions by weekday (1 is Monday) and hour of creation; all 168, quiet ones included.

    `average` is for one such weekday: in a period of 30 days, two weekdays occur once more than the others.
    """
    found = reader.rows(
        """SELECT weekday, hour, count(f.session_id) AS sessions
        FROM (SELECT unnest(range(1, 8)) AS weekday) CROSS JOIN (SELECT unnest(range(24)) AS hour)
        LEFT JOIN (FROM kept.session_facts WHERE created_at >= $since) AS f USING (weekday, hour)
        GROUP BY ALL ORDER BY weekday, hour""",
        since=period.since,
    )
    last = max(period.last_day, period.history_last_day)
    days = (period.first_day + timedelta(days=number) for number in range((last - period.first_day).days + 1))
    occurrences = Counter(day.isoweekday() for day in days)
    return [
        row | {"average": row["sessions"] / occurrences[row["weekday"]] if row["sessions"] else 0.0}
        for row in found
    ]


def tools(reader: Reader, period: Period) -> list[Row]:
    """The tools with most calls, and how these ended; then the other tools together."""
    counts = ", ".join(f"sum({name}_count)::BIGINT AS {name}" for name in ("call", *TOOL_RESULTS, "repeated"))
    return reader.rows(
        f"""WITH ranked AS (
            SELECT COALESCE(function_name, '(unnamed)') AS tool, *,
                DENSE_RANK() OVER (ORDER BY calls DESC, function_name) AS rank
            FROM (SELECT *, sum(call_count) OVER (PARTITION BY function_name) AS calls FROM tools_by_day WHERE day >= $day)
        )
        SELECT CASE WHEN rank <= {MOST_TOOLS} THEN tool ELSE 'other tools' END AS tool,
            least(rank, {MOST_TOOLS + 1}) AS rank, {counts}
        FROM ranked GROUP BY ALL ORDER BY rank""",
        day=period.first_day,
    )


def outputs(reader: Reader, period: Period) -> list[Row]:
    """The structured outputs (and fields of them) with most sessions, each with its main kind and its summary.

    A number has `mean`, a boolean `true_share`, a text `values`: the most common ones with their counts.
    """
    found = reader.rows(
        f"""SELECT name, field, MODE(kind) AS kind, count(DISTINCT session_id) AS sessions,
            ROUND(AVG(value_number), 6) AS mean, ROUND(MEDIAN(value_number), 6) AS median,
            ROUND(AVG(value_boolean::INTEGER), 6) AS true_share, count(DISTINCT value_text) AS distinct_values
        FROM kept.structured_output_values
        GROUP BY ALL ORDER BY sessions DESC, name, field LIMIT {MOST_OUTPUTS}"""
    )
    for output in found:
        output["label"] = " · ".join(
            part for part in (output["name"] or "(unnamed)", output["field"]) if part
        )
        # Texts that hardly repeat, such as order numbers, say nothing as a chart.
        output["unique"] = output["kind"] == "text" and output["distinct_values"] > 0.5 * output["sessions"]
        if output["kind"] == "text":
            output["values"] = _common_values(reader, output)
        else:
            output["trend"] = _trend(reader, period, output)
    return found


def _common_values(reader: Reader, output: Row) -> list[Row]:
    return reader.rows(
        f"""SELECT left(value_text, 60) AS value, count(DISTINCT session_id) AS sessions FROM kept.structured_output_values
        WHERE kind = 'text' AND name IS NOT DISTINCT FROM $name AND field IS NOT DISTINCT FROM $field
        GROUP BY ALL ORDER BY sessions DESC, value LIMIT {MOST_VALUES}""",
        name=output["name"],
        field=output["field"],
    )


def _trend(reader: Reader, period: Period, output: Row) -> list[Row]:
    """Mean, or share of true: of seven days up to each day, or of each week; all values weigh the same."""
    value = "mean_number" if output["kind"] == "number" else "true_share"
    return reader.rows(
        f"""WITH counted AS (
            SELECT {period.bucket()} AS start, FSUM({value} * value_count) AS total, sum(value_count)::BIGINT AS amount
            FROM kept.structured_output_trends
            WHERE {value} IS NOT NULL AND name IS NOT DISTINCT FROM $name AND field IS NOT DISTINCT FROM $field
            GROUP BY ALL
        )
        SELECT start, ROUND(sum(total) OVER recent / sum(amount) OVER recent, 6) AS value FROM counted
        WINDOW recent AS (ORDER BY start {_recent(period)}) ORDER BY start""",
        name=output["name"],
        field=output["field"],
    )


def customers(reader: Reader) -> tuple[Row, list[Row]]:
    """All customers: how many came back, after how many days; and how many had one, two … sessions."""
    facts = reader.row(
        """SELECT count(*) AS customers, count(*) FILTER (is_returning) AS returned,
            ROUND(count(*) FILTER (is_returning) / NULLIF(count(*), 0), 6) AS returning_share,
            ROUND(MEDIAN(median_days_between_contacts), 1) AS median_days
        FROM kept.customers"""
    )
    found = reader.rows(
        """SELECT CASE WHEN session_count >= 10 THEN 10 WHEN session_count >= 5 THEN 5 ELSE session_count END::INTEGER AS least,
            count(*) AS customers, sum(session_count)::BIGINT AS sessions, ROUND(FSUM(cost_usd), 6) AS cost_usd
        FROM kept.customers GROUP BY ALL"""
    )
    counted = {row.pop("least"): row for row in found}
    nobody = {"customers": 0, "sessions": 0, "cost_usd": None}
    return facts, [{"visits": name, **counted.get(least, nobody)} for least, name in VISITS.items()]


def contacts(reader: Reader, period: Period) -> list[Row]:
    """Sessions by day or week: a customer's first, a customer's later ones, and those without a known customer."""
    return reader.rows(
        f"""SELECT {period.bucket()} AS start, count(*) FILTER (visit_number = 1) AS new,
            count(*) FILTER (visit_number > 1) AS returning, count(*) FILTER (visit_number IS NULL) AS unknown
        FROM kept.session_facts LEFT JOIN kept.customer_journey USING (session_id) GROUP BY ALL ORDER BY start"""
    )


def failing_checks(reader: Reader) -> dict[str, int] | None:
    """Failing rows by check, as the last sync counted them; None if no check has run yet."""
    found = reader.rows("SELECT value FROM sync.state WHERE key = 'checks'")
    if not found:
        return None
    return {str(name): int(rows) for name, rows in json.loads(found[0]["value"]).items() if rows}
