"""`vapi-sessions export`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vapi_sessions.cli import completion
from vapi_sessions.cli.options import EXPORTERS, Warehouse, command_settings
from vapi_sessions.cli.output import summary
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Tables and views, for csv and parquet (default: the five tables).",
            autocompletion=completion.relations,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="File (default: vapi-export.duckdb), or directory for csv and parquet (default: vapi-export).",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="duckdb|csv|parquet",
            help="One DuckDB file with every table and view, or one file for each table.",
            autocompletion=completion.one_of("duckdb", "csv", "parquet"),
        ),
    ] = "duckdb",
    storage_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Oldest DuckDB that has to read the file (default: v1.0.0; with v1.4.0 it is half as large).",
        ),
    ] = None,
    personal_data: Annotated[
        str | None,
        typer.Option(
            metavar="keep|pseudonymise|drop",
            help="Customer identifiers in the export; not looser than stored (VAPI_PERSONAL_DATA; default: as stored).",
            autocompletion=completion.one_of("keep", "pseudonymise", "drop"),
        ),
    ] = None,
    message_text: Annotated[
        str | None,
        typer.Option(
            metavar="keep|mask|drop",
            help="What was said, in the export; not looser than stored (VAPI_MESSAGE_TEXT; default: as stored).",
            autocompletion=completion.one_of("keep", "mask", "drop"),
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    warehouse: Warehouse = None,
) -> None:
    """Write the published tables and views to one DuckDB file, or to CSV or Parquet files.

    Examples:
    vapi-sessions export
    vapi-sessions export cost_by_day sessions --format csv --out for-a-spreadsheet
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.export import DUCKDB, Export
    from vapi_sessions.operations.export import export as run

    given: dict[str, Any] = {"personal_data": personal_data, "message_text": message_text}
    settings = command_settings(uses=EXPORTERS, warehouse=warehouse, **given)
    asked = frozenset(name for name, value in given.items() if value is not None)
    wanted = Export(names or (), out, output, storage_version, force, asked)
    with display("export") as progress:
        done = run(settings, wanted, progress=progress)
    content = (
        counted(done.sessions, "session")
        if output == DUCKDB
        else counted(len(done.names), "table or view", "tables and views")
    )
    summary(
        f"Exported {content}, published {show(done.published_at)}, to {done.path} ({done.size / 1e6:,.1f} MB).",
        path=str(done.path),
        bytes=done.size,
        sessions=done.sessions,
    )
