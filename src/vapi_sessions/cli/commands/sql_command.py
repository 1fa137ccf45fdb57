"""`vapi-sessions sql`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vapi_sessions.cli import completion, log, streams
from vapi_sessions.cli.help_pages import Command
from vapi_sessions.cli.options import READERS, Warehouse, command_settings
from vapi_sessions.errors import ConfigurationError

#: A comment at the beginning of a query. No option has a space in its name.
_COMMENT: Final = re.compile(r"--[^=\s]*\s")


class SqlCommand(Command):
    """`sql`, whose query may begin with a comment."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; a space before a comment keeps it from being taken for an option."""
        return super().parse_args(ctx, [f" {word}" if _COMMENT.match(word) else word for word in args])


def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="The query; - reads it from stdin."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Run the SQL statements in this file (UTF-8) and show the last result; - reads stdin.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="table, line, markdown, csv or json (default: table, or line where a table does not fit the terminal).",
            autocompletion=completion.one_of("table", "line", "markdown", "csv", "json"),
        ),
    ] = None,
    warehouse: Warehouse = None,
) -> None:
    """Query the published tables and views with SQL, as DuckDB understands it.

    Examples:
    vapi-sessions sql "SELECT status, count(*) FROM sessions GROUP BY ALL"
    vapi-sessions sql "FROM cost_by_day" --format csv
    """
    from vapi_sessions.warehouse.query import run

    if (query is None) == (file is None):
        given = "Neither a query nor --file is given" if query is None else "A query and --file are given"
        raise ConfigurationError(f"{given}.", 'Give one of them: sql "FROM cost_by_day", or sql --file FILE.')
    settings = command_settings(uses=READERS, warehouse=warehouse)
    text = _read(file if file is not None else query or "", file=file is not None)
    streams.demand()
    note = run(settings.warehouse, text, output, streams.as_is(sys.stdout))
    sys.stdout.flush()
    if note:
        log.write("info", "message", note, text=f"note: {note}")


def _read(given: str, *, file: bool) -> str:
    try:
        if given == "-":
            text = sys.stdin.read()
        elif file:
            text = Path(given).read_text("utf-8-sig")  # editors on Windows begin a file with a mark
        else:
            text = given
        text.encode()  # fails for bytes of another encoding, which Python passes on as surrogates
    except (OSError, UnicodeError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else "it is not UTF-8"
        name = f"file {given}" if file and given != "-" else "query"
        raise ConfigurationError(
            f"The {name} cannot be read: {reason}.",
            "Give the path of a file of SQL in UTF-8." if file else "Give it as UTF-8 text.",
        ) from None
    return text
