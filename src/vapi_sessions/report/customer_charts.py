"""Charts of customers, and of what structured outputs say.

One function a chart: rows of `figures` in, a `Chart` out; `html_page.sections` gives each its place.
"""

from __future__ import annotations

from typing import Final

import altair as alt

from vapi_sessions.report import wordings
from vapi_sessions.report.drawing import (
    ACCENT,
    OTHERS,
    SERIES,
    Chart,
    Drawn,
    TableColumn,
    conversations_over_time,
    counts,
    each,
    line_over_time,
    names,
    spans,
    specification,
    when_column,
)  # fmt: skip
from vapi_sessions.report.period import Period, Row

CONTACT_COLOURS: Final = {"new": ACCENT, "returning": SERIES[1], "unknown": OTHERS}


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
    returned = (
        f"{wordings.share(facts['returning_share'])} of {wordings.counted(facts['customers'], 'customer')}"
    )
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
            TableColumn("visits", "conversations", numeric=False),
            TableColumn("customers", "customers", wordings.number),
            TableColumn("share", "share", wordings.share),
            TableColumn("cost_usd", "cost", wordings.amounts(row["cost_usd"] for row in data)),
        ],
        data,
        subtitle="All customers, whole history",
        note=f"{returned} had more than one conversation"
        + (f", typically {facts['median_days']:g} days apart." if facts["median_days"] else "."),
    )


def contacts_over_time(rows: list[Row], period: Period) -> Chart:
    """Stacked bars: conversations of new and of returning customers by day or week."""
    return conversations_over_time(
        "contacts",
        "New and returning customers",
        rows,
        period,
        kind="customer",
        of=CONTACT_COLOURS,
        view="customer_journey",
        subtitle=f"Conversations a {each(period)}, whole history",
        note="New: a customer's first conversation in the warehouse. Unknown: no value identifies the customer.",
    )


def output(number: int, found: Row, period: Period) -> Chart:
    """A structured output: the mean or the share of true over time, or the most common texts."""
    name, sessions = f"output-{number}", wordings.counted(found["sessions"], "conversation")
    if found["kind"] == "text":
        data = [row | {"short": wordings.short(row["value"], 18)} for row in found["values"]]
        chart: Drawn = (
            alt.Chart(alt.NamedData("rows"))
            .mark_bar(color=ACCENT, size=14)
            .encode(
                x=alt.X("sessions:Q", title="conversations", axis=counts(ticks=4)),
                y=names(120),
                tooltip=[
                    alt.Tooltip("value:N"),
                    alt.Tooltip("sessions:Q", title="conversations", format=","),
                ],
            )
        )
        columns = [
            TableColumn("value", "value", numeric=False),
            TableColumn("sessions", "conversations", wordings.number),
        ]
        summary = f"{wordings.number(found['distinct_values'])} different texts"
    else:
        data = spans(found["trend"], period)
        is_number = found["kind"] == "number"
        write = wordings.number if is_number else wordings.share
        chart = line_over_time(
            "value",
            alt.Y(
                "value:Q",
                title="mean" if is_number else "true",
                scale=alt.Scale(zero=False, nice=True) if is_number else alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=",f" if is_number else ".0%", tickCount=4),
            ),
            [
                alt.Tooltip(
                    "value:Q", title="mean" if is_number else "true", format=".2f" if is_number else ".1%"
                )
            ],
            period,
        )
        columns = [when_column(), TableColumn("value", "mean" if is_number else "true", write)]
        summary = f"mean {write(found['mean'])}" if is_number else f"{write(found['true_share'])} true"
    return Chart(
        name,
        found["label"],
        specification(
            chart, description=f"{found['label']}: {summary}, from {sessions}.", height=150, rows=data
        ),
        "structured_output_values" if found["kind"] == "text" else "structured_output_trends",
        columns,
        data,
        subtitle=f"{summary}, from {sessions}",
    )
