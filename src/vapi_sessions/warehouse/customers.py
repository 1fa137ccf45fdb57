"""What names a customer: where it stands in a session's JSON, in which column, and whether a snapshot holds it."""

from __future__ import annotations

import array
import bisect
import contextlib
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions.core.files import PARTS

#: What a customer can be named by: members of the session's `customer`, and its `customerId`.
CUSTOMER_KINDS: Final = ("number", "email", "name", "sipUri", "externalId", "customerId")
#: The column of `sessions` for each kind of what names a customer.
CUSTOMER_COLUMNS: Final = dict(
    zip(
        CUSTOMER_KINDS,
        (
            "customer_number",
            "customer_email",
            "customer_name",
            "customer_sip_uri",
            "customer_external_id",
            "customer_id",
        ),
        strict=True,
    )
)


class CustomersHeld:
    """Whether a snapshot holds a customer of this kind and value, as it is stored there. Each column is read when it is first
    asked for, and kept as 8 bytes for each value. What cannot be read counts as not held.
    """

    def __init__(self, snapshot: Path) -> None:
        self._snapshot = snapshot
        self._values: dict[str, array.array[int]] = {}

    def __call__(self, kind: str, value: str) -> bool:
        """Two values of one hash, of 64 bits and another one in each process, are taken for one."""
        values = self._values.get(kind)
        if values is None:
            values = self._values[kind] = self._read(CUSTOMER_COLUMNS[kind])
        wanted = hash(value)
        at = bisect.bisect_left(values, wanted)
        return at < len(values) and values[at] == wanted

    def _read(self, column: str) -> array.array[int]:
        found = array.array("q")
        for path in (self._snapshot / "sessions").glob(PARTS):
            with contextlib.suppress(OSError, pa.ArrowException):
                values = pq.read_table(path, columns=[column]).column(0).unique()
                found.extend(hash(text) for text in values.to_pylist() if text is not None)
        return array.array("q", sorted(found))


class _Session(msgspec.Struct):
    customer: Any = None
    customerId: Any = None  # noqa: N815


_decode_session: Final = msgspec.json.Decoder(_Session, float_hook=float).decode  # whatever its size


def customer_of(body: bytes) -> list[tuple[str, str]]:
    """Kind and value of what a session's body names its customer by. Nothing if the body cannot be read."""
    try:
        session = _decode_session(body)
    except (ValueError, RecursionError):
        return []
    customer = session.customer if isinstance(session.customer, dict) else {}
    named = [(kind, _text(customer.get(kind))) for kind in CUSTOMER_KINDS if kind != "customerId"]
    named.append(("customerId", _text(session.customerId)))
    return [(kind, value) for kind, value in named if value.strip()]


def _text(value: Any) -> str:
    """A value as text: a number may be a JSON number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
