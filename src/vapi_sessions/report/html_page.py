"""The page: sections of charts and tables, put into `page.html` with `page.css` and `page.js`.

Everything from the warehouse is escaped: as HTML by Jinja, as JSON for the charts. Beyond that, the page's content security
policy runs only the two scripts that are named by their hashes, and allows no request at all.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vapi_sessions import __version__
from vapi_sessions.report import (
    conversation_charts,
    cost_charts,
    customer_charts,
    figures,
    transcripts,
    wordings,
)  # fmt: skip
from vapi_sessions.report.drawing import CONFIG, Chart
from vapi_sessions.report.period import Period, Reader, Row


@dataclass(frozen=True)
class Section:
    """A part of the page with its charts; `assistants` and `transcripts` are tables that only one section has."""

    name: str
    title: str
    charts: Sequence[Chart]
    small: Sequence[Chart] = ()
    assistants: Sequence[Row] = ()
    nothing: str = ""
    note: str = ""


def render(reader: Reader, fresh: Row, period: Period | None) -> bytes:
    """The page as UTF-8. Without a period there is no session, and the page says so."""
    if period:
        figures.keep(reader, period)
    parts = sections(reader, period) if period else []
    charts = [chart for part in parts for chart in (*part.charts, *part.small)]
    scripts = (
        [vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), _file("page.js")]
        if charts
        else [_file("page.js")]
    )
    page = _environment().get_template("page.html").render(
        version=__version__,
        fresh=fresh,
        period=period,
        title=_title(period),
        headlines=figures.headlines(reader, period) if period else [],
        sections=parts,
        transcripts=transcripts.most_expensive(reader, period) if period else [],
        checks=figures.failing_checks(reader),
        specs={chart.name: chart.spec for chart in charts},
        config=CONFIG,
        style=Markup(_file("page.css")),  # noqa: S704  # our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704  # our own file and the bundle, without </script>
        hashes=[_hash(script) for script in scripts],
    )  # fmt: skip
    return page.encode("utf-8", "replace")


def sections(reader: Reader, period: Period) -> list[Section]:
    """The sections with their charts. A chart without data is left out; a section without charts says why."""
    facts, bins = figures.cost_distribution(reader, period)
    by_model = figures.cost_by_model(reader, period)
    costs = []
    if by_model:
        pending, rest = figures.pending_cost(reader, period), figures.not_itemised(reader)
        low = figures.understated(reader)
        costs.append(cost_charts.cost_over_time(by_model, pending, rest, low, period))
    if bins:
        costs.append(cost_charts.cost_distribution(facts, bins))
    conversations = [
        conversation_charts.outcomes_over_time(figures.outcomes(reader, period), period),
        conversation_charts.messages_over_time(figures.messages(reader, period), period),
    ]
    if ended := figures.completed_share(reader, period):
        conversations.append(conversation_charts.completed_share(ended, period))
    hours = figures.busiest_hours(reader, period)
    if any(row["sessions"] for row in hours):
        conversations.append(conversation_charts.busiest_hours(hours, str(period.zone)))
    calls = figures.tools(reader, period)
    outputs = figures.outputs(reader, period)
    drawn = [found for found in outputs if not found["unique"]]
    people, visits = figures.customers(reader)
    return [
        Section("cost", "Cost", costs, assistants=figures.assistants(reader, period), nothing="No conversation has a price yet."),
        Section("conversations", "Conversations", conversations),
        Section("tools", "Tools", [conversation_charts.tools(calls)] if calls else [], nothing="No tool was called in this period."),
        Section(
            "results",
            "Structured outputs",
            [],
            small=[customer_charts.output(number, found, period) for number, found in enumerate(drawn, start=1)],
            note=" ".join(_of_outputs(outputs, period)),
            nothing="No structured output in this period.",
        ),
        Section(
            "customers",
            "Customers",
            [
                customer_charts.visits(visits, people),
                customer_charts.contacts_over_time(figures.contacts(reader, period), period),
            ]
            if people["customers"]
            else [],
            nothing="No conversation has a known customer.",
        ),
    ]  # fmt: skip


def _of_outputs(outputs: Sequence[Row], period: Period) -> Iterator[str]:
    """What the charts of structured outputs show, and what they leave out."""
    if any(found["kind"] != "text" for found in outputs):
        window = "week by week" if period.weekly else "over seven days up to each day"
        yield f"Figures are of this period; lines show the whole history, {window}."
    for found in outputs:
        if found["unique"]:
            texts = wordings.counted(found["distinct_values"], "different text")
            yield (
                f"No chart of “{found['label']}”: its texts hardly repeat, with {texts} in "
                f"{wordings.counted(found['sessions'], 'conversation')}."
            )


def _title(period: Period | None) -> str:
    if period is None:
        return "Vapi sessions"
    days = [wordings.day(day) for day in dict.fromkeys((period.first_day, period.last_day))]
    return f"Vapi sessions, {' to '.join(days)}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vapi_sessions.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        number=wordings.number, money=wordings.money, share=wordings.share, day=wordings.day, moment=wordings.moment,
        zone=ZoneInfo,
    )  # fmt: skip
    environment.globals.update(
        counted=wordings.counted,
        change=wordings.change,
        amounts=wordings.amounts,
        written=_written,
        later=wordings.later,
    )
    # Compact, and without the default of sorted keys, which would change the order of layers' datasets.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "default": str}
    return environment


def _written(headline: figures.Headline, value: float | None) -> str:
    money = wordings.amounts((headline.value, headline.before))
    write: Any = {"count": wordings.number, "money": money, "share": wordings.share}[headline.kind]
    return str(write(value))


@functools.cache
def _file(name: str) -> str:
    return importlib.resources.files("vapi_sessions.report").joinpath(name).read_text("utf-8")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
