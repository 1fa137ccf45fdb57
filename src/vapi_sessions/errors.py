"""All errors of this package, named by what the caller should do.

    VapiSessionsError                      1  a bug: report it
    ├── ConfigurationError                 2  correct the command, the setting or the choice of warehouse
    ├── SourceRefusedError                 3  resolve it with the source: key, payment, permission, request
    ├── SourceUnavailableError             4  wait, and run again
    │   └── SourceInconsistentError        4  the same; if it happens again, look for a faulty proxy or cache
    ├── WarehouseError                     5  check the disk or the files
    │   ├── WarehouseBusyError             5  wait for the other process
    │   └── WarehouseDamagedError          5  rebuild
    ├── DifferenceError                    6  check the data: it differs, or it is too old
    └── CircuitBreakerError                7  check the sessions about to be deleted, then accept it

The number is the exit code of the command line. A message has the fact, the value and the remedy, in one or two lines. It
never contains a record's content or the key. Values such as paths are made printable, put on one line, and cut.
"""

from __future__ import annotations

from typing import Final

#: Characters of a fact or a remedy. Paths may have 4,096.
LONGEST: Final = 6_000


def plain(text: str, most: int = LONGEST) -> str:
    """The text on one line and cut to `most` characters. Unprintable characters become escapes like `\\n` or `\\x1b`."""
    cut = text if len(text) <= most else f"{text[: most - 2]} …"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


class VapiSessionsError(Exception):
    """The base class: `fact` says what happened, with the value, and `remedy` what to do about it."""

    exit_code = 1

    def __init__(self, fact: str, remedy: str = "") -> None:
        self.fact, self.remedy = plain(fact), plain(remedy)
        super().__init__(f"{self.fact}\n{self.remedy}" if remedy else self.fact)


class ConfigurationError(VapiSessionsError):
    """A setting, an argument or the choice of warehouse is wrong; nothing was attempted."""

    exit_code = 2


class SourceRefusedError(VapiSessionsError):
    """The source refused the request (400, 401, 402, 403, 404 on a fixed path). Repeating it will not help."""

    exit_code = 3


class SourceUnavailableError(VapiSessionsError):
    """The source cannot be reached, or still fails after all retries."""

    exit_code = 4


class SourceInconsistentError(SourceUnavailableError):
    """The source's responses contradict the request or each other. Nothing was claimed as read from them."""


class WarehouseError(VapiSessionsError):
    """The warehouse directory cannot be read or written."""

    exit_code = 5


class WarehouseBusyError(WarehouseError):
    """Another process is writing to this warehouse."""


class WarehouseDamagedError(WarehouseError):
    """A file of the warehouse has been changed or damaged."""


class DifferenceError(VapiSessionsError):
    """The warehouse differs from the source, or is older than allowed."""

    exit_code = 6


class CircuitBreakerError(VapiSessionsError):
    """Implausibly many sessions were about to be recorded as deleted."""

    exit_code = 7


def other_organisation(warehouse: object, ours: str, theirs: str) -> ConfigurationError:
    """The error for a key that does not belong to this warehouse."""
    return ConfigurationError(
        f"The warehouse {warehouse} belongs to organisation {ours}, the key to {theirs}.",
        "Use a separate --warehouse for each organisation.",
    )


def other_source(warehouse: object, ours: str, theirs: str) -> ConfigurationError:
    """The error for an address that is not the one the warehouse was filled from."""
    return ConfigurationError(
        f"The warehouse {warehouse} was filled from {ours}, and the source is now {theirs}.",
        "Use a separate --warehouse for another source. If it is the same source at a new address, "
        "run vapi-sessions sync --accept-source once.",
    )
