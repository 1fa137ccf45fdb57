"""For all notebooks: finds the warehouse, sets the look of plots and tables, and draws what they have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.transforms import ScaledTranslation

import vapi_sessions
from vapi_sessions.errors import ConfigurationError

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent

BLUE, ORANGE, GREEN, RED, PURPLE, SLATE = PALETTE = (
    "#2a6f97", "#e09f3e", "#6a994e", "#9e2a2b", "#7b6d8d", "#5f6b76",
)  # fmt: skip
MUTED = "#c9ced3"
#: Outcomes of a session, and of a tool call.
OUTCOMES = {"completed": BLUE, "expired": RED, "open": ORANGE}
ANSWERS = {"answered": BLUE, "failed": RED, "empty": PURPLE, "unanswered": ORANGE}

plt.style.use(HERE / "vapi.mplstyle")
pl.Config(
    tbl_hide_dataframe_shape=True,
    tbl_hide_column_data_types=True,
    fmt_str_lengths=90,
    tbl_cols=20,
    tbl_rows=40,
    tbl_width_chars=160,
)


def open_warehouse() -> duckdb.DuckDBPyConnection:
    """Connect to the warehouse, and print which one it is.

    It is the first of: VAPI_WAREHOUSE; the demo's, in the checkout or beside it; `warehouse` in the checkout, or in the
    working directory. Raises ConfigurationError if there is none.
    """
    place, reason = _found()
    con = vapi_sessions.connect(place)
    sessions, until = con.sql(
        "SELECT COUNT(*), (SELECT STRFTIME(complete_until, '%Y-%m-%d %H:%M UTC') FROM freshness) FROM sessions"
    ).fetchall()[0]
    print(
        f"Warehouse: {_shown(place)} ({reason}), {sessions:,} sessions, complete until {until or 'nothing yet'}."
    )
    return con


def _found() -> tuple[Path, str]:
    if given := os.environ.get("VAPI_WAREHOUSE"):
        return Path(given), "VAPI_WAREHOUSE"
    places = [
        (CHECKOUT / "demo" / "warehouse", "the demo's"),
        (CHECKOUT.parent / "demo" / "warehouse", "the demo's"),
        (CHECKOUT / "warehouse", "your own"),
        (Path.cwd() / "warehouse", "your own"),
    ]
    for place, reason in places:
        if (place / "vapi.duckdb").is_file():
            return place, reason
    raise ConfigurationError(
        f"No warehouse in {' or '.join(_shown(place) for place, _ in places[:3])}, and VAPI_WAREHOUSE is not set.",
        "Run make demo in the checkout, or set VAPI_WAREHOUSE to the absolute path of yours; then restart the kernel.",
    )


def _shown(place: Path) -> str:
    return str(place.relative_to(CHECKOUT) if place.is_relative_to(CHECKOUT) else place)


def legend(axes: Axes) -> None:
    """The legend beside the plot, if there is anything to explain. Parts of a stack stand in its order, marks after them."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        bars = [n for n, handle in enumerate(handles) if isinstance(handle, BarContainer)]
        others = [n for n in range(len(handles)) if n not in bars]
        order = [*reversed(bars), *others] if len(bars) > 1 else [*bars, *others]
        axes.legend(
            [handles[n] for n in order], [labels[n] for n in order], loc="upper left", bbox_to_anchor=(1, 1)
        )


def day_axis(axes: Axes) -> None:
    """Days below the plot, with few labels."""
    locator = mdates.AutoDateLocator(minticks=3, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, show_offset=False))


def stacked_days(
    axes: Axes, frame: pl.DataFrame, parts: Mapping[str, str], *, pending: str | None = None
) -> None:
    """Bars for each `day`: one column of the frame on the other, in the given colours.

    A triangle on top marks days on which the column `pending` is not zero: their bars will grow.
    """
    days = frame["day"].to_list()
    height = [0.0] * len(days)
    for name, color in parts.items():
        values = frame[name].fill_null(0).to_list()
        if any(values):
            axes.bar(days, values, bottom=height, width=0.85, label=name, color=color)
            height = [below + value for below, value in zip(height, values, strict=True)]
    if pending is not None and len(marked := frame.filter(pl.col(pending) > 0)):
        top = dict(zip(days, height, strict=True))
        above = ScaledTranslation(0, 5 / 72, axes.get_figure().dpi_scale_trans)
        axes.plot(
            marked["day"].to_list(), [top[day] for day in marked["day"]], "^", color=SLATE, markersize=4,
            transform=axes.transData + above, label="some pending",
        )  # fmt: skip
    if days:
        day_axis(axes)
    legend(axes)


def histogram(axes: Axes, values: pl.Series, unit: str, *, color: str = BLUE, bins: int = 30) -> None:
    """A histogram with its median and 90th percentile. The largest 1 % are in the last bar."""
    values = values.drop_nulls()
    top = float(values.quantile(0.99) or 1) if len(values) else 1.0
    if values.dtype.is_integer():
        top = max(top, 10.0)
        step = -(-int(top) // bins)
        edges: Sequence[float] = range(0, int(top) + step + 1, step)
    else:
        edges = [top * n / bins for n in range(bins + 1)]
    axes.hist(values.clip(upper_bound=edges[-1]).to_list(), bins=list(edges), color=color)
    for name, share, style in (("median", 0.5, "-"), ("p90", 0.9, ":")):
        if len(values):
            at = float(values.quantile(share, "linear") or 0)
            axes.axvline(at, color=RED, linewidth=1.3, linestyle=style, label=f"{name} {at:,.4g}")
    axes.set_xlabel(unit)
    if len(values):
        axes.legend(loc="upper right", frameon=True, framealpha=0.85, edgecolor="none")


def intervals(
    axes: Axes,
    frame: pl.DataFrame,
    label: str,
    middle: str,
    low: str,
    high: str,
    count: str,
    *,
    color: str = BLUE,
) -> None:
    """A dot for each row with its 95 % interval, and how many it is based on. Wide intervals mean: too few to tell."""
    rows = frame.filter(pl.col(middle).is_not_null()).reverse()
    for n, (at, least, most, number) in enumerate(rows.select(middle, low, high, count).rows()):
        if least is not None and most is not None:
            axes.plot([least, most], [n, n], color=MUTED, linewidth=5, solid_capstyle="round", zorder=1)
        axes.plot([at], [n], "o", color=color, zorder=2)
        axes.annotate(
            f"n = {number:,}",
            (1.01, n),
            xycoords=("axes fraction", "data"),
            va="center",
            color=SLATE,
            fontsize=8.5,
        )
    axes.set_yticks(range(len(rows)), [_short(name) for name in rows[label]])
    axes.set_ylim(-0.6, max(1, len(rows)) - 0.4)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def stacked_bars(axes: Axes, frame: pl.DataFrame, label: str, parts: Mapping[str, str]) -> None:
    """A horizontal bar for each row, the first on top: one column on the other, in the given colours."""
    rows = frame.reverse()
    start = [0.0] * len(rows)
    for name, color in parts.items():
        values = rows[name].fill_null(0).to_list()
        if any(values):
            axes.barh(range(len(rows)), values, left=start, color=color, label=name)
            start = [before + value for before, value in zip(start, values, strict=True)]
    axes.set_yticks(range(len(rows)), [_short(name) for name in rows[label]])
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    legend(axes)


def _short(name: str | None) -> str:
    text = name or "(none)"
    return text if len(text) <= 26 else text[:25] + "…"


def transcript(con: duckdb.DuckDBPyConnection, session_id: str) -> str:
    """A conversation as text. `≤` marks messages without a time of their own: they were sent then or earlier."""
    import textwrap

    rows = con.sql(
        """
        SELECT
            CASE message_at_source WHEN 'sent_at' THEN ' ' ELSE '≤' END || STRFTIME(message_at, '%H:%M:%S'),
            COALESCE(speaker, '?'),
            COALESCE(text, ''),
            tools_called
        FROM transcript
        WHERE session_id = ?
        ORDER BY message_index
        """,
        params=[session_id],
    ).fetchall()
    lines = []
    for clock, speaker, text, tools in rows:
        said = textwrap.wrap(textwrap.shorten(text, 400, placeholder=" …"), 84)
        said += [f"→ calls {', '.join(tools)}"] if tools else []
        lines.append(f"{clock}  {speaker:<10} " + ("\n" + " " * 22).join(said))
    return "\n".join(lines)
