"""Text in columns: how wide each may be in a given width, and the table that Rich draws of it."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

#: The width where there is neither a terminal nor `COLUMNS`: nothing is wrapped.
UNLIMITED: Final = sys.maxsize
#: No column of text and no header is made narrower than this.
_NARROWEST: Final = 16
#: The lines between columns, and a space on both sides of a value.
_BESIDE_A_VALUE: Final = 3
#: Between columns of a listing, and the most of all but the last of them.
_BETWEEN: Final = 2
_LONGEST_LABEL: Final = 36
#: An id, a name of a model, an address; "…" stands for rows that are left out.
_WORD: Final = re.compile(r"[\w@.:+/-]{0,40}|…")
_PIECE: Final = re.compile(r"[^_\s]*[_\s]*")


@dataclass(frozen=True, slots=True)
class Grid:
    """Names of columns and rows of text. Numeric columns are aligned to the right and never wrapped."""

    names: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[str]]


def columns_of(out: TextIO, otherwise: int = UNLIMITED) -> int:
    """The width to write to `out`: `COLUMNS`, else that of the terminal, else `otherwise`."""
    if not out.isatty() and "COLUMNS" not in os.environ:
        return otherwise
    return shutil.get_terminal_size((otherwise, 1)).columns


def boxes(table: Grid, total: int, most: int, *, words: bool = True) -> list[str]:
    """The table with boxes around the values, in lines of at most `total` characters; empty if that is not possible.

    Headers are broken first, at underscores; then the widest columns of text become narrower. If that is not enough, there are
    several tables, at most `most`, each with the first column and some of the others. With `words`, columns of ids and other
    single words are not made narrower, so that a value can be copied.
    """
    one = _widths(table, total, words=words)
    if one is not None:
        return [_drawn(table, one)]
    needs = _needs(table)
    parts: list[list[int]] = []
    for n in range(1, len(needs)):
        if parts and sum(needs[m] for m in parts[-1]) + needs[n] <= _room(total, len(parts[-1]) + 1):
            parts[-1].append(n)
        else:
            parts.append([0, n])
    if len(parts) > most:
        return []
    drawn = []
    for part in (_part(table, columns) for columns in parts):
        widths = _widths(part, total, words=words)
        if widths is None:
            return []
        drawn.append(_drawn(part, widths))
    return drawn


def listing(rows: Sequence[Sequence[str]], total: int) -> str:
    """Rows of text without lines. The last column is wrapped to end within `total` characters; the others are if they are long."""
    from rich.table import Table as RichTable
    from rich.text import Text

    *others, last = (max(map(_width, column)) for column in zip(*rows, strict=True))
    widths = [min(_LONGEST_LABEL, wide) for wide in others]
    left = total - sum(widths) - _BETWEEN * len(widths)
    widths.append(min(last, max(_NARROWEST, left)))
    grid = RichTable.grid(padding=(0, _BETWEEN, 0, 0))
    for width in widths:
        grid.add_column(width=width, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    lines = _printed(grid, sum(widths) + _BETWEEN * len(widths)).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def vertical(names: Sequence[str], values: Sequence[str], total: int) -> str:
    """One `name = value` a line. Values that are too long, or have several lines, continue below their first line."""
    indent = min(max(map(_width, names), default=0), _LONGEST_LABEL)
    room = max(_NARROWEST, total - indent - 3)
    further = "\n" + " " * (indent + 3)
    return "".join(
        " " * (indent - _width(name)) + f"{name} = " + further.join(_lines(value, room)) + "\n"
        for name, value in zip(names, values, strict=True)
    )


def _lines(text: str, room: int) -> list[str]:
    if _width(text) <= room:
        return text.split("\n")
    from rich.text import Text

    return [line.plain.rstrip() for line in Text(text).wrap(_console(room), room, overflow="fold")]


def _widths(table: Grid, total: int, *, words: bool) -> list[int] | None:
    """The widths of the columns in one table of at most `total` characters; None if they do not fit."""
    room = _room(total, len(table.names))
    needs = _needs(table)
    natural = list(map(max, needs, map(_width, table.names)))
    least = [
        need
        if numeric or (words and _is_words(table, n))
        else max(_header_width(name), min(_NARROWEST, need))
        for n, (need, name, numeric) in enumerate(zip(needs, table.names, table.numeric, strict=True))
    ]
    if sum(natural) <= room:
        return natural
    if sum(needs) <= room:
        return _shrunk(natural, needs, room)
    return _shrunk(needs, least, room) if sum(least) <= room else None


def _is_words(table: Grid, column: int) -> bool:
    return all(_WORD.fullmatch(row[column]) for row in table.rows)


def _needs(table: Grid) -> list[int]:
    """The widths of the columns if only headers are broken."""
    return [
        max(_header_width(name), max((_width(row[n]) for row in table.rows), default=0))
        for n, name in enumerate(table.names)
    ]


def _header_width(name: str) -> int:
    return min(_NARROWEST, max(map(_width, _pieces(name))))


def _room(total: int, columns: int) -> int:
    return total - _BESIDE_A_VALUE * columns - 1


def _part(table: Grid, columns: Sequence[int]) -> Grid:
    def of(row: Sequence[Any]) -> list[Any]:
        return [row[n] for n in columns]

    return Grid(of(table.names), of(table.numeric), list(map(of, table.rows)))


def _drawn(table: Grid, columns: Sequence[int]) -> str:
    """Rows are separated by lines if one of them needs more than one."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    tall = any(
        _width(value) > width or "\n" in value
        for row in table.rows
        for value, width in zip(row, columns, strict=True)
    )
    grid = RichTable(box=box.SQUARE, show_lines=tall)
    for name, numeric, width in zip(table.names, table.numeric, columns, strict=True):
        header = Text(_broken(name, width))
        grid.add_column(header, justify="right" if numeric else "left", width=width, overflow="fold")
    for row in table.rows:
        grid.add_row(*map(Text, row))  # Text: what looks like markup is data
    return _printed(grid, sum(columns) + _BESIDE_A_VALUE * len(columns) + 1)


def _printed(grid: RichTable, width: int) -> str:
    out = io.StringIO()
    _console(width, out).print(grid)
    return out.getvalue()


def _console(width: int, out: TextIO | None = None) -> Console:
    """A console that writes plain text, whatever the environment says."""
    from rich.console import Console

    return Console(
        file=out,
        width=width,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
    )


def _width(text: str) -> int:
    """The cells that a text needs: wide characters need two."""
    if text.isascii() and "\n" not in text:
        return len(text)
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def _pieces(name: str) -> list[str]:
    return _PIECE.findall(name)


def _broken(name: str, width: int) -> str:
    """A header of several lines, each of at most `width` if its pieces allow that."""
    lines = [""]
    for piece in _pieces(name):
        if lines[-1] and _width(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _shrunk(natural: list[int], least: list[int], room: int) -> list[int]:
    """The widest columns made narrower, down to their least, until all fit into `room`."""
    level = max(natural)
    while sum(found := [max(low, min(wide, level)) for wide, low in zip(natural, least, strict=True)]) > room:
        level -= 1
    return found
