"""Charts of conversations: how many, when, how they end, and what tools they call.

One function a chart: rows of `figures` in, a `Chart` out; `html_page.sections` gives each its place.
"""

from __future__ import annotations

from typing import Final

import altair as alt

from vapi_sessions.report import wordings
from vapi_sessions.report.drawing import (
    ACCENT,
    OTHERS,
    Chart,
    TableColumn,
    bars_over_time,
    colours,
    conversations_over_time,
    counts,
    each,
    line_over_time,
    names,
    range_of,
    spans,
    specification,
    stacked,
    when,
    when_column,
)  # fmt: skip
from vapi_sessions.report.figures import OUTCOMES, TOOL_RESULTS
from vapi_sessions.report.period import Period, Row

OUTCOME_COLOURS: Final = dict(zip(OUTCOMES, (ACCENT, "var(--warn)", OTHERS), strict=True))
RESULT_COLOURS: Final = dict(
    zip(TOOL_RESULTS, ("var(--quiet)", "var(--bad)", "var(--warn)", "var(--series-4)"), strict=True)
)


def outcomes_over_time(rows: list[Row], period: Period) -> Chart:
    """Stacked bars: conversations by day or week and outcome."""
    return conversations_over_time(
        "outcomes",
        f"Conversations a {each(period)}, by outcome",
        rows,
        period,
        kind="outcome",
        of=OUTCOME_COLOURS,
        view="outcomes_by_day",
        subtitle="By day of creation, whole history",
        note="Expired: silent past its time of expiry. Open: may still go on.",
    )


def completed_share(rows: list[Row], period: Period) -> Chart:
    """A line: the share of ended conversations that completed."""
    data = spans(rows, period)
    line = line_over_time(
        "share",
        alt.Y("share:Q", title="completed", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5)),
        [alt.Tooltip("share:Q", title="completed", format=".1%"), alt.Tooltip("ended:Q", format=",")],
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
        [
            when_column(),
            TableColumn("share", "completed", wordings.share),
            TableColumn("ended", "ended", wordings.number),
        ],
        data,
        subtitle="Of those that ended, "
        + ("week by week" if period.weekly else "over seven days up to each day"),
        note=f"Open conversations do not count: as they expire, the share of the latest {each(period)}s falls.",
    )


def messages_over_time(rows: list[Row], period: Period) -> Chart:
    """Bars: messages by day or week."""
    data = spans(stacked(rows, "messages"), period)
    bars = bars_over_time(
        counts(),
        "messages",
        [alt.Tooltip("messages:Q", format=",")],
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
        "session_facts",
        [when_column(), TableColumn("messages", "messages", wordings.number)],
        data,
        subtitle="By the conversation's day of creation, whole history",
    )


def busiest_hours(rows: list[Row], zone: str) -> Chart:
    """A heat map: conversations by weekday and hour, on an average day."""
    most = max(row["average"] for row in rows)
    cells = [
        row
        | {
            "name": wordings.WEEKDAYS[row["weekday"] - 1],
            # even one conversation can be told from none
            "strength": round(0.1 + 0.9 * row["average"] / most, 3) if row["sessions"] else 0,
            "when": f"{wordings.WEEKDAYS[row['weekday'] - 1]}, {row['hour']:02}:00 to {row['hour'] + 1:02}:00",
        }
        for row in rows
    ]
    ranked = sorted(cells, key=lambda row: -row["average"])
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
            tooltip=[
                when(),
                alt.Tooltip("average:Q", title="on an average day", format=",.1f"),
                alt.Tooltip("sessions:Q", title="conversations", format=","),
            ],
        )
    )
    average = f"{ranked[0]['average']:,.1f}".removesuffix(".0")
    busiest = f"{ranked[0]['when']}, with {average} conversation{'s' * (average != '1')} on average"
    return Chart(
        "hours",
        "When conversations begin",
        specification(
            chart,
            description=f"Heat map of conversations by weekday and hour, on an average day. The busiest hour is {busiest}.",
            rows=cells,
        ),
        "session_facts",
        [
            TableColumn("when", "hour", numeric=False),
            TableColumn("average", "on an average day", "{:,.1f}".format),
            TableColumn("sessions", "conversations", wordings.number),
        ],
        ranked[:24],
        subtitle="On an average day of this period; the stronger the colour, the more",
        note=f"Busiest: {busiest}.",
    )


def tools(rows: list[Row]) -> Chart:
    """Horizontal bars: calls by tool, and how many failed, were empty, or got no answer."""
    named = [
        row
        | {
            "problem_share": 1 - row["answered"] / row["call"] if row["call"] else None,
            "short": wordings.short(row["tool"], 24),
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
            x=alt.X("calls:Q", title="calls", stack="zero", axis=counts()),
            y=names(150),
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
    texts = (
        alt.Chart(alt.NamedData("shares"))
        .mark_text(align="left", dx=6, fontSize=11, color="var(--muted)")
        .encode(x="call:Q", y=alt.Y("short:N", sort=None), text="text:N")
    )
    shares = [
        {"short": row["short"], "call": row["call"], "text": wordings.share(row["problem_share"])}
        for row in named
    ]
    calls = sum(row["call"] for row in rows)
    answered = sum(row["answered"] for row in rows)
    return Chart(
        "tools",
        "Tool calls, by how they end",
        specification(
            alt.layer(bars, texts),
            description=f"Bars of {calls:,} tool calls by tool and result; {wordings.share(1 - answered / calls)} without a "
            "useful answer.",
            height=40 + 30 * len(rows),
            rows=data,
            shares=shares,
        ),
        "tools_by_day",
        [
            TableColumn("tool", "tool", numeric=False),
            TableColumn("call", "calls", wordings.number),
            *(TableColumn(name, name, wordings.number) for name in TOOL_RESULTS[1:]),
            TableColumn("problem_share", "share of these", wordings.share),
            TableColumn("repeated", "repeated", wordings.number),
        ],
        named,
        legend=list(RESULT_COLOURS.items()),
        subtitle="In this period; percentages are calls without a useful answer",
        note="Failed: the result says so. Empty: no result returned. Unanswered: no message has the result. Repeated: the same "
        "function and arguments as an earlier call of the conversation.",
    )
