"""`vapi-sessions forget`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vapi_sessions.cli.invocation import as_called
from vapi_sessions.cli.options import Everything, Warehouse, command_settings
from vapi_sessions.cli.output import NAMED, and_more, print_names, warn
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import ConfigurationError

if TYPE_CHECKING:
    from vapi_sessions.operations.forget import Forgotten
    from vapi_sessions.warehouse.suppression import Entry

#: The kinds of customer identifiers, as shown.
_WORDS: Final = {
    "number": "number",
    "email": "e-mail address",
    "name": "name",
    "sipUri": "SIP URI",
    "externalId": "external id",
    "customerId": "customer id",
}


def forget(
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="SESSION_ID", help="Ids of sessions.")
    ] = None,
    number: Annotated[
        list[str] | None,
        typer.Option("--customer-number", metavar="NUMBER", help="Phone number of a customer."),
    ] = None,
    email: Annotated[
        list[str] | None,
        typer.Option("--customer-email", metavar="EMAIL", help="E-mail address of a customer."),
    ] = None,
    external_id: Annotated[
        list[str] | None,
        typer.Option("--customer-external-id", metavar="ID", help="Id of a customer in your own systems."),
    ] = None,
    customer_id: Annotated[
        list[str] | None, typer.Option("--customer-id", metavar="ID", help="Id of a saved Vapi customer.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--customer-name", metavar="NAME", help="Name of a customer.")
    ] = None,
    sip_uri: Annotated[
        list[str] | None, typer.Option("--customer-sip-uri", metavar="URI", help="SIP URI of a customer.")
    ] = None,
    mentions: Annotated[
        bool,
        typer.Option("--mentions", help="Also erase other customers' sessions that mention the customer."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be erased, and erase nothing.")
    ] = False,
    show_list: Annotated[
        bool, typer.Option("--list", help="Show the entries of the suppression list, and erase nothing.")
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            metavar="ENTRY",
            help="Remove an entry from the suppression list, by its name or by the forgotten value.",
        ),
    ] = None,
    everything: Everything = False,
    warehouse: Warehouse = None,
) -> None:
    """Erase sessions, or all sessions of a customer, from every file, and keep them from coming back.

    Examples:
    vapi-sessions forget --dry-run --customer-number "+1 415 555 0100"
    vapi-sessions forget --customer-number "+1 415 555 0100" --mentions
    vapi-sessions forget --list
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations import forget as operation

    settings = command_settings(warehouse=warehouse)
    given = (
        ("number", number), ("email", email), ("name", name), ("sipUri", sip_uri),
        ("externalId", external_id), ("customerId", customer_id),
    )  # fmt: skip
    whom = operation.Whom(
        sessions or (), [(kind, value) for kind, values in given for value in values or ()], mentions
    )
    if (show_list or remove) and (
        whom.sessions or whom.customers or mentions or dry_run or (show_list and remove)
    ):
        raise ConfigurationError(
            "--list and --remove cannot be combined with each other or with anything to forget.",
            "Give only one of them.",
        )
    if show_list:
        _print_list(operation.listed(settings), everything=everything)
    elif remove:
        for kind, count in operation.remove(settings, remove):
            print(
                f"Removed from the suppression list: {_WORDS.get(kind, kind)}, with {counted(count, 'session')}."
            )
        print(
            as_called(
                "The next vapi-sessions sync --full fetches these sessions again if the source still has them."
            )
        )
    else:
        with display("forget") as progress:
            done = operation.forget(settings, whom, dry_run=dry_run, progress=progress)
        _print_forgotten(done, mentions=mentions, everything=everything)


def _print_list(entries: Sequence[Entry], *, everything: bool) -> None:
    if not entries:
        print("The suppression list is empty: nothing was forgotten here.")
        return
    print(f"{'entry':8}  {'since':24}  {'sessions':>8}  kind")
    shown = entries if everything else entries[:NAMED]
    for entry in shown:
        since = show(entry.at) if entry.at else "unknown"
        print(f"{entry.name:8}  {since:24}  {entry.sessions:>8,}  {_WORDS.get(entry.kind, entry.kind)}")
    if more := len(entries) - len(shown):
        print(and_more(more))
    print(
        as_called(
            "The list does not reveal the forgotten values. To remove an entry: vapi-sessions forget --remove ENTRY"
        )
    )


def _print_forgotten(done: Forgotten, *, mentions: bool, everything: bool) -> None:
    print(
        f"{'Would erase' if done.dry_run else 'Erased'} {counted(len(done.ids), 'session')} "
        f"({counted(done.observations, 'observation')} in raw/), "
        f"{counted(len(done.snapshots), 'published snapshot')} and {counted(len(done.files), 'other file')}"
    )
    everything = everything or not done.dry_run  # what was erased cannot be listed again
    for names in (done.ids, done.snapshots, done.files):
        print_names(names, everything=everything)
    for customer in done.customers:
        entry = f" (entry {customer.entry})" if customer.entry else ""
        found = f"{counted(customer.sessions, 'session')} found" if customer.sessions else "no session found"
        print(f"{_WORDS[customer.kind]}{entry}: {found}")
    if done.mentions:
        verb = "mentions" if len(done.mentions) == 1 else "mention"
        included = "included above" if mentions else "not erased; add --mentions to erase"
        print(f"{counted(len(done.mentions), 'session')} of others {verb} these customers ({included}):")
        print_names(done.mentions, everything=everything)
    if done.absent and done.ids:
        print("Given sessions that are not in the warehouse:")
        print_names(done.absent, everything=everything)
    if not done.ids:
        print("No session in the warehouse matches: there was nothing to erase.")
    if done.dropped:
        warn(
            f"the privacy settings removed customer identifiers from {counted(done.dropped, 'raw file')}, so customers "
            "cannot be found there. Give the ids of their sessions, or run vapi-sessions sync --full: it reads every "
            "session again and erases those of these customers. Sessions that the source no longer lists can only be "
            "found by id."
        )
    if done.tightened:
        print("The stricter privacy settings were applied to everything that is stored.")
    if not done.dry_run:
        kept = "The erased sessions and the given values" if done.ids else "The given values"
        print(f"{kept} are on the suppression list: no sync or rebuild stores them again.")
