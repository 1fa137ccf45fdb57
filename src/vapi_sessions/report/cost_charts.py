"""Charts of cost.

One function a chart: rows of `figures` in, a `Chart` out; `html_page.sections` gives each its place.
"""

from __future__ import annotations

import math
from datetime import date

import altair as alt

from vapi_sessions.report import wordings
from vapi_sessions.report.drawing import (
    ACCENT,
    OTHERS,
    SERIES,
    Chart,
    TableColumn,
    bars_over_time,
    colours,
    counts,
    each,
    range_of,
    spans,
    specification,
    stacked,
    when,
    when_column,
)  # fmt: skip
from vapi_sessions.report.period import Period, Row


def cost_over_time(
    rows: list[Row], pending: list[Row], rest: float, understated: int, period: Period
) -> Chart:
    """Stacked bars: cost by day or week and model, with a ring over those with pending costs.

    `rest`: cost that no component has; `understated`: sessions that may cost more than the source says.
    """
    models = list({row["model"]: None for row in sorted(rows, key=lambda row: row["rank"])})
    of_models = {model: OTHERS if model == "other models" else SERIES[n] for n, model in enumerate(models)}
    totals: dict[date, float] = {}
    for row in rows:
        totals[row["start"]] = totals.get(row["start"], 0) + row["cost_usd"]
    data = spans(stacked(rows, "cost_usd"), period)
    rings = spans([{**row, "total": round(totals.get(row["start"], 0), 6)} for row in pending], period)
    bars = bars_over_time(
        alt.Axis(format=wordings.axis_of_amounts(max(totals.values(), default=0), 5), tickCount=5),
        "US dollars",
        [alt.Tooltip("model:N"), alt.Tooltip("cost_usd:Q", title="cost", format="$,.4f")],
        period,
        colour=colours("model", of_models),
    )
    marks = (
        alt.Chart(alt.NamedData("pending"))
        .mark_point(
            filled=False,
            stroke="var(--text)",
            strokeWidth=1.25,
            size=24 if len(rings) < 60 else 8,
            yOffset=-7,
        )
        .encode(
            x="middle:T",
            y="total:Q",
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
    if understated:
        note += f" {wordings.counted(understated, 'conversation')} may cost more: the source says that their usage is incomplete."
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
        [
            when_column(),
            TableColumn("model", "model", numeric=False),
            TableColumn("cost_usd", "cost", wordings.amounts(row["cost_usd"] for row in data)),
        ],
        data,
        subtitle="By day of creation, whole history",
        legend=list(of_models.items()),
        note=note,
    )


def cost_distribution(facts: Row, bins: list[Row]) -> Chart:
    """A histogram of the cost of a conversation, with median and 90 % quantile."""
    decimals = max(2, math.ceil(-math.log10(bins[0]["high"] - bins[0]["low"]) - 1e-6))
    data = [
        row
        | {
            "label": f"${row['low']:,.{decimals}f} "
            + ("or more" if row["above"] else f"to ${row['high']:,.{decimals}f}")
        }
        for row in bins
    ]
    quantiles = [
        {"label": label, "value": facts[key], "text": wordings.money(facts[key])}
        for label, key in (("median", "median"), ("90% below", "p90"))
    ]
    if facts["p90"] - facts["median"] < 0.15 * bins[-1]["high"]:  # there is no room for two labels
        quantiles[0]["label"], quantiles[1]["label"] = "median, 90% below", ""
    bars = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar(color=ACCENT)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title="US dollars a conversation",
                scale=alt.Scale(domainMin=0),
                axis=alt.Axis(
                    format=wordings.axis_of_amounts(bins[-1]["high"], 6),
                    tickCount=6,
                    labelFlush=False,
                    labelOverlap=True,
                ),
            ),
            x2="high:Q",
            y=alt.Y("sessions:Q", title="conversations", axis=counts()),
            tooltip=[
                alt.Tooltip("label:N", title="cost"),
                alt.Tooltip("sessions:Q", title="conversations", format=","),
            ],
        )
    )
    write = wordings.amounts([facts["median"]])  # by the median, which is what most people look for
    lines = alt.Chart(alt.NamedData("quantiles")).encode(x="value:Q")
    return Chart(
        "cost-distribution",
        "What a conversation costs",
        specification(
            alt.layer(
                bars,
                lines.mark_rule(color="var(--text)", strokeDash=[3, 3]),
                # above the bars
                lines.mark_text(align="left", dx=-1, baseline="bottom", fontSize=11, color="var(--text)").encode(
                    y=alt.value(-4), text="label:N"
                ),
            ),
            description=f"Histogram of the cost of {facts['sessions']:,} conversations: median {wordings.money(facts['median'])}, "
            f"90% below {wordings.money(facts['p90'])}, the highest {wordings.money(facts['highest'])}.",
            rows=data,
            quantiles=quantiles,
        ),
        "session_facts",
        [TableColumn("label", "cost", numeric=False), TableColumn("sessions", "conversations", wordings.number)],
        data,
        facts=[
            ("median", write(facts["median"])),
            ("mean", write(facts["mean"])),
            ("90% below", write(facts["p90"])),
            ("highest", write(facts["highest"])),
        ],
        subtitle="In this period",
        note=f"The last bar holds everything from ${bins[-1]['low']:,.{decimals}f} on." if bins[-1]["above"] else "",
    )  # fmt: skip
