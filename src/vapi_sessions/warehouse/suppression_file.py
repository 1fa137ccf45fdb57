"""The content of `suppression.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import replace_file
from vapi_sessions.errors import WarehouseDamagedError


class ListedSession(msgspec.Struct, array_like=True):
    """A session: its createdAt (µs; 0: not known yet), when it was listed (µs), and the names of the entries it was listed for."""

    created: int
    at: int
    because: list[str]


class ListedCustomer(msgspec.Struct):
    """A customer by one value: its kind, when it was listed (µs), and the slow hashes of its spelling and its pseudonym."""

    kind: str
    at: int
    hashes: list[str]


class SuppressionContent(msgspec.Struct, omit_defaults=True):
    """The file. `key`: of all hashes, hexadecimal; `cost`: scrypt's n, r and p; `people`: by the name of the entry.

    `sessions`: by the hash of the id (earlier versions wrote only a createdAt); `gone`: those of them that the source no longer
    lists; `customers`: quick hashes that earlier versions wrote; `pending`: an erasure was begun and not completed.
    """

    key: str
    cost: tuple[int, int, int] | None = None
    people: dict[str, ListedCustomer] = {}
    sessions: dict[str, int | ListedSession] = {}
    gone: list[str] = []
    customers: list[str] = []
    pending: bool = False


def read(path: Path) -> SuppressionContent | None:
    """The content; None if there is no file. Raises WarehouseDamagedError if it cannot be decoded, WarehouseError."""
    with disk_errors(path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        return msgspec.json.decode(text, type=SuppressionContent)
    except msgspec.DecodeError as error:
        raise WarehouseDamagedError(
            f"{path}, the list of what was forgotten, cannot be read ({type(error).__name__}).",
            "Restore it from a copy. Without it what was forgotten comes back: remove it only if that is acceptable.",
        ) from None


def write(path: Path, content: SuppressionContent) -> None:
    """Replace the file durably. Raises WarehouseError."""
    with disk_errors(path):
        replace_file(path, msgspec.json.encode(content), path.with_name(f".{path.name}.tmp"))
