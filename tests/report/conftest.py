"""Hand-made rows with the views over them, pages without Vega's scripts, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import vl_convert

from browser import EXECUTABLE, Browser, browser
from sql_rows import Rows


@pytest.fixture(scope="module")
def database(made_views: Path) -> Rows:
    """The tables and all views."""
    return Rows(made_views)


@pytest.fixture
def rows(database: Rows) -> Rows:
    """The same without a row."""
    database.clear()
    return database


@pytest.fixture
def without_vega(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with a short script in place of Vega, which takes seconds to bundle."""
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda snippet: snippet)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium far from UTC, so that a chart in the browser's own time zone would show other days."""
    if EXECUTABLE is None:
        pytest.skip("no Chromium is installed")
    with browser("America/Los_Angeles") as found:
        yield found
