"""`vapi-sessions`: the commands in the order of `--help`, and the options before a command.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Final, NoReturn

import typer

from vapi_sessions import __version__
from vapi_sessions.cli import exit_codes, log, options, signals
from vapi_sessions.cli.commands.demo_command import demo
from vapi_sessions.cli.commands.describe_command import describe
from vapi_sessions.cli.commands.export_command import export
from vapi_sessions.cli.commands.forget_command import forget
from vapi_sessions.cli.commands.maintain_command import maintain
from vapi_sessions.cli.commands.plan_command import plan
from vapi_sessions.cli.commands.rebuild_command import rebuild
from vapi_sessions.cli.commands.reconcile_command import reconcile
from vapi_sessions.cli.commands.report_command import report
from vapi_sessions.cli.commands.schedule_command import schedule
from vapi_sessions.cli.commands.sql_command import sql
from vapi_sessions.cli.commands.status_command import status
from vapi_sessions.cli.commands.sync_command import sync
from vapi_sessions.cli.commands.verify_command import verify

app = typer.Typer(
    help="Export Vapi's sessions, messages and costs to DuckDB and Parquet: incremental, complete, verifiable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: In the order of `--help`. `emulate` follows in `_commands`.
_COMMANDS: Final[Sequence[Callable[..., None]]] = (
    sync, plan, status, sql, describe, report, export, reconcile, verify, rebuild, forget, maintain, demo, schedule,
)  # fmt: skip
for _command in _COMMANDS:
    app.command()(options.with_messages(_command))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"vapi-sessions {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    warehouse: options.Warehouse = None,
    base_url: options.BaseUrl = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    options.current = options.GlobalOptions(warehouse, base_url, debug, context.invoked_subcommand)
    log.configure(quiet=quiet, verbose=verbose, log_format=log_format, command=context.invoked_subcommand)


@functools.cache
def _commands(*, emulator: bool) -> Callable[..., object]:
    """All commands as one function. Typer builds it from their signatures, which takes longer than most commands.

    Without `emulator` it leaves out `emulate`, whose imports would delay every other command.
    """
    if emulator:
        from vapi_emulator.command import emulate

        app.command("emulate")(emulate)
    return typer.main.get_command(app)


def main() -> NoReturn:
    """Run the command line and exit."""
    with log.session(sys.argv[1:], os.environ), signals.listening(exit_codes.first_interrupt):
        emulator = bool({"emulate", "-h", "--help"} & set(sys.argv[1:])) or len(sys.argv) == 1
        code = exit_codes.exit_code(
            lambda: _commands(emulator=emulator)(prog_name="vapi-sessions", standalone_mode=False)
        )
        code = exit_codes.after_output(code)
    sys.exit(code)


def end_with(command: Callable[[], object]) -> NoReturn:
    """Run a function with the messages and exit codes of a command, and exit: for `python flows/….py`."""
    sys.exit(exit_codes.exit_code(command))
