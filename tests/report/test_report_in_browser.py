"""The report in a real browser, by what is on the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reporting import HOSTILE, conversation, page_of

import vapi_sessions
from browser import Browser, Page
from sql_rows import Rows, after
from vapi_sessions.report import wordings
from vapi_sessions.report.report_file import write_report

pytestmark = pytest.mark.proof

DRAWN = "document.documentElement?.dataset.drawn"
#: Elements that reach beyond the right edge, except those in a box that scrolls by itself.
OVERFLOWING = """[...document.querySelectorAll('#page *')].filter(e => !e.closest('.scroll, .hidden')
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def demo_report(demo_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of generated conversations, since a day in the middle."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report(demo_warehouse, out)
    return out


@pytest.fixture
def page(chromium: Browser, demo_report: Path) -> Page:
    """That report on a wide screen, drawn."""
    found = chromium.page()
    found.look(1200)
    found.open(demo_report, DRAWN)
    return found


@pytest.fixture
def hostile_page(chromium: Browser, database: Rows, tmp_path: Path) -> Page:
    """A report of one session in which every text is hostile."""
    database.clear()
    conversation(
        database,
        "s1",
        HOSTILE,
        tool=HOSTILE,
        customer_name=HOSTILE,
        assistant_name=HOSTILE,
        model_name=HOSTILE,
    )
    database.run("UPDATE store.costs SET model_name = ?", [HOSTILE])
    database.run("UPDATE store.structured_outputs SET name = ?, result = ?", [HOSTILE, json.dumps(HOSTILE)])
    database.complete_until(after(3600))
    out = tmp_path / "hostile.html"
    out.write_text(page_of(database), "utf-8")
    found = chromium.page()
    found.look(1200)
    found.open(out, DRAWN)
    return found


def test_every_chart_is_drawn(page: Page) -> None:
    """As SVG with marks in it and a description for screen readers."""
    charts = page.run(
        """[...document.querySelectorAll('.chart')].map(e => [e.id, e.querySelectorAll('svg path, svg text').length,
        e.getAttribute('aria-label')?.length, e.querySelector('svg')?.getBoundingClientRect().width])"""
    )
    assert len(charts) >= 10
    for name, marks, description, width in charts:
        assert marks > 5, name
        assert description > 30, name
        assert width > 200, name


def test_the_page_is_quiet(page: Page, demo_report: Path) -> None:
    """Nothing but the file itself is asked for, and nothing is written to the console."""
    page.click("[data-opens]")
    page.run("window.scrollTo(0, document.body.scrollHeight)")
    assert page.requests == [demo_report.as_uri()]
    assert page.console == []


def test_headlines_on_the_screen_equal_sql(page: Page, demo_warehouse: Path) -> None:
    """Seven days of the twenty; the whole history is in the charts."""
    with vapi_sessions.connect(demo_warehouse) as db:
        ((since, sessions, cost, messages),) = db.execute(
            """WITH edge AS (SELECT date_trunc('day', complete_until) - INTERVAL 6 DAY AS since FROM freshness)
            SELECT since, count(*), sum(cost_usd), sum(message_count)::BIGINT FROM sessions, edge WHERE created_at >= since
            GROUP BY since"""
        ).fetchall()
        ((everything,),) = db.execute("SELECT count(*) FROM sessions").fetchall()
    assert page.text(".period").startswith(wordings.day(since.date()))
    for name, value in (
        ("conversations", wordings.number(sessions)),
        ("cost", wordings.money(cost)),
        ("messages", wordings.number(messages)),
    ):
        assert page.text(f"#headline-{name} .value") == value
    assert f"{everything:,} conversations" in page.run("document.querySelector('#chart-outcomes').ariaLabel")


def test_days_are_those_of_the_warehouse_in_a_browser_elsewhere(page: Page, demo_warehouse: Path) -> None:
    """The browser is in Los Angeles: the first bar begins at the left edge of the axis, at midnight in UTC."""
    assert page.run("new Date('2026-01-01').getDate()") == 31
    with vapi_sessions.connect(demo_warehouse) as db:
        ((first,),) = db.execute("SELECT min(day) FROM session_facts").fetchall()
    label, left = page.run(
        """(() => { const bars = [...document.querySelectorAll('#chart-messages .mark-rect path')].filter(e => e.getAttribute('d'));
        const xs = bars.map(e => Number(/translate\\(([^,]+)/.exec(e.getAttribute('transform') ?? 'translate(0,')?.[1] ?? 0)
            + Number(/^M([^,]+)/.exec(e.getAttribute('d'))[1])).slice(1);
        return [document.querySelector('#messages-figure tbody td').innerText
            || document.querySelector('#messages-figure tbody td').textContent, Math.min(...xs)]; })()"""
    )
    assert label == wordings.weekday(first)
    assert left == pytest.approx(0, abs=1)


def test_a_click_opens_the_transcript(page: Page, demo_warehouse: Path) -> None:
    """Of the most expensive session: its id, its words, its tools, and what these answered."""
    assert page.run("document.querySelector('dialog[open]')") is None
    page.click("[data-opens]")
    shown = page.text("dialog[open]")
    with vapi_sessions.connect(demo_warehouse) as db:
        ((session_id, cost),) = db.execute(
            """SELECT session_id, cost_usd FROM session_facts, freshness
            WHERE created_at >= date_trunc('day', complete_until) - INTERVAL 6 DAY ORDER BY cost_usd DESC NULLS LAST LIMIT 1"""
        ).fetchall()
        texts = db.execute(
            "SELECT text FROM transcript WHERE session_id = ? AND speaker = 'customer' ORDER BY message_index LIMIT 20",
            [session_id],
        ).fetchall()
        results = db.execute(
            "SELECT function_name, result FROM tool_calls WHERE session_id = ? ORDER BY message_index LIMIT 3",
            [session_id],
        ).fetchall()
    assert session_id in shown
    assert wordings.money(cost) in shown
    assert texts
    for text in (*(text for (text,) in texts), *(part for result in results for part in result if part)):
        assert " ".join(text.split()) in " ".join(shown.split())
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
    page.wait("document.querySelector('dialog[open]') === null")


def test_what_callers_say_runs_nothing(hostile_page: Page) -> None:
    """It is on the screen as text: in the transcript, in the tooltip of a chart, in a legend; no dialog appears."""
    visible = " ".join(HOSTILE.split())
    assert visible in " ".join(hostile_page.text("#cost-over-time-figure").split())
    hostile_page.click("[data-opens]")
    assert visible in " ".join(hostile_page.text("dialog[open]").split())
    hostile_page.run("document.querySelector('dialog[open]').close()")
    where = hostile_page.run(
        """(() => { const e = document.querySelector('#chart-tools .mark-rect path'); e.scrollIntoView({block: 'center',
        behavior: 'instant'}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"""
    )
    hostile_page.call("Input.dispatchMouseEvent", type="mouseMoved", x=where[0], y=where[1])
    hostile_page.wait("document.querySelector('#vg-tooltip-element.visible')")
    assert "<script>alert('said')</script>" in hostile_page.text("#vg-tooltip-element")
    assert hostile_page.dialogs == []
    assert hostile_page.run("document.querySelectorAll('img, script[src], #page script').length") == 0
    assert hostile_page.console == []


def test_the_policy_stops_scripts_and_requests(page: Page) -> None:
    """Even if something came through as an element: neither its script runs, nor is its picture fetched."""
    page.run(
        """{ document.querySelector('#page').insertAdjacentHTML('beforeend',
        '<img src="https://example.com/x.png"><img src="data:," onerror="window.hit = 1">');
        const s = document.createElement('script'); s.textContent = 'window.hit = 1'; document.body.append(s); }"""
    )
    page.wait(
        "document.querySelectorAll('#page img').length === 2 && [...document.images].every(i => i.complete)"
    )
    assert page.run("window.hit") is None
    assert page.requests[1:] == ["https://example.com/x.png"]
    assert page.blocked == ["csp"]


@pytest.mark.parametrize(("scheme", "switched"), [("light", "dark"), ("dark", "light")])
def test_colours_follow_the_system_and_the_switch(
    chromium: Browser, demo_report: Path, scheme: str, switched: str
) -> None:
    """Page and charts; the choice is kept when the page is loaded again."""
    page = chromium.page()
    page.look(1200, scheme=scheme)
    page.open(demo_report, DRAWN)
    page.run("localStorage.clear(); document.documentElement.removeAttribute('data-theme')")
    colours = """[getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('#chart-messages .mark-rect path[fill*=accent]')).fill]"""

    def brightness(colour: str) -> int:
        return sum(int(part) for part in colour[4:-1].split(","))

    before = page.run(colours)
    assert (brightness(before[0]) > 384) is (scheme == "light")
    page.click("#theme")
    after_switch = page.run(colours)
    assert (brightness(after_switch[0]) > 384) is (switched == "light")
    assert before[1] != after_switch[1]
    page.open(demo_report, DRAWN)
    assert page.run(colours) == after_switch
    page.run("localStorage.clear()")


@pytest.mark.parametrize("width", [420, 768, 1200])
def test_nothing_reaches_beyond_the_edge(page: Page, width: int) -> None:
    """The page does not scroll sideways, charts have the new width, and tables scroll in their own box."""
    page.look(width)
    page.wait(f"document.querySelector('#chart-outcomes svg').getBoundingClientRect().right < {width}")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(OVERFLOWING) == []


def test_print_is_light_and_complete(page: Page) -> None:
    """Without buttons, whatever the system prefers; and it makes a document of some pages."""
    page.call(
        "Emulation.setEmulatedMedia",
        media="print",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    assert (
        page.run("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert page.run("document.querySelector('#theme').offsetParent") is None
    assert page.run(OVERFLOWING) == []
    assert len(page.call("Page.printToPDF")["data"]) > 50_000


def test_an_open_transcript_is_printed_from_its_beginning(page: Page) -> None:
    """Also one that is longer than the window, and of which the reader has seen the end."""
    page.click("[data-opens]")
    page.run("document.querySelector('dialog[open]').scrollTop = 100000")
    page.call("Emulation.setEmulatedMedia", media="print")
    beginning = "document.querySelector('dialog[open] header').getBoundingClientRect().top + window.scrollY"
    assert page.run(beginning) >= 0
    assert page.run("document.querySelector('dialog[open]').scrollHeight > window.innerHeight")


def test_charts_are_drawn_as_wide_as_the_paper_makes_them(page: Page) -> None:
    """Whatever the window was, so that their labels keep their size; afterwards they fit the window again."""
    width = "document.querySelector('#chart-outcomes svg').width.baseVal.value"
    before = page.run(width)
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run(width) == 325
    assert page.run("document.querySelector('#chart-cost-over-time svg').width.baseVal.value") == 690
    page.run("window.dispatchEvent(new Event('afterprint'))")
    page.wait(f"{width} === {before}")
