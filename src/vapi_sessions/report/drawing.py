"""What all charts share: the `Chart` itself, colours, axes of time, and the look.

Colours are CSS variables of `page.css`, so that a chart follows the switch between light and dark, and the printer, without
being drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import altair as alt

from vapi_sessions.report import wordings
from vapi_sessions.report.period import Period, Row

ACCENT: Final = "var(--accent)"
OTHERS: Final = "var(--others)"
#: Told apart by people with any colour vision, in light and dark.
SERIES: Final = tuple(f"var(--series-{number})" for number in range(1, 7))
#: Fewer days or weeks would make bars as wide as a hand.
FEWEST_BUCKETS: Final = 14
#: Rows of the table below a chart: the latest ones.
MOST_ROWS: Final = 120

#: Any of Altair's classes of charts. They have no common base class with the methods that we use.
Drawn = Any

#: That of page.css; Vega measures texts with it.
FONT: Final = (
    '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", Ubuntu, system-ui, sans-serif'
)

#: How all charts look: `vegaEmbed` gets it once.
CONFIG: Final[dict[str, Any]] = {
    "background": "transparent",
    "font": FONT,
    "padding": {"left": 2, "right": 8, "top": 8, "bottom": 2},
    "view": {"stroke": None},
    # For screen readers, the description of the chart and the table below it are better than hundreds of marks.
    "mark": {"aria": False},
    "axis": {
        "aria": False, "labelColor": "var(--muted)", "titleColor": "var(--muted)", "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "gridColor": "var(--line)", "domain": False, "ticks": False, "labelPadding": 6,
        "titlePadding": 8,
    },
    "axisX": {"grid": False, "domain": True, "domainColor": "var(--line-strong)"},
}  # fmt: skip


@dataclass(frozen=True)
class TableColumn:
    """A column of the table below a chart: the key in the rows, the heading, and how to write a value."""

    key: str
    title: str
    write: Callable[[Any], str] = str
    numeric: bool = True


@dataclass(frozen=True)
class Chart:
    """A drawn chart. `view` is where the numbers come from; the table below the chart shows `columns` of `rows`."""

    name: str
    title: str
    spec: dict[str, Any]
    view: str
    columns: Sequence[TableColumn]
    rows: Sequence[Row]
    subtitle: str = ""
    legend: Sequence[tuple[str, str]] = ()
    note: str = ""
    facts: Sequence[tuple[str, str]] = ()

    @property
    def table(self) -> Sequence[Row]:
        """The latest rows."""
        return self.rows[-MOST_ROWS:]

    @property
    def description(self) -> str:
        """The text for screen readers."""
        return str(self.spec["description"])

    @property
    def left_out(self) -> int:
        """How many earlier rows the table does not show."""
        return max(len(self.rows) - MOST_ROWS, 0)


def specification(
    chart: Drawn, *, description: str, height: int | None = 220, **datasets: Sequence[Row]
) -> dict[str, Any]:
    """A Vega-Lite specification that is as wide as its place on the page. `datasets` are the rows, by the name in the chart."""
    drawn = chart.properties(width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    if height is not None:
        drawn = drawn.properties(height=height)
    spec: dict[str, Any] = drawn.to_dict()
    spec.pop("config", None)  # CONFIG applies
    return spec | {
        "description": description,
        "datasets": {name: list(rows) for name, rows in datasets.items()},
    }


def spans(rows: Sequence[Row], period: Period) -> list[Row]:
    """The rows with the bounds of their day or week in UTC, as the axis of time needs them, and its name."""
    length = timedelta(days=7 if period.weekly else 1)
    found = []
    for row in rows:
        start = datetime.combine(row["start"], time(), UTC)
        found.append(
            row
            | {
                "start": start.isoformat(),
                "middle": (start + length / 2).isoformat(),
                # leaves a gap to the next bar, unless the bars are as thin as a line
                "end": (start + length * (0.86 if period.buckets < 150 else 1)).isoformat(),
                "when": f"week of {wordings.day(row['start'])}"
                if period.weekly
                else wordings.weekday(row["start"]),
            }
        )
    return found


def range_of(rows: Sequence[Row]) -> str:
    """`from 9 Nov 2026 to 29 Nov 2026`, of rows with bounds."""
    starts = [date.fromisoformat(row["start"][:10]) for row in rows]
    return f"from {wordings.day(min(starts))} to {wordings.day(max(starts))}" if starts else "without data"


def each(period: Period) -> str:
    """What a value of a series over time is for: `day` or `week`."""
    return "week" if period.weekly else "day"


def time_axis(period: Period, shorthand: str = "start:T") -> alt.X:
    """The axis of time: the whole history, in days of the warehouse's time zone."""
    length = timedelta(days=7 if period.weekly else 1)
    first = period.history_first_day
    if period.weekly:
        first -= timedelta(days=first.weekday())
    last = period.history_last_day + length
    first = min(first, last - length * FEWEST_BUCKETS)
    days = (last - first).days
    shown = "%b %Y" if days > 200 else "%-d %b"
    return alt.X(
        shorthand,
        title=None,
        # "utc": a browser elsewhere shows the same days
        scale=alt.Scale(type="utc", domainMin=_milliseconds(first), domainMax=_milliseconds(last), nice=False),
        axis=alt.Axis(format=shown, labelOverlap=True, labelSeparation=6, labelFlush=False, tickCount={"interval": "week", "step": 1} if 20 < days < 60 else 7),
    )  # fmt: skip


def _milliseconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp() * 1000)


def bars_over_time(
    y: alt.Axis, title: str, tooltip: list[alt.Tooltip], period: Period, *, colour: Any = None
) -> Drawn:
    """A bar for each day or week, of `spans`; with a colour, those of one day are stacked in the order of the rows."""
    bars = (
        alt.Chart(alt.NamedData("rows"))
        .mark_rect(color=ACCENT)
        .encode(
            x="start:T",
            x2="end:T",
            y=alt.Y("top:Q", title=title, axis=y, scale=alt.Scale(zero=True)),
            y2="base:Q",
            tooltip=[when(), *tooltip],
        )
    )
    return alt.layer(_band(period), bars.encode(color=colour) if colour is not None else bars)


def _band(period: Period) -> Drawn:
    """A faint background behind the days of the period, and the axis of time."""
    first = max(period.first_day, period.history_first_day)
    if period.weekly:
        first -= timedelta(days=first.weekday())
    last = period.last_day + timedelta(days=1)
    if first <= period.history_first_day:
        last = first  # nothing to set off
    values = [{"from": first.isoformat(), "to": last.isoformat()}]
    return (
        alt.Chart(alt.InlineData(values, name="period"))
        .mark_rect(color="var(--band)")
        .encode(x=time_axis(period, "from:T"), x2="to:T")
    )


def stacked(rows: Sequence[Row], key: str) -> list[Row]:
    """The rows with `base` and `top`, in the order of `start`; rows of one day are on top of each other."""
    heights: dict[Any, float] = {}
    found = []
    for row in sorted(rows, key=lambda row: row["start"]):
        base = heights.get(row["start"], 0)
        heights[row["start"]] = top = round(base + row[key], 6)
        found.append(row | {"base": base, "top": top})
    return found


def line_over_time(field: str, y: alt.Y, tooltip: list[alt.Tooltip], period: Period) -> Drawn:
    """A line through the middle of each day or week, and points for the tooltip; needs `spans`."""
    return alt.layer(
        _band(period),
        alt.Chart(alt.NamedData("rows"))
        .mark_line(color=ACCENT, strokeWidth=2, interpolate="monotone")
        .encode(x="middle:T", y=y),
        # The scale is given once: Vega-Lite warns if both layers have it.
        alt.Chart(alt.NamedData("rows"))
        .mark_point(color=ACCENT, filled=True, size=24, opacity=1 if period.buckets < 100 else 0)
        .encode(x="middle:T", y=f"{field}:Q", tooltip=[when(), *tooltip]),
    )


def colours(column: str, of: Mapping[str, str]) -> alt.Color:
    """Colours by value. The page writes the legend, because one inside of the chart cannot wrap on a phone."""
    return alt.Color(f"{column}:N", scale=alt.Scale(domain=list(of), range=list(of.values())), legend=None)


def counts(*, grid: bool = True, ticks: int = 5) -> alt.Axis:
    """An axis of whole numbers: `9,500`, `12,000`."""
    return alt.Axis(
        labelExpr="datum.value % 1 ? '' : format(datum.value, ',')", tickCount=ticks, tickMinStep=1, grid=grid
    )


def names(most: int) -> alt.Y:
    """An axis of names, at most `most` pixels wide, in the order of the rows; they are the values of `short`."""
    return alt.Y("short:N", sort=None, title=None, axis=alt.Axis(labelLimit=most))


def conversations_over_time(
    name: str, title: str, rows: Sequence[Row], period: Period, *, kind: str, of: Mapping[str, str], view: str, subtitle: str, note: str
) -> Chart:  # fmt: skip
    """Stacked bars: conversations by day or week and `kind`, whose values and colours are `of`; rows have a number for each."""
    data = spans(
        stacked(
            [
                {"start": row["start"], kind: value, "sessions": row[value]}
                for row in rows
                for value in of
                if row[value]
            ],
            "sessions",
        ),
        period,
    )
    sums = {value: sum(row[value] for row in rows) for value in of}
    bars = bars_over_time(
        counts(),
        "conversations",
        [alt.Tooltip(f"{kind}:N"), alt.Tooltip("sessions:Q", title="conversations", format=",")],
        period,
        colour=colours(kind, of),
    )
    return Chart(
        name,
        title,
        specification(
            bars,
            description=f"Stacked bars of {sum(sums.values()):,} conversations by {each(period)} and {kind}, {range_of(data)}: "
            + ", ".join(f"{count:,} {value}" for value, count in sums.items())
            + ".",
            rows=data,
        ),
        view,
        [when_column(), *(TableColumn(value, value, wordings.number) for value in of)],
        spans(rows, period),
        subtitle=subtitle,
        legend=list(of.items()),
        note=note,
    )


def when() -> alt.Tooltip:
    """The first line of a tooltip: day, week or hour."""
    return alt.Tooltip("when:N", title=" ")


def when_column() -> TableColumn:
    """The first column of a table over time."""
    return TableColumn("when", "when", numeric=False)
