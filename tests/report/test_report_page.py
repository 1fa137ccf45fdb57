"""The page of a report, read without a browser."""

from __future__ import annotations

import json
import re

import pytest
from reporting import HOSTILE, Seen, conversation, page_of, specs_of

from sql_rows import Rows, after
from vapi_sessions.report import wordings
from vapi_sessions.report.transcripts import MOST_SESSIONS
from vapi_sessions.schema import COSTS

pytestmark = pytest.mark.usefixtures("without_vega")


@pytest.fixture
def ordinary(rows: Rows) -> Rows:
    """Two days with sessions of two customers."""
    conversation(rows, "s1", created_at=after(days=-1), cost_usd=1.25)
    conversation(rows, "s2", customer_number="+15550000002", cost_usd=2.5)
    conversation(rows, "s3", cost_usd=None)
    rows.complete_until(after(3600))
    return rows


def test_headline_figures_are_on_the_page(ordinary: Rows) -> None:
    """With the change against the day before."""
    text = Seen(page_of(ordinary)).text
    assert "conversations 2 +100% from 1" in text
    assert "cost $2.50 +100% from $1.25 1 still without a price" in text
    assert "completed 100% ±0.0 points from 100%" in text


def test_every_chart_has_a_place_a_description_and_a_table(ordinary: Rows) -> None:
    """So that it can be read without seeing it."""
    page = page_of(ordinary)
    seen, specs = Seen(page), specs_of(page)
    assert set(specs) == {
        "cost-over-time", "cost-distribution", "outcomes", "messages", "completed-share", "hours", "tools", "output-1",
        "visits", "contacts",
    }  # fmt: skip
    places = {attributes.get("id") for attributes in seen.attributes("div")}
    for name, spec in specs.items():
        assert f"chart-{name}" in places
        assert re.fullmatch(r"[A-Z].*\.", spec["description"], re.DOTALL)
        assert spec["description"] in seen.text
        assert spec["width"] == "container"
        (figure,) = re.findall(rf'id="{name}-figure".*?</figure>', page, re.DOTALL)
        assert figure.count("<tr>") >= 2


def test_each_dataset_of_a_chart_has_its_rows(ordinary: Rows) -> None:
    """The sum of the bars equals SQL."""
    specs = specs_of(page_of(ordinary))
    (cost,) = ordinary.run("SELECT round(sum(cost_usd), 6) FROM costs")[0]
    assert sum(row["cost_usd"] for row in specs["cost-over-time"]["datasets"]["rows"]) == pytest.approx(cost)
    assert sum(row["sessions"] for row in specs["outcomes"]["datasets"]["rows"]) == 3
    assert [row["pending"] for row in specs["cost-over-time"]["datasets"]["pending"]] == [1]


def test_costs_that_may_be_too_low_are_marked(rows: Rows) -> None:
    """In the list, in the conversation and its components, and below the chart."""
    for number, complete in enumerate((False, True)):
        conversation(rows, f"s{number}", cost_usd=2.0 - number)
        rows.child(COSTS, f"s{number}", cost_index=2, type="model", cost_usd=0.9, usage_complete=complete)
    text = Seen(page_of(rows)).text
    for shown in ("$2.00+", "$2.00 or more", "$0.9000+", "1 conversation may cost more"):
        assert text.count(shown) == 1
    assert "$1.00+" not in text


@pytest.mark.proof
def test_the_page_asks_for_nothing(ordinary: Rows) -> None:
    """No link, picture, script or style from elsewhere; the policy forbids them, too."""
    seen = Seen(page_of(ordinary))
    assert [tag for tag, _ in seen.tags if tag in ("img", "link", "iframe", "object", "base")] == []
    assert all("src" not in attributes for attributes in seen.attributes("script"))
    assert all((a["href"] or "").startswith("#") for a in seen.attributes("a"))
    policy = next(
        a["content"] for a in seen.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert policy.count("'sha256-") == 2
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


@pytest.mark.proof
def test_anchors_of_the_page_exist(ordinary: Rows) -> None:
    """No two elements have one id, and each link in the page leads to one."""
    seen = Seen(page_of(ordinary))
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "")[1:] for a in seen.attributes("a")} <= set(ids)
    assert {b["data-opens"] for b in seen.attributes("button") if "data-opens" in b} <= set(ids)


def test_what_callers_say_is_text(rows: Rows) -> None:
    """In messages, arguments, results, and in every name: no element, no attribute, no end of a script."""
    plain = "harmless"
    shapes = []
    for text in (plain, HOSTILE):
        rows.clear()
        conversation(
            rows, "s1", text, tool=text, customer_name=text, assistant_name=text, model_name=text, status=text
        )
        rows.run("UPDATE store.costs SET model_name = ?, type = ?", [text, text])
        rows.run("UPDATE store.structured_outputs SET name = ?, result = ?", [text, json.dumps(text)])
        rows.complete_until(after(3600))
        rows.state(checks=json.dumps({text: 3}))
        page = page_of(rows)
        specs_of(page)
        seen = Seen(page)
        assert " ".join(text.split()) in seen.text
        shapes.append([(tag, sorted(a)) for tag, a in seen.tags])
    assert shapes[0] == shapes[1]


@pytest.mark.proof
def test_the_size_has_a_bound(rows: Rows) -> None:
    """The longest transcripts, of the characters that take most space when escaped: the page stays below 5 MB with Vega's 0.9."""
    for number in range(MOST_SESSIONS):
        rows.session(f"s{number}", cost_usd=1.0)
        rows.messages(f"s{number}", *(("user", '"' * 3_000) for _ in range(90)))
    rows.complete_until(after(3600))
    assert 3_000_000 < len(page_of(rows).encode()) < 4_100_000


def test_messages_without_text_are_told_apart_from_silence(rows: Rows) -> None:
    """With VAPI_MESSAGE_TEXT=drop, the warehouse has messages without content."""
    conversation(rows, "s1")
    rows.run("UPDATE store.messages SET content = NULL")
    rows.run("UPDATE store.tool_calls SET arguments = NULL, result = NULL")
    rows.complete_until(after(3600))
    text = Seen(page_of(rows)).text
    assert text.count("no text") == 2
    assert "hello" not in text


def test_one_session_is_readable(rows: Rows) -> None:
    """Nothing to compare with, and no division by zero."""
    rows.session("only")
    rows.complete_until(after(60))
    page = page_of(rows)
    text = Seen(page).text
    assert "conversations 1 cost – " in text
    assert "The warehouse holds no period before this one to compare with." in text
    for sentence in (
        "No conversation has a price yet.",
        "No tool was called in this period.",
        "No structured output in this period.",
        "No conversation has a known customer.",
    ):
        assert sentence in text
    assert set(specs_of(page)) == {"outcomes", "messages", "hours"}


def test_an_empty_warehouse_says_what_to_do(rows: Rows) -> None:
    """And still how complete it is."""
    rows.published()
    page = page_of(rows)
    text = Seen(page).text
    assert "The warehouse has no session yet. Run vapi-sessions sync, then write this report again." in text
    assert "sessions 0" in text
    assert specs_of(page) == {}
    assert len(page) < 50_000


def test_completeness_and_failing_checks(ordinary: Rows) -> None:
    """As the view freshness has them."""
    ordinary.state(checks='{"duplicate_keys": 3, "message_index_gaps": 0}')
    text = Seen(page_of(ordinary)).text
    assert "complete until 1 Aug 2026, 10:00" in text
    assert "failing checks 1 " in text
    assert "duplicate_keys 3 rows" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "$0.00"),
        (0.00001, "<$0.0001"),
        (0.0308, "$0.0308"),
        (12.345, "$12.35"),
        (7458.8, "$7,459"),
    ],
)
def test_amounts(value: float | None, text: str) -> None:
    """Small ones have more digits."""
    assert wordings.money(value) == text


@pytest.mark.parametrize(
    ("kind", "value", "before", "text"),
    [
        ("count", 9, 10, "−10%"),
        ("share", 0.5, 0.45, "+5.0 points"),
        ("money", 1.0, 0, ""),
        ("count", 3, None, ""),
        ("count", 5, 5, "±0.0%"),
    ],
)
def test_changes(kind: str, value: float, before: float | None, text: str) -> None:
    """Per cent; points for a share; nothing where nothing can be compared."""
    assert wordings.change(kind, value, before) == text
