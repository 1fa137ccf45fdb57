"""Hand-made rows with the views over them, emptied before each test."""

from pathlib import Path

import pytest

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
