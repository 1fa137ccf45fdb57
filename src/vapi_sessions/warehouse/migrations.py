"""Upgrades of a warehouse: the numbered changes from one form to the next, and the refusal of a form that is newer than the program.

The form's number is `schema.SCHEMA_VERSION`; `sync.state` has that of the file as `schema_version`. Forms 1 and 2 had `store.duckdb`, and
`operations/take_over.py` converts them. From form 3 on, each change of `index_schema`, or of the published columns or their derivation,
raises the number by one and adds a migration here. Columns that are added to a table must be nullable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.errors import WarehouseError

if TYPE_CHECKING:
    from vapi_sessions.warehouse.database import Database

#: The first form with `index.duckdb`.
FIRST: Final = 3
#: All rows count as unpublished, so that the next publication derives them again. `raw/` does not have those of batches without a file.
_DERIVE_AGAIN: Final = (
    "UPDATE sync.batches SET published = false WHERE file <> ''",
    "UPDATE sync.parts SET dirty = true",
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step, from form `to - 1`. `statements` change the index. `derive_again`: the next publication writes all rows again."""

    to: int
    statements: Sequence[str] = ()
    derive_again: bool = False


#: In the order of their numbers, from `FIRST` + 1 to `SCHEMA_VERSION`.
MIGRATIONS: tuple[Migration, ...] = ()


def migrate(index: Database, version: str, path: Path) -> bool:
    """Bring an open index of an earlier form up to date, in one transaction; returns whether there was something to do.

    Raises WarehouseError for a newer or an unknown form.
    """
    if version == str(schema.SCHEMA_VERSION):
        return False
    if not _is_earlier(version) or int(version) < FIRST:
        raise refusal(path, version, _made_by(index))
    with index.transaction():
        for step in MIGRATIONS:
            if step.to > int(version):
                for statement in (*step.statements, *(_DERIVE_AGAIN if step.derive_again else ())):
                    index.run(statement)
        index.run(
            "UPDATE sync.state SET value = ? WHERE key = 'schema_version'", [str(schema.SCHEMA_VERSION)]
        )
        faultpoints.reach("migrate.changed")
    return True


def may_read(version: str) -> bool:
    """Whether the ledger of this form can be read without a migration."""
    return version == str(schema.SCHEMA_VERSION) or _is_earlier(version)


def refusal(path: object, version: str, made_by: str | None) -> WarehouseError:
    """The error for a file of a form that this program does not know, with what to do about it."""
    fact = f"{path} has schema version {version or 'unknown'}, this program has {schema.SCHEMA_VERSION}."
    if _is_earlier(version):
        return WarehouseError(fact, "Run vapi-sessions sync: it converts the warehouse, without a download.")
    program = f"vapi-sessions {made_by}" if made_by else "the program that made it"
    return WarehouseError(
        fact,
        f"Use {program} or a newer one. To go back to this version, run vapi-sessions rebuild: it derives everything from raw/.",
    )


def _made_by(database: Database) -> str | None:
    try:
        found = database.rows("SELECT program_version FROM sync.runs ORDER BY started_at DESC LIMIT 1")
    except (WarehouseError, duckdb.Error):  # a newer form may have other columns
        return None
    return str(found[0][0]) if found else None


def _is_earlier(version: str) -> bool:
    return version.isdecimal() and int(version) < schema.SCHEMA_VERSION
