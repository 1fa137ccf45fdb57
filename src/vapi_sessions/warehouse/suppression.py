"""`suppression.json`: what was forgotten and must not come back, as keyed hashes from which nobody reads who it was.

The key is made with the warehouse. A session is held by the hash of its id and its createdAt, so that `reconcile` and
`verify` can count what the source still lists and the warehouse may not hold; a customer by the hashes of number,
e-mail, external id or id. The list is durable before anything is erased (`pending`), so a `forget` that was interrupted
is completed by the next writer.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.json_text import decode
from vapi_sessions.policy import PersonalData, Policy, normalised
from vapi_sessions.warehouse.files import replace_file
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.refusals import disk_errors
from vapi_sessions.windows import Window

#: What a customer can be named by, and where that stands in a session.
CUSTOMER_KINDS: Final = ("number", "email", "externalId", "customerId")


class Seen(Protocol):
    """A session as a response showed it."""

    @property
    def session_id(self) -> str: ...  # noqa: D102
    @property
    def created_at(self) -> int: ...  # noqa: D102
    @property
    def body(self) -> bytes: ...  # noqa: D102


S = TypeVar("S", bound=Seen)


class _File(msgspec.Struct, omit_defaults=True):
    key: str
    sessions: dict[str, int] = {}  # hash of the id to createdAt, µs
    gone: list[str] = []  # those of them that the source lists no longer
    customers: list[str] = []
    pending: bool = False


class _Session(msgspec.Struct):
    customer: Any = None
    customerId: Any = None  # noqa: N815


_decode_session: Final = msgspec.json.Decoder(_Session).decode


class Suppression:
    """The list of one warehouse. Changes are on disk when the method returns; only inside the writer's lock."""

    def __init__(self, path: Path, content: _File) -> None:
        self._path = path
        self._content = content
        self._customers = frozenset(content.customers)
        self._sort()

    @classmethod
    def open(cls, layout: Layout, *, create: bool = False) -> Suppression:
        """The list as it is; empty if there is none yet, with a new key that `create` writes down.

        Raises WarehouseDamagedError if it is not what was written: without it, what was forgotten would come back; WarehouseError
        if the disk refuses it.
        """
        path = layout.suppression
        with disk_errors(path):
            try:
                text = path.read_bytes()
            except FileNotFoundError:
                text = None
        if text is None:
            made = cls(path, _File(secrets.token_hex(32)))
            if create:
                made._write()
            return made
        try:
            return cls(path, msgspec.json.decode(text, type=_File))
        except msgspec.DecodeError as error:
            raise WarehouseDamagedError(
                f"{path}, the list of what was forgotten, cannot be read ({type(error).__name__}).",
                "Restore it from a copy. Without it what was forgotten comes back: remove it only if that is acceptable.",
            ) from None

    def __repr__(self) -> str:
        return (
            f"Suppression({len(self._content.sessions)} sessions, {len(self._customers)} customers, key=***)"
        )

    @property
    def empty(self) -> bool:
        """Whether nothing was ever forgotten. There is no truth value: an empty list must not pass for none given."""
        return not (self._content.sessions or self._customers)

    @property
    def pending(self) -> bool:
        """Whether an erasure was begun and not completed."""
        return self._content.pending

    def hash(self, kind: str, value: str) -> str:
        """The keyed hash of a session's id (kind `id`) or of what names a customer, in the spelling that counts."""
        text = f"{kind}\0{normalised(kind, value)}".encode("utf-8", "surrogatepass")
        return hmac.new(bytes.fromhex(self._content.key), text, hashlib.sha256).hexdigest()

    # -- what it says --------------------------------------------------------------------------------------------

    def holds(self, session_id: str) -> bool:
        """Whether this session was forgotten."""
        return bool(self._content.sessions) and self.hash("id", session_id) in self._content.sessions

    def allowed(self, rows: Iterable[S], policy: Policy | None = None) -> list[S]:
        """The rows that may be stored; notes nothing."""
        if self.empty:
            return list(rows)
        return [row for row in rows if not self.excludes(row.session_id, row.body, policy)]

    def excludes(self, session_id: str | None, body: bytes, policy: Policy | None = None) -> bool:
        """Whether such a session may not be stored; it need not have an id."""
        if self.empty:
            return False
        return (session_id is not None and self.holds(session_id)) or self.names_forgotten(body, policy)

    def admit(self, rows: Sequence[S], policy: Policy | None = None) -> Sequence[S]:
        """The rows that may be stored. New sessions of a forgotten customer join the list, which is then durable.

        A customer may have been named by a pseudonym, which `policy` makes.
        """
        if self.empty:
            return rows
        new: dict[str, int] = {}
        admitted = []
        for row in rows:
            hashed = self.hash("id", row.session_id)
            known = self._content.sessions.get(hashed)
            if known:
                continue
            if known is not None or (self._customers and self.names_forgotten(row.body, policy)):
                new[hashed] = row.created_at
                continue
            admitted.append(row)
        if new:
            self._content.sessions |= new
            self._sort()
            self._write()
        return admitted

    def names_forgotten(self, body: bytes, policy: Policy | None = None) -> bool:
        """Whether a session is a forgotten customer's, by what its body says of the customer."""
        named = customer_of(body)
        if policy is not None and policy.personal is PersonalData.PSEUDONYMISE:
            named += [(kind, policy.pseudonym(kind, value)) for kind, value in named if kind != "customerId"]
        return any(self.hash(kind, value) in self._customers for kind, value in named)

    def count(self, window: Window) -> int:
        """How many forgotten sessions, created in the (closed) window, the source still lists."""
        upper = window.upper if window.upper is not None else float("inf")
        return bisect.bisect_left(self._listed, upper) - bisect.bisect_left(self._listed, window.lower)

    # -- what changes it -----------------------------------------------------------------------------------------

    def begin(self, sessions: Mapping[str, int], customers: Iterable[tuple[str, str]] = ()) -> None:
        """Note what is about to be erased: ids with createdAt (µs), and what names the customer."""
        self._content.sessions |= {self.hash("id", name): created for name, created in sessions.items()}
        self._customers |= {self.hash(kind, value) for kind, value in customers}
        self._content.pending = True
        self._sort()
        self._write()

    def complete(self) -> None:
        """Note that nothing of what is listed is in the warehouse any more."""
        self._content.pending = False
        self._write()

    def listed(self, window: Window, session_ids: Iterable[str]) -> None:
        """Take note of which forgotten sessions a complete reading of a (closed) window of createdAt still showed."""
        upper = window.upper if window.upper is not None else float("inf")
        inside = {h for h, created in self._content.sessions.items() if window.lower <= created < upper}
        if not inside:
            return
        shown = {self.hash("id", session_id) for session_id in session_ids} & inside
        gone = (set(self._content.gone) - shown) | (inside - shown)
        if gone != set(self._content.gone):
            self._content.gone = sorted(gone)
            self._sort()
            self._write()

    def _sort(self) -> None:
        gone = set(self._content.gone)
        self._listed = sorted(
            created for hashed, created in self._content.sessions.items() if hashed not in gone
        )

    def _write(self) -> None:
        self._content.customers = sorted(self._customers)
        draft = self._path.with_name(f".{self._path.name}.tmp")
        with disk_errors(self._path):
            replace_file(self._path, msgspec.json.encode(self._content), draft)


def customer_of(body: bytes) -> list[tuple[str, str]]:
    """Kind and value of what a session's body names its customer by. Nothing if the body cannot be read."""
    try:
        session = _decode_session(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:  # a lone surrogate somewhere
            found = decode(body.decode("utf-8", "surrogatepass"))
            session = _Session(found.get("customer"), found.get("customerId"))
        except (ValueError, RecursionError, AttributeError):
            return []
    customer = session.customer if isinstance(session.customer, dict) else {}
    named = [(kind, customer.get(kind)) for kind in CUSTOMER_KINDS[:3]]
    named.append(("customerId", session.customerId))
    return [(kind, value) for kind, value in named if isinstance(value, str) and value.strip()]
