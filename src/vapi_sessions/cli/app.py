"""`vapi-sessions`: the commands in the order of `--help`, and the options before a command.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, NoReturn

import typer

from vapi_sessions import __version__
from vapi_sessions.cli import completion, exit_codes, log, options, signals
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
from vapi_sessions.cli.commands.sql_command import SqlCommand, sql
from vapi_sessions.cli.commands.status_command import status
from vapi_sessions.cli.commands.sync_command import sync
from vapi_sessions.cli.commands.verify_command import verify
from vapi_sessions.cli.help_pages import Command, Group
from vapi_sessions.cli.invocation import program

app = typer.Typer(
    help="""Export Vapi's sessions, messages and costs to DuckDB and Parquet: incremental, complete, verifiable.

    Examples:
    vapi-sessions demo
    vapi-sessions sync --warehouse ~/vapi
    vapi-sessions sql --warehouse ~/vapi "FROM cost_by_day"
    vapi-sessions sync --help
    """,
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,  # the same options are below; typer's import more for every command
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: In the order of `--help`. `emulate` follows in `_commands`.
_COMMANDS: Final[Mapping[str, Sequence[Callable[..., None]]]] = {
    "Fetch": (sync, plan, reconcile, verify, schedule),
    "Read": (status, sql, describe, report, export),
    "Maintain": (rebuild, maintain, forget),
    "Try without an account": (demo,),
}
_NAMES: Final = {command.__name__ for members in _COMMANDS.values() for command in members}
for _group, _members in _COMMANDS.items():
    for _command in _members:
        _cls = SqlCommand if _command is sql else Command
        app.command(cls=_cls, rich_help_panel=_group)(options.with_messages(_command))


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
        typer.Option(
            "--version", "-V", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
    install_completion: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            help="Install completion for the shell that this is called from: bash, zsh or fish.",
            callback=completion.install,
            is_eager=True,
        ),
    ] = False,
    show_completion: Annotated[
        bool,
        typer.Option(
            "--show-completion",
            help="Print the script for that, without installing it.",
            callback=completion.show,
            is_eager=True,
        ),
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

        app.command("emulate", cls=Command, rich_help_panel="Try without an account")(emulate)
    return typer.main.get_command(app)


def main() -> NoReturn:
    """Run the command line and exit."""
    options.current = options.GlobalOptions()
    with log.session(sys.argv[1:], os.environ), signals.listening(exit_codes.first_interrupt):
        code = exit_codes.exit_code(_run)
        code = exit_codes.after_output(code)
    sys.exit(code)


def _run() -> object:
    words = sys.argv[1:]
    if words[:1] == ["help"]:  # as git has it
        words = [*words[1:2], "--help"]
    asked = completion.words() or words
    return _commands(emulator="emulate" in asked or not _NAMES & set(asked))(
        words, prog_name=program(), complete_var=completion.VARIABLE, standalone_mode=False
    )


def end_with(command: Callable[[], object]) -> NoReturn:
    """Run a function with the messages and exit codes of a command, and exit: for `python flows/….py`."""
    with signals.listening(exit_codes.first_interrupt):
        code = exit_codes.exit_code(command)
    sys.exit(code)
