"""The help pages: plain text in the width of the terminal. Names are never cut, and examples can be pasted.

A command's docstring has its page: what it does, in the first sentence for the list of commands, and `Examples:` at the end.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from vapi_sessions.cli.invocation import as_called
from vapi_sessions.core.text_tables import columns_of

#: Lines are not made shorter or longer than this, however wide the terminal is.
_WIDTHS: Final = (30, 100)
#: In fewer columns, a description begins below its name.
_NARROW: Final = 60
#: Longer names have a line of their own.
_LONGEST_NAME: Final = 26
_EXAMPLES: Final = "Examples:"


class Command(TyperCommand):
    """A command with such a page."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(_page(self, ctx))


class Group(TyperGroup):
    """All commands, listed in groups. Without a command it shows its page, with exit code 2."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(_page(self, ctx, self.commands.values()))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what comes before the command."""
        if not args and not ctx.resilient_parsing:
            print(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def examples(command: Any) -> list[str]:
    """The lines below `Examples:` of a command."""
    return inspect.cleandoc(command.help or "").partition(_EXAMPLES)[2].split("\n")[1:]


def _page(command: Any, ctx: Any, commands: Iterable[Any] = ()) -> str:
    narrowest, widest = _WIDTHS
    width = max(narrowest, min(columns_of(sys.stdout, otherwise=80), widest))
    params = [one for one in command.get_params(ctx) if not one.hidden]
    arguments = [one for one in params if one.param_type_name == "argument"]
    usage = [ctx.command_path, "[OPTIONS]", *map(_usage, arguments), *["COMMAND ..."] * bool(commands)]
    lines = [*_wrapped(f"Usage: {' '.join(usage)}", width, 7), ""]
    about = inspect.cleandoc(command.help or "").partition(_EXAMPLES)[0]
    for paragraph in about.strip().split("\n\n"):
        lines += [*_wrapped(" ".join(paragraph.split()), width), ""]
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in commands:
        groups[one.rich_help_panel or "Commands"].append((one.name, _first_sentence(one)))
    names = [name for rows in groups.values() for name, _ in rows]
    for title, rows in groups.items():
        lines += _section(title, rows, width, names)
    panels: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in arguments:
        panels["Arguments"].append((_argument(one), one.help or ""))
    for one in params:
        if one not in arguments:
            panels[one.rich_help_panel or "Options"].append((_option(one, ctx), _explained(one)))
    for title, rows in panels.items():
        lines += _section(title, rows, width, [name for name, _ in rows])
    if shown := examples(command):
        lines += [_EXAMPLES, *(f"  {as_called(line.strip())}" for line in shown), ""]
    return "\n".join(lines)


def _first_sentence(command: Any) -> str:
    return " ".join(command.help.split()).partition(". ")[0].rstrip(".")


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _usage(param: Any) -> str:
    name = _argument(param)
    return (name if param.required else f"[{name}]") + ("..." if param.nargs != 1 else "")


def _option(param: Any, ctx: Any) -> str:
    """`-h, --help`, `--dir DIR`, `--oddities, --no-oddities`. A switch that is off has only the name that turns it on."""
    names = sorted(param.opts, key=len)
    if param.is_flag:
        return ", ".join([*names, *(param.secondary_opts if param.default else ())])
    return f"{', '.join(names)} {param.display_type_rich(ctx).strip('<>')}"


def _explained(param: Any) -> str:
    """The help text with the default and the range, if it does not have them itself."""
    text, found = (param.help or "").rstrip("."), []
    if param.show_default and param.default is not None and not param.is_flag:
        found.append(
            f"default: {f'{param.default:g}' if isinstance(param.default, float) else param.default}"
        )
    if param.is_flag and param.default:
        found.append("default: on")
    if param.max is not None:
        found.append(f"{param.min or 0:,} to {param.max:,}")
    return f"{text} ({'; '.join(found)})." if found else f"{text}."


def _section(title: str, rows: Sequence[tuple[str, str]], width: int, names: Sequence[str]) -> Iterator[str]:
    """Names with their descriptions: beside them, or below if the name is long or the terminal narrow.

    `names` are those of all sections with the same alignment.
    """
    indent = 6
    if width >= _NARROW:
        indent = 4 + max((len(name) for name in names if len(name) <= _LONGEST_NAME), default=2)
    yield from _wrapped(f"{title}:", width)
    for name, text in rows:
        described = [" " * indent + line for line in _wrapped(text, width - indent)]
        if len(name) + 4 <= indent and described:
            yield f"  {name}".ljust(indent) + described.pop(0).lstrip()
        else:
            yield from (f"  {line}" for line in _wrapped(name, width - 2))
        yield from described
    yield ""


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
