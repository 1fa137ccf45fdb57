"""Options that several commands share, and the settings that follow from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from vapi_sessions.cli.output import warn
from vapi_sessions.core.timestamps import parse_duration
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.settings import OF_THE_POLICY, Settings, load_settings

Warehouse = Annotated[
    str | None,  # a Path would turn "" into "." and "s3://b" into "s3:/b"
    typer.Option(
        "--warehouse", metavar="DIR", help="Warehouse directory (VAPI_WAREHOUSE; default: ./warehouse)."
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Address of the API (VAPI_BASE_URL; default: https://api.vapi.ai).",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="Read only changes from this date on (ISO 8601, UTC). On the first sync: where history begins.",
    ),
]
Until = Annotated[
    str | None, typer.Option(metavar="DATE", help="Read only changes before this date (ISO 8601, UTC).")
]
Full = Annotated[
    bool, typer.Option("--full", help="Read every session again; unchanged sessions are not stored again.")
]
Settle = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Leave changes newer than this for the next sync (default: 60s)."),
]
Lookback = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="How far before the watermark to read again (default: 15m)."),
]
Concurrency = Annotated[
    int | None, typer.Option(metavar="N", help="Number of parallel requests, 1 to 64 (default: 6).")
]
PageSize = Annotated[
    int | None, typer.Option(metavar="N", help="Sessions per page, 1 to 1000 (default: 1000).")
]
TimeZone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        help="Time zone of days and hours in the views, such as Europe/Berlin (default: the stored one; at first UTC).",
    ),
]


#: The settings that commands use: those that read the published tables, `export`, and those that publish nothing.
READERS: Final = frozenset({"warehouse"})
EXPORTERS: Final = READERS | OF_THE_POLICY
NOT_PUBLISHING: Final = frozenset(Settings.model_fields) - {"time_zone"}


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options given before the command, and the command's name."""

    warehouse: str | None = None
    base_url: str | None = None
    debug: bool = False
    command: str | None = None


#: Of the running command. Error handling reads them too, when typer's context is gone.
current = GlobalOptions()


def command_settings(
    *,
    uses: Collection[str] | None = None,
    warehouse: str | None = None,
    base_url: str | None = None,
    **given: object,
) -> Settings:
    """The settings of a command. Options after the command win over those before it, and both over the environment.

    A wrong value in the environment is an error only for a command that `uses` the setting; None means that it uses all.
    Warns about warehouse directories that other users can change. Raises ConfigurationError.
    """
    settings = load_settings(
        uses,
        warehouse=warehouse if warehouse is not None else current.warehouse,
        base_url=base_url or current.base_url,
        **given,
    )
    from vapi_sessions.warehouse.layout import Layout

    for doubt in Layout(settings.warehouse).doubts():
        warn(doubt)
    return settings


def duration(option: str, text: str) -> int:
    """The microseconds of an option such as `15m`. Raises ConfigurationError, which names the option."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{option}: {error}.", f"See vapi-sessions COMMAND --help for {option}."
        ) from None
