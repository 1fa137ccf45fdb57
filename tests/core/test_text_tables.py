"""Text in columns: everything is visible, and nothing is wider than allowed."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterable
from typing import Final

import pytest
from rich.cells import cell_len

from vapi_sessions.core import text_tables
from vapi_sessions.core.text_tables import UNLIMITED, Grid

WORDS: Final = ("a", "session", "日本語", "👋", "e\u0301", "x" * 45, "[red]", ":smile:", "\\", "one\ntwo", "")


def drawn(grid: Grid, total: int, most: int = 99) -> list[list[str]]:
    """The lines of each table."""
    return [text.splitlines() for text in text_tables.boxes(grid, total, most)]


def cells(lines: list[str]) -> list[list[str]]:
    """The values in a table's lines."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line[0] == "│"]


def some_grid(chance: random.Random) -> Grid:
    """A few columns, with long, wide and empty values."""
    columns = chance.randint(1, 9)
    names = ["_".join(chance.choices(["cost", "usd", "日", "pending"], k=chance.randint(1, 5)))] * columns
    numeric = [chance.random() < 0.4 for _ in names]
    rows = [
        [
            str(chance.randint(0, 10**6))
            if number
            else " ".join(chance.choices(WORDS, k=chance.randint(1, 9)))
            for number in numeric
        ]
        for _ in range(chance.randint(0, 4))
    ]
    return Grid(names, numeric, rows)


def squeezed(texts: Iterable[str]) -> str:
    """Texts without white space."""
    return "".join("".join(texts).split())


@pytest.mark.parametrize("total", [40, 80])
def test_no_line_is_too_wide_and_no_value_is_lost(total: int) -> None:
    """For tables of every kind; all lines of one table are equally long."""
    chance = random.Random(total)
    counts = set()
    for _ in range(60):
        grid = some_grid(chance)
        tables = drawn(grid, total)
        counts.add(len(tables))
        shown = []
        for number, lines in enumerate(tables):
            assert {cell_len(line) for line in lines} == {cell_len(lines[0])}
            assert cell_len(lines[0]) <= total
            shown += list(zip(*cells(lines), strict=True))[1 if number else 0 :]
        given = zip(grid.names, *grid.rows, strict=True)
        assert [squeezed(column) for column in shown] == [squeezed(column) for column in given]
    assert {1, 2} < counts


def test_no_line_of_a_value_is_too_wide() -> None:
    """Long words are broken."""
    chance = random.Random(7)
    for _ in range(60):
        grid = some_grid(chance)
        for row in grid.rows:
            shown = text_tables.vertical(grid.names, row, 60)
            assert max(map(cell_len, shown.splitlines())) <= 60
            assert squeezed(shown) == squeezed(
                f"{name}={value}" for name, value in zip(grid.names, row, strict=True)
            )


def test_a_table_that_fits_is_as_narrow_as_its_values() -> None:
    """Numbers are aligned to the right, texts to the left."""
    grid = Grid(["name", "n"], [False, True], [["a", "1"], ["bcdefg", "234"]])
    assert text_tables.boxes(grid, UNLIMITED, 1)[0] == (
        "┌────────┬─────┐\n"
        "│ name   │   n │\n"
        "├────────┼─────┤\n"
        "│ a      │   1 │\n"
        "│ bcdefg │ 234 │\n"
        "└────────┴─────┘\n"
    )


def test_headers_are_broken_before_values() -> None:
    """At underscores, and only as far as it is necessary."""
    grid = Grid(["pending_session_count", "text"], [True, False], [["1", "as long as before"]])
    (whole,), (broken,) = drawn(grid, 60), drawn(grid, 32)
    assert len(whole) == 5
    assert [row[0] for row in cells(broken)] == ["pending_", "session_", "count", "1"]
    assert cells(broken)[-1] == ["1", "as long as before"]


def test_long_texts_are_wrapped_at_spaces_with_lines_between_rows() -> None:
    """The widest column becomes narrower."""
    grid = Grid(
        ["role", "content"], [False, False], [["user", "one two three four five six"], ["bot", "seven"]]
    )
    ((*lines,),) = drawn(grid, 32)
    assert cells(lines) == [
        ["role", "content"],
        ["user", "one two three four"],
        ["", "five six"],
        ["bot", "seven"],
    ]
    assert sum(line[0] == "├" for line in lines) == 2


def test_columns_that_do_not_fit_continue_in_further_tables() -> None:
    """Each has the first column, whose values identify the rows."""
    names = ["day", *(f"amount_{n}" for n in range(9))]
    rows = [["2026-01-01", *(str(n * 1000) for n in range(9))]]
    tables = drawn(Grid(names, [False, *[True] * 9], rows), 60)
    assert len(tables) == 3
    shown = [cells(lines)[-1] for lines in tables]
    assert [row[0] for row in shown] == ["2026-01-01"] * 3
    assert [value for row in shown for value in row[1:]] == rows[0][1:]
    assert text_tables.boxes(Grid(names, [False, *[True] * 9], rows), 60, 2) == []


def test_numbers_are_never_wrapped() -> None:
    """If they do not fit, there is no table."""
    assert text_tables.boxes(Grid(["n"], [True], [["1" * 50]]), 40, 9) == []
    assert text_tables.boxes(Grid(["t"], [False], [["1" * 50]]), 40, 9) != []


def test_what_looks_like_markup_is_data() -> None:
    """Rich would interpret it."""
    value = "[bold]x[/bold] :smile: [/]"
    assert value in text_tables.boxes(Grid([value], [False], [[value]]), UNLIMITED, 1)[0]
    assert value in text_tables.listing([["a", value]], 80)


def test_lines_continue_below_the_value() -> None:
    """So a value cannot look like another one."""
    shown = text_tables.vertical(["a", "name"], ["1", "x\na = 2"], UNLIMITED)
    assert shown == "   a = 1\nname = x\n       a = 2\n"
    assert (
        text_tables.vertical(["a"], ["one two three four five"], 20) == "a = one two three\n    four five\n"
    )


def test_a_listing_wraps_its_last_column() -> None:
    """Empty texts leave nothing behind."""
    rows = [["cost_by_day", "What did the sessions of each day cost?"], ["turns", ""]]
    assert text_tables.listing(rows, 40) == (
        "cost_by_day  What did the sessions of\n             each day cost?\nturns\n"
    )


@pytest.mark.parametrize(
    ("columns", "expected"), [("50", 50), (None, UNLIMITED), ("wide", UNLIMITED), ("0", UNLIMITED)]
)
def test_the_width_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str | None, expected: int
) -> None:
    """`COLUMNS` counts there too, if it is a number."""
    monkeypatch.setattr(sys, "__stdout__", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert text_tables.columns_of(io.StringIO()) == expected
