"""Hand-made rows with the views over them, emptied before each test."""

import pytest

from sql_rows import Rows


@pytest.fixture(scope="module")
def database() -> Rows:
    """The tables and all views; one for each module, because creating them takes longer than a test."""
    rows = Rows()
    rows.create_views()
    return rows


@pytest.fixture
def rows(database: Rows) -> Rows:
    """The same without a row."""
    database.clear()
    return database
