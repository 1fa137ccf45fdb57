"""`vapi-sessions describe`."""

from __future__ import annotations

import itertools
import sys
from typing import Annotated

import typer

from vapi_sessions.cli import completion, streams
from vapi_sessions.cli.invocation import as_called
from vapi_sessions.cli.options import READERS, Warehouse, command_settings

#: The width where there is neither a terminal nor `COLUMNS`. What is printed is prose, so lines are never endless.
_PAGE = 80


def describe(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A table or view, such as cost_by_day or sync.runs (default: list all).",
            autocompletion=completion.relations,
        ),
    ] = None,
    warehouse: Warehouse = None,
) -> None:
    """Explain the published tables and views; with a name, its columns.

    Examples:
    vapi-sessions describe
    vapi-sessions describe cost_by_day
    """
    from vapi_sessions.core import text_tables
    from vapi_sessions.warehouse import catalog

    settings = command_settings(uses=READERS, warehouse=warehouse)
    streams.demand()
    width = text_tables.columns_of(sys.stdout, otherwise=_PAGE)
    if name is None:
        found = catalog.relations(settings.warehouse)
        for kind, group in itertools.groupby(found, lambda one: one.kind):
            print(f"{kind}\n")
            print(text_tables.listing([[f"  {one.name}", one.summary] for one in group], width))
        print(as_called("The columns of one: vapi-sessions describe NAME"))
        return
    one, columns = catalog.relation(settings.warehouse, name)
    print(text_tables.listing([[one.name], *([one.comment],) * bool(one.comment)], width))
    print(text_tables.listing([[f"  {c.name}", c.type, c.comment] for c in columns], width), end="")
