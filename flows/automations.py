"""Creates alerts on a Prefect server, or updates them: `python flows/automations.py --freshness 6h --notify slack-webhook/on-call`.

Three automations for all warehouses that run there: a sync has not completed for too long, a run ended with warnings, the source refuses
the key. Running this again changes what is there and adds nothing. Without `--notify`, they only leave an event that Prefect's pages show.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from prefect.automations import (
    AutomationCore,
    DoNothing,
    EventTrigger,
    Posture,
    ResourceSpecification,
    SendNotification,
)
from prefect.client.orchestration import SyncPrefectClient, get_client

from vapi_sessions.core.timestamps import parse_duration
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.schedule_server import never_by_proxy

SYNC: Final = "vapi-sessions sync"
FLOWS: Final = (SYNC, "vapi-sessions reconcile", "vapi-sessions backfill", "vapi-sessions maintain")
#: Events of a flow run are named by the name of its state.
SUCCEEDED: Final = ("prefect.flow-run.Completed", "prefect.flow-run.CompletedWithWarnings")
#: How the messages of refused runs begin (`source/statuses.py`). Prefect compares beginnings only.
REFUSED: Final = (
    "The source does not accept the key*",
    "The key may not list sessions*",
    "The organisation must pay first*",
    "No API key*",
)
#: Prefect accepts no shorter time for the absence of an event.
SHORTEST: Final = timedelta(seconds=10)


def automations(freshness: timedelta, notify: UUID | None = None) -> list[AutomationCore]:
    """The automations. `freshness`: how old a warehouse may become. `notify`: id of a notification block.

    Freshness is watched for each deployment from its first run on.
    """
    return [
        _automation(
            "vapi-sessions: stale",
            f"A deployment of the sync has not completed a run for {freshness} (hours, minutes, seconds).",
            EventTrigger(
                posture=Posture.Proactive,
                after=set(SUCCEEDED),
                expect=set(SUCCEEDED),
                within=freshness,
                for_each={"related:deployment:prefect.resource.id"},
                **_runs_of(SYNC),
            ),
            notify,
        ),
        _automation(
            "vapi-sessions: warnings",
            "A run succeeded with warnings: failing checks, gaps, new fields. vapi-sessions status names them.",
            EventTrigger(
                posture=Posture.Reactive,
                expect={"prefect.flow-run.CompletedWithWarnings"},
                **_runs_of(*FLOWS),
            ),
            notify,
        ),
        _automation(
            "vapi-sessions: key refused",
            "The source refused the key or the request of a run.",
            EventTrigger(
                posture=Posture.Reactive,
                expect={"prefect.flow-run.Failed"},
                **_runs_of(*FLOWS, **{"prefect.state-message": list(REFUSED)}),
            ),
            notify,
        ),
    ]


def apply(wanted: list[AutomationCore]) -> list[str]:
    """Create the automations on the configured server, or update those of the same name. Returns what was done, a line each."""
    done: list[str] = []
    with get_client(sync_client=True) as client:
        for automation in wanted:
            existing = client.read_automations_by_name(automation.name)
            if existing:
                client.update_automation(existing[0].id, automation)
            else:
                client.create_automation(automation)
            done.append(f"{'updated' if existing else 'created'}: {automation.name}")
    return done


def block_id(client: SyncPrefectClient, name: str) -> UUID:
    """The id of a notification block, given as `type/name`. Raises ConfigurationError if there is none."""
    kind, _, own = name.partition("/")
    try:
        document = client.read_block_document_by_name(own, kind, include_secrets=False)
    except Exception as error:
        raise ConfigurationError(
            f"Prefect has no block {name} ({type(error).__name__}).", "See prefect block ls."
        ) from error
    if document.id is None:
        raise AssertionError("a stored block has an id")
    return document.id


def _runs_of(*flows: str, **labels: Any) -> dict[str, Any]:
    return {
        "match": ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*", **labels}),
        "match_related": ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)}
        ),
    }


def _automation(name: str, text: str, trigger: EventTrigger, notify: UUID | None) -> AutomationCore:
    body = f"{text}\nFlow run: {{{{ flow_run.name }}}} {{{{ flow_run.state.message }}}}"
    action = (
        SendNotification(block_document_id=notify, subject=name, body=body)
        if notify is not None
        else DoNothing()
    )
    return AutomationCore(
        name=name, description=text, tags=["vapi-sessions"], trigger=trigger, actions=[action]
    )


def main(arguments: list[str]) -> None:
    """Read the arguments and apply the automations. Raises ConfigurationError."""
    parser = argparse.ArgumentParser(prog="python flows/automations.py", description=__doc__)
    parser.add_argument(
        "--freshness", default="6h", metavar="DURATION", help="how old a warehouse may become (default: 6h)"
    )
    parser.add_argument("--notify", metavar="TYPE/NAME", help="the notification block to use (default: none)")
    given = parser.parse_args(arguments)
    try:
        freshness = timedelta(microseconds=parse_duration(given.freshness))
    except ValueError as error:
        raise ConfigurationError(f"--freshness: {error}.", "For example --freshness 6h.") from None
    if freshness < SHORTEST:
        raise ConfigurationError("--freshness is shorter than ten seconds.", "For example --freshness 6h.")
    never_by_proxy(os.environ)
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise ConfigurationError(
            "PREFECT_API_URL is not set: automations belong to a server that keeps running.",
            "Start one with prefect server start, and set PREFECT_API_URL to its address.",
        )
    try:
        with get_client(sync_client=True) as client:
            notify = block_id(client, given.notify) if given.notify else None
        print(*apply(automations(freshness, notify)), sep="\n")
    except ConfigurationError:
        raise
    except Exception as error:  # of Prefect, of its HTTP client, or about the address
        raise ConfigurationError(
            f"Prefect's server cannot be used ({type(error).__name__}).", "Check PREFECT_API_URL."
        ) from error


if __name__ == "__main__":
    from vapi_sessions.cli.app import end_with

    end_with(lambda: main(sys.argv[1:]))
