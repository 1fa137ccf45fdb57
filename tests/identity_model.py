"""A second, slower way to join identities: union-find in Python. Also fills the table of sessions at once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import pyarrow as pa

from sql_rows import MORNING, Rows
from vapi_sessions.schema import SESSIONS

#: Columns of a session that identify its customer, in the order of `identities`, and their kinds.
KINDS = {
    "customer_id": "id",
    "customer_external_id": "external_id",
    "customer_number": "number",
    "customer_email": "email",
    "customer_sip_uri": "sip_uri",
}
#: The bound of `customer_identities`.
MOST_LINKED = 5

Identity = tuple[int, str]
"""Position of the kind in `KINDS`, and value."""


def name(identity: Identity) -> str:
    """As the views write it."""
    return f"{list(KINDS.values())[identity[0]]}:{identity[1]}"


class Joined:
    """The identities of these sessions. The values are lower-case words, which need no normalisation."""

    def __init__(self, sessions: Iterable[Mapping[str, str]]) -> None:
        self.sessions = [
            [(kind, session[column]) for kind, column in enumerate(KINDS) if column in session]
            for session in sessions
        ]
        links: dict[Identity, dict[int, set[str]]] = {
            one: defaultdict(set) for s in self.sessions for one in s
        }
        for carried in self.sessions:
            for one in carried:
                for kind, value in carried:
                    if kind != one[0]:
                        links[one][kind].add(value)
        self.linked = {one: max(map(len, by_kind.values()), default=0) for one, by_kind in links.items()}
        self.shared = {one for one, count in self.linked.items() if count > MOST_LINKED}
        self.parents = {one: one for one in links}
        for carried in self.sessions:
            own = [one for one in carried if one not in self.shared]
            for one in own[1:]:
                self._join(own[0], one)

    def _join(self, one: Identity, other: Identity) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        self.parents[second] = first

    def root(self, one: Identity) -> Identity:
        """The first identity of the same customer."""
        while self.parents[one] != one:
            self.parents[one] = self.parents[self.parents[one]]
            one = self.parents[one]
        return one

    def identities(self) -> set[tuple[str, str, int, bool]]:
        """identity, customer_key, linked_identity_count and shared of all identities."""
        return {
            (name(one), name(self.root(one)), self.linked[one], one in self.shared) for one in self.parents
        }

    def customers(self) -> list[str | None]:
        """The customer_key of each session."""
        keys = []
        for carried in self.sessions:
            best = next((one for one in carried if one not in self.shared), next(iter(carried), None))
            keys.append(None if best is None else name(self.root(best)))
        return keys


def fill(rows: Rows, sessions: list[dict[str, str]]) -> None:
    """Insert sessions with these columns at once; they are named s0, s1, … and created one second after another."""
    columns: dict[str, list[Any]] = {
        column: [session.get(column) for session in sessions] for column in KINDS
    }
    columns["session_id"] = [f"s{number}" for number in range(len(sessions))]
    columns["created_at"] = [MORNING + timedelta(seconds=number) for number in range(len(sessions))]
    fillers = {"VARCHAR": "x", "TIMESTAMPTZ": MORNING}
    for column in SESSIONS.columns:
        if column.required and column.name not in columns:
            columns[column.name] = [fillers.get(column.type, 0)] * len(sessions)
    types = {column: pa.string() for column in KINDS}
    rows.connection.register(
        "given",
        pa.table({key: pa.array(values, types.get(key)) for key, values in columns.items()}),
    )
    rows.run("INSERT INTO store.sessions BY NAME FROM given")
    rows.connection.unregister("given")
