"""`vapi-sessions sql`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vapi_sessions.cli import streams
from vapi_sessions.cli.options import Warehouse, command_settings
from vapi_sessions.errors import ConfigurationError


def sql(
    query: Annotated[
        str,
        typer.Argument(help="SQL query on the published tables and views; - reads the query from stdin."),
    ],
    warehouse: Warehouse = None,
    output: Annotated[
        str, typer.Option("--format", metavar="table|csv|json", help="Output format.")
    ] = "table",
) -> None:
    """Query the published tables: vapi-sessions sql "SELECT status, count(*) FROM sessions GROUP BY ALL"."""
    from vapi_sessions.warehouse.query import run

    settings = command_settings(warehouse=warehouse)
    text = _read_query(query)
    streams.demand()
    run(settings.warehouse, text, output, streams.as_is(sys.stdout))
    sys.stdout.flush()


def _read_query(given: str) -> str:
    try:
        text = sys.stdin.read() if given == "-" else given
        text.encode()  # fails for bytes of another encoding, which Python passes on as surrogates
    except (OSError, UnicodeError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"The query cannot be read: {reason}.", "Give it as UTF-8 text.") from None
    return text
