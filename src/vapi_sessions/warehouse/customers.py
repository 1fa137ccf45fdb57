"""The values that identify a customer: in a session's JSON, in the columns of `sessions`, and in a snapshot."""

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

#: The kinds of values that identify a customer: members of the session's `customer`, and its `customerId`.
CUSTOMER_KINDS: Final = ("number", "email", "name", "sipUri", "externalId", "customerId")
#: The column of `sessions` for each kind.
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
    """Whether a snapshot has a customer with this kind and (stored) value. A column is read when it is first needed, and kept as
    8 bytes for each value. Files that cannot be read count as empty.
    """

    def __init__(self, snapshot: Path) -> None:
        self._snapshot = snapshot
        self._values: dict[str, array.array[int]] = {}

    def __call__(self, kind: str, value: str) -> bool:
        """Values are compared by their 64-bit hashes, which differ from process to process."""
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


_decode_session: Final = msgspec.json.Decoder(_Session, float_hook=float).decode  # a number of any size


def customer_of(body: bytes) -> list[tuple[str, str]]:
    """Kinds and values that identify the customer in a session's body. None if the body cannot be read."""
    try:
        session = _decode_session(body)
    except (ValueError, RecursionError):
        return []
    customer = session.customer if isinstance(session.customer, dict) else {}
    named = [(kind, _text(customer.get(kind))) for kind in CUSTOMER_KINDS if kind != "customerId"]
    named.append(("customerId", _text(session.customerId)))
    return [(kind, value) for kind, value in named if value.strip()]


def _text(value: Any) -> str:
    """A value as text. A telephone number may be a JSON number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
