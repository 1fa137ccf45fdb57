"""How the report writes amounts that are read together, and labels of axes."""

from __future__ import annotations

import pytest

from vapi_sessions.report import wordings
from vapi_sessions.report.drawing import counts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.37, 15.53, 0.002, None], ["$0.37", "$15.53", "<$0.01", "–"]),
        ([0.0123, 0.9, 0.0], ["$0.0123", "$0.9000", "$0.0000"]),
        ([1234.5, 8.2, 0.1], ["$1,234", "$8", "<$1"]),
        ([0.0, None], ["$0.00", "–"]),
        ([-2.5, 1.0], ["−$2.50", "$1.00"]),
        ([], []),
    ],
)
def test_amounts_of_a_table_have_the_decimals_of_the_largest(
    values: list[float | None], texts: list[str]
) -> None:
    """Below their last digit they are not written as zero."""
    assert list(map(wordings.amounts(values), values)) == texts


@pytest.mark.parametrize(
    ("largest", "form"),
    [
        (7.7, "$,.0f"),
        (4.0, "$,.0f"),
        (3.0, "$,.2f"),
        (0.13, "$,.2f"),
        (0.03, "$,.3f"),
        (0.002, "$,.4f"),
        (0.0375, "$,.2f"),
        (0, "$,.10f"),
    ],
)
def test_labels_of_an_axis_of_amounts_have_the_decimals_of_its_steps(largest: float, form: str) -> None:
    """$0.50 beside $1.00, and no two labels that are equal."""
    assert wordings.axis_of_amounts(largest, 5) == form


def test_labels_of_an_axis_of_counts_have_one_form() -> None:
    """Not 8,000 beside 12k."""
    assert counts().to_dict()["labelExpr"] == "datum.value % 1 ? '' : format(datum.value, ',')"


def test_long_labels_are_cut() -> None:
    """To the given number of characters."""
    assert [wordings.short(text, 4) for text in ("abcd", "abcde")] == ["abcd", "abc…"]
