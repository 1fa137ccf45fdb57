"""Every error this package raises, named by what the caller should do.

    VapiSessionsError                      1  a bug: report it
    ├── ConfigurationError                 2  fix the command, the setting or the warehouse you pointed at
    ├── SourceRefusedError                 3  settle it with the source: key, payment, permission, request
    ├── SourceUnavailableError             4  wait, and run again
    │   └── SourceInconsistentError        4  the same; if it stays, something between us and the source lies
    ├── WarehouseError                     5  look at the disk or the files
    │   ├── WarehouseBusyError             5  wait for the other process
    │   └── WarehouseDamagedError          5  rebuild
    ├── DifferenceError                    6  look at the data: it differs, or it is too old
    └── CircuitBreakerError                7  check what was about to be marked, then accept it

The number is the exit code of the command line. A message gives the fact, the value and the remedy, in one or two
lines. It never holds a record's content, and never the key. Whatever is put into it, a path or a name at the source, it
becomes printable characters on one line, and is cut.
"""

from __future__ import annotations

from typing import Final

#: Characters of a fact or a remedy. Paths may have 4,096.
LONGEST: Final = 6_000


def plain(text: str, most: int = LONGEST) -> str:
    """At most so many characters, all printable and on one line: others become escapes, `\\n` or `\\x1b`."""
    cut = text if len(text) <= most else f"{text[: most - 2]} …"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


class VapiSessionsError(Exception):
    """Root of the tree: `fact` says what happened with the value, `remedy` what to do about it."""

    exit_code = 1

    def __init__(self, fact: str, remedy: str = "") -> None:
        self.fact, self.remedy = plain(fact), plain(remedy)
        super().__init__(f"{self.fact}\n{self.remedy}" if remedy else self.fact)


class ConfigurationError(VapiSessionsError):
    """A setting, an argument or the choice of warehouse is wrong; nothing was attempted."""

    exit_code = 2


class SourceRefusedError(VapiSessionsError):
    """The source understood and said no (400, 401, 402, 403, 404 on a fixed path); asking again will not help."""

    exit_code = 3


class SourceUnavailableError(VapiSessionsError):
    """The source cannot be reached, or kept failing after all retries."""

    exit_code = 4


class SourceInconsistentError(SourceUnavailableError):
    """The source's answers contradict the request or each other; nothing was claimed from them."""


class WarehouseError(VapiSessionsError):
    """The warehouse directory cannot be read or written."""

    exit_code = 5


class WarehouseBusyError(WarehouseError):
    """Another process is writing to this warehouse."""


class WarehouseDamagedError(WarehouseError):
    """A file of the warehouse is not what was written."""


class DifferenceError(VapiSessionsError):
    """Warehouse and source differ, or the warehouse is older than asked for."""

    exit_code = 6


class CircuitBreakerError(VapiSessionsError):
    """More rows were about to be marked as deleted than is believable."""

    exit_code = 7


def other_organisation(warehouse: object, ours: str, theirs: str) -> ConfigurationError:
    """The error for a key that does not belong to this warehouse."""
    return ConfigurationError(
        f"The warehouse {warehouse} belongs to organisation {ours}, the key to {theirs}.",
        "Give each organisation a --warehouse of its own.",
    )
