"""When the deployments of `schedule` run, checked with Prefect's own rules before a server starts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vapi_sessions.core.timestamps import DAY, SECOND, show
from vapi_sessions.errors import ConfigurationError, VapiSessionsError
from vapi_sessions.warehouse import reader
from vapi_sessions.warehouse.published_state import PublishedState

#: Time between two runs of the maintenance.
MAINTAIN_EVERY: Final = 7 * DAY
#: The fields of a cron expression and the values they take.
_FIELDS: Final = (
    ("minute", "0-59"), ("hour", "0-23"), ("day of the month", "1-31"), ("month", "1-12 or jan-dec"),
    ("day of the week", "0-7 or sun-sat"),
)  # fmt: skip
_CRON_REMEDY: Final = 'Give it in quotes; --cron "30 * * * *" runs at half past each hour.'


@dataclass(frozen=True, slots=True)
class Timing:
    """What the user asked for; intervals in µs. Either `every` or `cron` is given. `zone` is the time zone of `cron`."""

    every: int | None = None
    cron: str | None = None
    zone: str = "UTC"
    reconcile_every: int = DAY

    def check(self) -> None:
        """Raises ConfigurationError, which names the option and what is wrong with it."""
        if (self.every is None) == (self.cron is None):
            raise ConfigurationError(
                "A schedule needs either --every or --cron.",
                'For example --every 15m, or --cron "0 * * * *".',
            )
        for option, interval in (("--every", self.every), ("--reconcile-every", self.reconcile_every)):
            if interval is not None and interval < SECOND:
                raise ConfigurationError(
                    f"{option} is shorter than a second.",
                    f"For example {option} {'15m' if option == '--every' else '24h'}.",
                )
        if self.cron is None and self.zone != "UTC":
            raise ConfigurationError(
                "--cron-time-zone needs --cron.", "Leave it out: intervals have no time zone."
            )
        if self.cron is not None:
            _check_zone(self.zone)
            _check_cron(self.cron, self.zone)


@dataclass(frozen=True, slots=True)
class Due:
    """A repeated run: whether one is overdue, and from which moment (µs) the intervals are counted."""

    now: bool
    anchor: int


def due(last: int | None, interval: int, now: int) -> Due:
    """When a repeated run is due that ran last at `last`; None if it has no past. All in µs."""
    overdue = last is not None and last + interval <= now
    return Due(overdue, now if overdue or last is None else last)


def last_run(warehouse: Path, command: str) -> int | None:
    """The start of the last successful run of a command in the ledger, else of the first successful run of all; µs.

    None if there is no ledger yet, or if it cannot be read: the runs themselves report that.
    """
    try:
        with reader.reading(warehouse) as db:
            return PublishedState(db).last_success(command)
    except VapiSessionsError:
        return None


def duration(microseconds: int) -> str:
    """An interval for people, such as `15m`, `24h` or `7d`: in the largest unit of which it is a whole number, days from two on."""
    for unit, name, least in ((DAY, "d", 2), (DAY // 24, "h", 1), (60 * SECOND, "m", 1)):
        if microseconds % unit == 0 and microseconds >= least * unit:
            return f"{microseconds // unit}{name}"
    return f"{microseconds / SECOND:g}s"


def moment(microseconds: int) -> str:
    """A moment for people: UTC, in whole minutes."""
    return f"{show(microseconds)[:16].replace('T', ' ')} UTC"


def _check_zone(zone: str) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron="0 0 * * *", timezone=zone)
    except ValueError:
        raise ConfigurationError(
            f"--cron-time-zone: Prefect does not know the time zone '{zone}'.",
            "Give a name such as Europe/Berlin.",
        ) from None


def _check_cron(cron: str, zone: str) -> None:
    """An expression that Prefect takes, with five fields or a word such as @daily, and that has a next time."""
    from prefect.server.schemas.schedules import CronSchedule  # as Prefect's scheduler reads it

    def accepted(expression: str) -> bool:
        try:
            CronSchedule(cron=expression)
        except ValueError:
            return False
        return True

    fields = cron.split()
    if not cron.strip().startswith("@"):
        if len(fields) != len(_FIELDS):
            raise ConfigurationError(
                f"--cron: '{cron}' has {len(fields)} fields; a cron expression has five: "
                "minute, hour, day of the month, month, day of the week.",
                _CRON_REMEDY,
            )
        for place, (field, (name, values)) in enumerate(zip(fields, _FIELDS, strict=True)):
            alone = ["*"] * len(_FIELDS)
            alone[place] = field
            if not accepted(" ".join(alone)):
                raise ConfigurationError(
                    f"--cron: '{field}' is not valid for the {name} ({values}).", _CRON_REMEDY
                )
    if not accepted(cron):
        raise ConfigurationError(f"--cron: Prefect does not accept '{cron}'.", _CRON_REMEDY)
    try:
        asyncio.run(CronSchedule(cron=cron, timezone=zone).get_dates(1))
    except ValueError:
        raise ConfigurationError(f"--cron: '{cron}' names a day that no month has.", _CRON_REMEDY) from None
