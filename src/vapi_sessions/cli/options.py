"""Options that several commands share, and the settings that follow from them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vapi_sessions.cli import log
from vapi_sessions.cli.output import warn
from vapi_sessions.core.memory import fewer_collections
from vapi_sessions.core.timestamps import parse_duration
from vapi_sessions.errors import ConfigurationError

if TYPE_CHECKING:
    from vapi_sessions.settings import Settings

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
        help="Read only changes from this date on (ISO 8601, UTC); on the first sync, where history begins (VAPI_SINCE).",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Read only changes before this date (ISO 8601, UTC; VAPI_UNTIL)."),
]
Full = Annotated[
    bool,
    typer.Option(
        "--full", help="Read every session again; unchanged sessions are not stored again (VAPI_FULL)."
    ),
]
AcceptSource = Annotated[
    bool,
    typer.Option(
        "--accept-source",
        help="Continue a warehouse that was filled from another address: the same source has moved (VAPI_ACCEPT_SOURCE).",
    ),
]
Settle = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Leave changes newer than this for the next sync (VAPI_SETTLE; default: 60s).",
    ),
]
Lookback = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="How far before the watermark to read again (VAPI_LOOKBACK; default: 15m)."
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(metavar="N", help="Number of parallel requests, 1 to 64 (VAPI_CONCURRENCY; default: 6)."),
]
PageSize = Annotated[
    int | None,
    typer.Option(metavar="N", help="Sessions per page, 1 to 1000 (VAPI_PAGE_SIZE; default: 1000)."),
]
ReconcileEvery = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Then also reconcile if the last reconcile is longer ago, such as 24h (VAPI_RECONCILE_EVERY).",
    ),
]
TimeZone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        help="Time zone of days and hours in the views, such as Europe/Berlin (VAPI_TIME_ZONE; default: the stored one, at first UTC).",
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="Show lists in full, not only their first 20 items.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only errors, warnings, and the answers of commands that ask."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Also print each request, window, batch and publication; never contents or keys.",
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        "--log-format",
        metavar="text|json",
        help="Form of messages on stderr: text, or one JSON object a line (VAPI_LOG_FORMAT; default: text).",
    ),
]


#: The settings that these commands use: those that read the published tables, and `export`.
READERS: Final = frozenset({"warehouse"})
EXPORTERS: Final = READERS | {
    "personal_data", "message_text", "phone_region", "pseudonym_key", "pseudonym_key_file", "redact_names", "redact_paths",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options given before the command, and the command's name."""

    warehouse: str | None = None
    base_url: str | None = None
    debug: bool = False
    command: str | None = None


#: Of the running command. Error handling reads them too, when typer's context is gone.
current = GlobalOptions()

#: The options about messages, which every command takes too.
_MESSAGES: Final = {"quiet": Quiet, "verbose": Verbose, "log_format": LogFormat}


def with_messages(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options about messages."""

    @functools.wraps(command)
    def wrapped(*, quiet: bool, verbose: bool, log_format: str | None, **given: Any) -> None:
        log.configure(quiet=quiet, verbose=verbose, log_format=log_format)
        command(**given)

    own = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if name == "log_format" else False,
            annotation=kind,
        )
        for name, kind in _MESSAGES.items()
    ]
    vars(wrapped)["__signature__"] = own.replace(parameters=[*own.parameters.values(), *added])
    wrapped.__annotations__ = {}  # typer takes those of the signature
    return wrapped


def command_settings(
    *,
    uses: Collection[str] | None = None,
    ignores: Collection[str] = (),
    warehouse: str | None = None,
    base_url: str | None = None,
    **given: object,
) -> Settings:
    """The settings of a command. Options after the command win over those before it, and both over the environment.

    A wrong value in the environment is an error only for a command that `uses` the setting (None: it uses all) and does not ignore it.
    Warns about warehouse directories that other users can change. Raises ConfigurationError.
    """
    with fewer_collections():  # pydantic and pyarrow, which help and completion do not need
        from vapi_sessions.settings import load_settings

    settings = load_settings(
        uses,
        ignores,
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
