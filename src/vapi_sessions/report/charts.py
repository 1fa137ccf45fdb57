"""The charts of the report, one function a chart: rows in, a `Chart` out.

To add one: a query in `figures`, a function here, and its place in `sections` of `html_page`.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import altair as alt

from vapi_sessions.report import wordings
from vapi_sessions.report.drawing import (
    ACCENT, OTHERS, SERIES, Chart, Column, bars_over_time, colours, counts, each, line_over_time, range_of, spans,
    specification, time_axis, when, when_column,
)  # fmt: skip
from vapi_sessions.report.figures import OUTCOMES, TOOL_RESULTS
from vapi_sessions.report.period import Period, Row

OUTCOME_COLOURS: Final = dict(zip(OUTCOMES, (ACCENT, "var(--warn)", OTHERS), strict=True))
RESULT_COLOURS: Final = dict(
    zip(TOOL_RESULTS, ("var(--quiet)", "var(--bad)", "var(--warn)", "var(--series-4)"), strict=True)
)
CONTACT_COLOURS: Final = {"new": ACCENT, "returning": SERIES[1], "unknown": OTHERS}


def cost_over_time(rows: list[Row], pending: list[Row], rest: float, period: Period) -> Chart:
    """Stacked bars: cost by day or week and model, with a ring over those with pending costs."""
    models = list({row["model"]: None for row in sorted(rows, key=lambda row: row["rank"])})
    of_models = {
        model: OTHERS if model == "other models" else SERIES[n] for n, model in enumerate(models)
    }
    totals: dict[date, float] = {}
    for row in rows:
        totals[row["start"]] = totals.get(row["start"], 0) + row["cost_usd"]
    data = spans(rows, period)
    rings = spans([{**row, "total": round(totals.get(row["start"], 0), 6)} for row in pending], period)
    bars = bars_over_time(
        alt.Y("cost_usd:Q", title="US dollars", stack="zero", axis=alt.Axis(format="$,.2~f", tickCount=5)),
        colours("model", of_models),
        [when(), alt.Tooltip("model:N"), alt.Tooltip("cost_usd:Q", title="cost", format="$,.2f")],
        period,
        order="rank:Q",
    )
    marks = (
        alt.Chart(alt.NamedData("pending"))
        .mark_point(filled=False, stroke="var(--text)", strokeWidth=1.25, size=24, yOffset=-7)
        .encode(
            x=time_axis(period, "middle:T"),
            y=alt.Y("total:Q"),
            tooltip=[when(), alt.Tooltip("pending:Q", title="without a price yet", format=",")],
        )
    )
    unpriced = sum(row["pending"] for row in pending)
    note = "Every conversation has a price."
    if unpriced:
        note = f"○ {wordings.counted(unpriced, 'conversation')} without a price yet, on the {each(period)}s marked."
    if abs(rest) >= 0.01:
        more = "more" if rest > 0 else "less"
        note += f" The totals of the conversations are {wordings.money(abs(rest))} {more} than the sum of their components."
    total = sum(totals.values())
    return Chart(
        "cost-over-time",
        f"Cost a {each(period)}, by model",
        specification(
            alt.layer(bars, marks) if rings else bars,
            description=f"Stacked bars of cost by {each(period)} and model, {range_of(data)}: {wordings.money(total)} in all"
            + (f", most of it for {models[0]}." if models else "."),
            height=260,
            rows=data,
            pending=rings,
        ),
        "cost_components_by_day",
        [when_column(), Column("model", "model", numeric=False), Column("cost_usd", "cost", wordings.money)],
        data,
        subtitle="By day of creation, whole history",
        legend=list(of_models.items()),
        note=note,
    )


def cost_distribution(facts: Row, bins: list[Row]) -> Chart:
    """A histogram of the cost of a conversation, with median and 90 % quantile."""
    data = [
        row
        | {
            "label": f"{wordings.money(row['low'])} or more"
            if row["above"]
            else f"{wordings.money(row['low'])} to {wordings.money(row['high'])}"
        }
        for row in bins
    ]
    quantiles = [
        {"label": label, "value": facts[key], "text": wordings.money(facts[key])}
        for label, key in (("median", "median"), ("90 %", "p90"))
    ]
    bars = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar(color=ACCENT)
        .encode(
            x=alt.X("low:Q", bin="binned", title="US dollars a conversation", axis=alt.Axis(format="$~g", tickCount=6)),
            x2="high:Q",
            y=alt.Y("sessions:Q", title="conversations", axis=counts()),
            tooltip=[alt.Tooltip("label:N", title="cost"), alt.Tooltip("sessions:Q", title="conversations", format=",")],
        )
    )
    lines = alt.Chart(alt.NamedData("quantiles")).encode(x="value:Q")
    return Chart(
        "cost-distribution",
        "What a conversation costs",
        specification(
            alt.layer(
                bars,
                lines.mark_rule(color="var(--text)", strokeDash=[3, 3]),
                lines.mark_text(align="left", dx=4, baseline="top", fontSize=11, color="var(--text)").encode(
                    y=alt.value(0), text="label:N"
                ),
            ),
            description=f"Histogram of the cost of {facts['sessions']:,} conversations: median {wordings.money(facts['median'])}, "
            f"90 % below {wordings.money(facts['p90'])}, the highest {wordings.money(facts['highest'])}.",
            rows=data,
            quantiles=quantiles,
        ),
        "session_facts",
        [Column("label", "cost", numeric=False), Column("sessions", "conversations", wordings.number)],
        data,
        facts=[
            ("median", wordings.money(facts["median"])),
            ("mean", wordings.money(facts["mean"])),
            ("90 % below", wordings.money(facts["p90"])),
            ("highest", wordings.money(facts["highest"])),
        ],
        note=f"The last bar holds everything from {wordings.money(bins[-1]['low'])} on." if bins[-1]["above"] else "",
    )  # fmt: skip


def outcomes_over_time(rows: list[Row], period: Period) -> Chart:
    """Stacked bars: conversations by day or week and outcome."""
    data = spans(
        [
            {"start": row["start"], "outcome": name, "rank": rank, "sessions": row[name]}
            for row in rows
            for rank, name in enumerate(OUTCOMES)
            if row[name]
        ],
        period,
    )
    sums = {name: sum(row[name] for row in rows) for name in OUTCOMES}
    bars = bars_over_time(
        alt.Y("sessions:Q", title="conversations", stack="zero", axis=counts()),
        colours("outcome", OUTCOME_COLOURS),
        [when(), alt.Tooltip("outcome:N"), alt.Tooltip("sessions:Q", title="conversations", format=",")],
        period,
        order="rank:Q",
    )
    return Chart(
        "outcomes",
        f"Conversations a {each(period)}, by outcome",
        specification(
            bars,
            description=f"Stacked bars of {sum(sums.values()):,} conversations by {each(period)} and outcome, {range_of(data)}: "
            + ", ".join(f"{count:,} {name}" for name, count in sums.items())
            + ".",
            rows=data,
        ),
        "outcomes_by_day",
        [when_column(), *(Column(name, name, wordings.number) for name in OUTCOMES)],
        spans(rows, period),
        subtitle="By day of creation, whole history",
        legend=list(OUTCOME_COLOURS.items()),
        note="Expired: silent past its time of expiry. Open: may still go on.",
    )


def completed_share(rows: list[Row], period: Period) -> Chart:
    """A line: the share of ended conversations that completed."""
    data = spans(rows, period)
    line = line_over_time(
        alt.Y("share:Q", title="completed", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5)),
        [when(), alt.Tooltip("share:Q", title="completed", format=".1%"), alt.Tooltip("ended:Q", format=",")],
        period,
    )  # fmt: skip
    return Chart(
        "completed-share",
        "Share of conversations that complete",
        specification(
            line,
            description=f"Line of the completed share, {range_of(data)}; {wordings.share(rows[-1]['share'])} at the end.",
            rows=data,
        ),
        "outcomes_by_day",
        [when_column(), Column("share", "completed", wordings.share), Column("ended", "ended", wordings.number)],
        data,
        subtitle="Of those that ended, " + ("week by week" if period.weekly else "over seven days up to each day"),
    )


def messages_over_time(rows: list[Row], period: Period) -> Chart:
    """Bars: messages by day or week."""
    data = spans(rows, period)
    bars = bars_over_time(
        alt.Y("messages:Q", title="messages", axis=counts()),
        None,
        [when(), alt.Tooltip("messages:Q", format=",")],
        period,
    )
    return Chart(
        "messages",
        f"Messages a {each(period)}",
        specification(
            bars,
            description=f"Bars of {sum(row['messages'] for row in rows):,} messages by {each(period)}, {range_of(data)}.",
            rows=data,
        ),
        "sessions_by_day",
        [when_column(), Column("messages", "messages", wordings.number)],
        data,
        subtitle="By the conversation's day of creation, whole history",
    )


def busiest_hours(rows: list[Row], zone: str) -> Chart:
    """A heat map: conversations by weekday and hour."""
    most = max(row["sessions"] for row in rows)
    cells = [
        row
        | {
            "name": wordings.WEEKDAYS[row["weekday"] - 1],
            # even one conversation can be told from none
            "strength": round(0.1 + 0.9 * row["sessions"] / most, 3) if row["sessions"] else 0,
            "when": f"{wordings.WEEKDAYS[row['weekday'] - 1]}, {row['hour']:02}:00 to {row['hour'] + 1:02}:00",
        }
        for row in rows
    ]
    ranked = sorted(cells, key=lambda row: -row["sessions"])
    chart = (
        alt.Chart(alt.NamedData("rows"))
        .mark_rect(color=ACCENT, stroke="var(--line)", strokeWidth=0.5)
        .encode(
            x=alt.X(
                "hour:O",
                title=f"hour of the day ({zone})",
                axis=alt.Axis(values=list(range(0, 24, 3)), labelAngle=0, domain=False),
            ),
            y=alt.Y("name:N", sort=list(wordings.WEEKDAYS), title=None),
            fillOpacity=alt.FillOpacity("strength:Q", scale=None, legend=None),
            tooltip=[when(), alt.Tooltip("sessions:Q", title="conversations", format=",")],
        )
    )
    busiest = f"{ranked[0]['when']}, with {wordings.counted(ranked[0]['sessions'], 'conversation')}"
    return Chart(
        "hours",
        "When conversations begin",
        specification(
            chart,
            description=f"Heat map of conversations by weekday and hour. The busiest hour is {busiest}.",
            rows=cells,
        ),
        "session_facts",
        [Column("when", "hour", numeric=False), Column("sessions", "conversations", wordings.number)],
        ranked[:24],
        note=f"Busiest: {busiest}.",
    )


def tools(rows: list[Row]) -> Chart:
    """Horizontal bars: calls by tool, and how many failed, were empty, or got no answer."""
    named = [
        row
        | {
            "problem_share": 1 - row["answered"] / row["call"] if row["call"] else None,
            "short": row["tool"] if len(row["tool"]) <= 24 else row["tool"][:23] + "…",
        }
        for row in rows
    ]
    data = [
        {"tool": row["tool"], "short": row["short"], "result": name, "rank": rank, "calls": row[name],
         "text": wordings.share(row[name] / row["call"])}
        for row in named
        for rank, name in enumerate(TOOL_RESULTS)
        if row[name]
    ]  # fmt: skip
    bars = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar(size=16)
        .encode(
            x=alt.X("calls:Q", title="calls", stack="zero", axis=counts(grid=True)),
            y=alt.Y("short:N", sort=[row["short"] for row in named], title=None, axis=alt.Axis(labelLimit=150)),
            color=colours("result", RESULT_COLOURS),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("tool:N"),
                alt.Tooltip("result:N"),
                alt.Tooltip("calls:Q", format=","),
                alt.Tooltip("text:N", title="share"),
            ],
        )
    )
    calls = sum(row["call"] for row in rows)
    answered = sum(row["answered"] for row in rows)
    return Chart(
        "tools",
        "Tool calls, by how they end",
        specification(
            bars,
            description=f"Bars of {calls:,} tool calls by tool and result; {wordings.share(1 - answered / calls)} without a "
            "useful answer.",
            height=40 + 30 * len(rows),
            rows=data,
        ),
        "tools_by_day",
        [
            Column("tool", "tool", numeric=False),
            Column("call", "calls", wordings.number),
            *(Column(name, name, wordings.number) for name in TOOL_RESULTS[1:]),
            Column("problem_share", "share of these", wordings.share),
            Column("repeated", "repeated", wordings.number),
        ],
        named,
        legend=list(RESULT_COLOURS.items()),
        note="Failed: the result says so. Empty: no result returned. Unanswered: no message has the result. Repeated: the same "
        "function and arguments as an earlier call of the conversation.",
    )


def output(number: int, found: Row, period: Period) -> Chart:
    """A structured output: the mean or the share of true over time, or the most common texts."""
    name, sessions = f"output-{number}", wordings.counted(found["sessions"], "conversation")
    if found["kind"] == "text":
        data = [row | {"short": row["value"] if len(row["value"]) <= 18 else row["value"][:17] + "…"} for row in found["values"]]
        chart: alt.Chart | alt.LayerChart = (
            alt.Chart(alt.NamedData("rows"))
            .mark_bar(color=ACCENT, size=14)
            .encode(
                x=alt.X("sessions:Q", title="conversations", axis=counts(grid=True, tickCount=4)),
                y=alt.Y("short:N", sort=None, title=None, axis=alt.Axis(labelLimit=120)),
                tooltip=[alt.Tooltip("value:N"), alt.Tooltip("sessions:Q", title="conversations", format=",")],
            )
        )
        columns = [Column("value", "value", numeric=False), Column("sessions", "conversations", wordings.number)]
        summary = f"{wordings.number(found['distinct_values'])} different texts"
    else:
        data = spans(found["trend"], period)
        is_number = found["kind"] == "number"
        write = wordings.number if is_number else wordings.share
        chart = line_over_time(
            alt.Y(
                "value:Q",
                title="mean" if is_number else "true",
                scale=alt.Scale(zero=False, nice=True) if is_number else alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="~g" if is_number else ".0%", tickCount=4),
            ),
            [when(), alt.Tooltip("value:Q", title="mean" if is_number else "true", format=".2f" if is_number else ".1%")],
            period,
        )
        columns = [when_column(), Column("value", "mean" if is_number else "true", write)]
        summary = f"mean {write(found['mean'])}" if is_number else f"{write(found['true_share'])} true"
    return Chart(
        name,
        found["label"],
        specification(chart, description=f"{found['label']}: {summary}, from {sessions}.", height=150, rows=data),
        "structured_output_values" if found["kind"] == "text" else "structured_output_trends",
        columns,
        data,
        subtitle=f"{summary}, from {sessions}",
    )


def visits(rows: list[Row], facts: Row) -> Chart:
    """Bars: customers by their number of conversations."""
    data = [row | {"share": round(row["customers"] / facts["customers"], 6)} for row in rows]
    bars = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar(color=ACCENT)
        .encode(
            x=alt.X("visits:O", sort=None, title="conversations of a customer", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("customers:Q", title="customers", axis=counts()),
            tooltip=[
                alt.Tooltip("visits:O", title="conversations"),
                alt.Tooltip("customers:Q", format=","),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    returned = f"{wordings.share(facts['returning_share'])} of {wordings.counted(facts['customers'], 'customer')}"
    return Chart(
        "visits",
        "How often customers come back",
        specification(
            bars,
            description=f"Bars of customers by number of conversations; {returned} had more than one.",
            rows=data,
        ),
        "customers",
        [
            Column("visits", "conversations", numeric=False),
            Column("customers", "customers", wordings.number),
            Column("share", "share", wordings.share),
            Column("cost_usd", "cost", wordings.money),
        ],
        data,
        subtitle="All customers, whole history",
        note=f"{returned} had more than one conversation"
        + (f", typically {wordings.counted(facts['median_days'], 'day')} apart." if facts["median_days"] else "."),
    )


def contacts_over_time(rows: list[Row], period: Period) -> Chart:
    """Stacked bars: conversations of new and of returning customers by day or week."""
    data = spans(
        [
            {"start": row["start"], "customer": name, "rank": rank, "sessions": row[name]}
            for row in rows
            for rank, name in enumerate(CONTACT_COLOURS)
            if row[name]
        ],
        period,
    )
    bars = bars_over_time(
        alt.Y("sessions:Q", title="conversations", stack="zero", axis=counts()),
        colours("customer", CONTACT_COLOURS),
        [when(), alt.Tooltip("customer:N"), alt.Tooltip("sessions:Q", title="conversations", format=",")],
        period,
        order="rank:Q",
    )
    sums = {name: sum(row[name] for row in rows) for name in CONTACT_COLOURS}
    return Chart(
        "contacts",
        "New and returning customers",
        specification(
            bars,
            description=f"Stacked bars of conversations by {each(period)} and kind of customer, {range_of(data)}: "
            + ", ".join(f"{count:,} {name}" for name, count in sums.items())
            + ".",
            rows=data,
        ),
        "customer_journey",
        [when_column(), *(Column(name, name, wordings.number) for name in CONTACT_COLOURS)],
        spans(rows, period),
        subtitle=f"Conversations a {each(period)}, whole history",
        legend=list(CONTACT_COLOURS.items()),
        note="New: a customer's first conversation in the warehouse. Unknown: no value identifies the customer.",
    )
