"""Reports of hand-made rows, and what a page says, read with the parser of the standard library."""

from __future__ import annotations

import json
import re
from datetime import date
from html.parser import HTMLParser
from typing import Any

from sql_rows import Rows, after
from vapi_sessions.report import figures, html_page
from vapi_sessions.report.period import Period, Reader, choose, freshness
from vapi_sessions.schema import COSTS, STRUCTURED_OUTPUTS, TOOL_CALLS

#: What a caller could say or be called. None of it may be more than text.
HOSTILE = """<script>alert('said')</script> "><img src=x onerror="alert('drawn')"> </script><script>alert(1)</script> {{ 7 * 7 }} \u2028"""


def reader_of(rows: Rows, since: date | None = None) -> tuple[Reader, Period]:
    """The rows as `figures` reads them, and the period."""
    reader = Reader(rows.connection)
    period = choose(reader, freshness(reader), since)
    assert period is not None
    figures.keep(reader, period)
    return reader, period


def page_of(rows: Rows, since: date | None = None) -> str:
    """The page about these rows."""
    reader = Reader(rows.connection)
    fresh = freshness(reader)
    return html_page.render(reader, fresh, choose(reader, fresh, since)).decode()


def conversation(rows: Rows, session_id: str, text: str = "hello", **values: Any) -> None:
    """A session with a question, a tool call with its result, an answer, costs and an output; `text` is wherever a text can be."""
    tool = values.pop("tool", "look_up")
    result = values.pop("result", text)
    values = {
        "status": "completed", "cost_usd": 0.5, "message_count": 4, "tool_call_count": 1, "customer_number": "+15551230000",
        "assistant_id": "a1", "assistant_name": "Riley", "expires_at": after(days=400), **values,
    }  # fmt: skip
    rows.session(session_id, **values)
    rows.messages(
        session_id,
        ("user", f"{text} please"),
        {"role": "assistant", "content": None, "tool_call_count": 1},
        {"role": "tool", "content": result, "tool_call_id": "c1"},
        ("assistant", f"{text} done"),
    )
    rows.child(
        TOOL_CALLS, session_id, message_index=1, tool_call_index=0, tool_call_id="c1", function_name=tool,
        arguments=json.dumps({"query": text}), result=result, result_message_index=2,
    )  # fmt: skip
    rows.child(
        COSTS, session_id, cost_index=0, type="model", model_name="gpt", prompt_tokens=1_200, cost_usd=0.4
    )
    rows.child(COSTS, session_id, cost_index=1, type="session", cost_usd=0.1)
    rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id="o1", name="CSAT", result="4")


class Seen(HTMLParser):
    """The elements of a page, and the visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._hidden = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._hidden = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""
        if tag not in ("b", "code", "span"):
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """The visible text, with single blanks."""
        return " ".join("".join(self.texts).split())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of that kind."""
        return [attributes for found, attributes in self.tags if found == tag]


def specs_of(page: str) -> dict[str, Any]:
    """The specifications of the charts in a page, by name."""
    (data,) = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', page, re.DOTALL)
    charts: dict[str, Any] = json.loads(data)["charts"]
    return charts
