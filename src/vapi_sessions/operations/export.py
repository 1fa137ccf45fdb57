"""`vapi-sessions export`: the published state as one portable DuckDB file, or as CSV or Parquet files of tables and views."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.paths import output_path
from vapi_sessions.core.wording import counted
from vapi_sessions.core.workspace import put_in_place, workspace
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import policy_change
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.stricter_copy import stricter_copy
from vapi_sessions.privacy.policy import MessageText, PersonalData
from vapi_sessions.privacy.sanitizer import STATE, Sanitizer, levels
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import export_source, portable, reader
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.published_state import PublishedState
from vapi_sessions.warehouse.table_files import WRITERS

if TYPE_CHECKING:
    import duckdb

DUCKDB: Final = "duckdb"
FORMATS: Final = (DUCKDB, *WRITERS)


@dataclass(frozen=True, slots=True)
class Export:
    """What to export. `names`: tables and views, for CSV and Parquet; `out`: "" for the default; `replace`: an earlier export.

    `storage_version`: for DuckDB; None for the oldest. `asked`: the settings of the policy that were given for this export.
    """

    names: Sequence[str] = ()
    out: str | None = None
    format: str = DUCKDB
    storage_version: str | None = None
    replace: bool = False
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Exported:
    """The outcome. `names`: tables and views of CSV and Parquet; `published_at`: µs."""

    path: Path
    names: Sequence[str]
    sessions: int
    published_at: int
    size: int


def export(
    settings: Settings,
    wanted: Export,
    *,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write an export of the published state; it appears when it is complete. The warehouse is not changed and not locked.

    If the settings are stricter than what is stored, the rows are derived from `raw/` again, in a directory beside the export.
    Raises ConfigurationError for wrong options, for a path that is taken, and for a policy that is looser than what is stored,
    WarehouseDamagedError if `raw/` lacks sessions that would have to be sanitized, WarehouseError.
    """
    layout = Layout(settings.warehouse)
    _check(wanted)
    target = _target(wanted, layout)
    with reader.reading(layout.root) as db:
        reader.check_version(db, layout.root)
        wanted = replace(
            wanted,
            names=export_source.chosen(db, wanted.names),
            storage_version=portable.storage_version(db, wanted.storage_version),
        )
        facts = PublishedState(db).facts
        stricter = _stricter(settings, facts, wanted.asked)
        with workspace(target) as directory:
            draft = directory / target.name
            if stricter is None:
                sessions = _write(db, layout, wanted, draft)
            else:
                (progress or Silent()).say(
                    f"deriving the rows again from raw/ ({policy_change.level(stricter)}), which takes as long as a rebuild"
                )
                clocks = (environment or Environment()).clocks
                copy = stricter_copy(layout, directory / "warehouse", stricter, clocks)
                with reader.reading(copy.root) as other:
                    sessions = _write(other, layout, wanted, draft)
            size = sum(path.stat().st_size for path in (draft, *draft.glob("*")) if path.is_file())
            with disk_errors(target):
                _check_free(wanted, target)  # it may have been created meanwhile
                for log in _logs(wanted, target):
                    log.unlink(missing_ok=True)
                put_in_place(draft, target)
    return Exported(target, wanted.names, sessions, int(facts["published_at"]), size)


def _write(db: duckdb.DuckDBPyConnection, layout: Layout, wanted: Export, draft: Path) -> int:
    """Write the export of one connection; returns the number of sessions."""
    tables_only = set(wanted.names) <= set(export_source.TABLES)
    export_source.prepare(db, layout.root, draft.parent / "spill", tables_only=tables_only)
    if wanted.format == DUCKDB:
        portable.write_database(db, draft, wanted.storage_version)
    else:
        with disk_errors(draft):
            draft.mkdir(mode=0o700)
        for name in wanted.names:
            WRITERS[wanted.format](db, name, draft / f"{name}.{wanted.format}")
    return PublishedState(db).row_counts()["sessions"]


def _check(wanted: Export) -> None:
    """Raises ConfigurationError for options that do not fit together."""
    if wanted.format not in FORMATS:
        raise ConfigurationError(f"'{wanted.format}' is not a format.", f"Choose from: {', '.join(FORMATS)}.")
    if wanted.format == DUCKDB and wanted.names:
        raise ConfigurationError(
            f"A DuckDB export has every table and view, so no names are taken: {', '.join(wanted.names)}.",
            "Leave them out, or choose --format csv or --format parquet.",
        )
    if wanted.format != DUCKDB and wanted.storage_version is not None:
        raise ConfigurationError(
            f"--storage-version is for --format duckdb, not for {wanted.format}.", "Leave it out."
        )


def _target(wanted: Export, layout: Layout) -> Path:
    """The absolute path of the export. Raises ConfigurationError if nothing may be written there."""
    default = "vapi-export.duckdb" if wanted.format == DUCKDB else "vapi-export"
    target = output_path(wanted.out if wanted.out is not None else default)
    if target.is_relative_to(layout.root) or layout.root.is_relative_to(target):
        raise ConfigurationError(
            f"The export {target} would be in the place of files of the warehouse.",
            "Give a path outside of it with --out.",
        )
    _check_free(wanted, target)
    return target


def _check_free(wanted: Export, target: Path) -> None:
    """Raises ConfigurationError for a path that is taken: by an earlier export, if that may not be replaced, or by anything else."""
    taken = next((path for path in (target, *_logs(wanted, target)) if os.path.lexists(path)), None)
    if taken is None:
        return
    if taken == target and not _is_export(target, wanted.format):
        raise ConfigurationError(
            f"{target} is a {_kind(target)} and no export as --format {wanted.format} makes it, so it is not replaced.",
            "Give another path with --out.",
        )
    if not wanted.replace:
        raise ConfigurationError(
            f"{taken} exists ({_kind(taken)}).", "Give another path with --out, or replace it with --force."
        )


def _is_export(path: Path, output: str) -> bool:
    """Whether a file or directory may be one of this format: a link or a DuckDB database, or nothing but files of tables."""
    if path.is_symlink():
        return True
    if path.is_dir():
        suffixes = {f".{name}" for name in WRITERS}
        return output != DUCKDB and all(entry.suffix in suffixes for entry in path.iterdir())
    return output == DUCKDB and portable.is_database(path)


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "link"
    if path.is_dir():
        return f"directory with {counted(len(list(path.iterdir())), 'entry', 'entries')}"
    return f"file of {path.stat().st_size:,} bytes"


def _logs(wanted: Export, target: Path) -> list[Path]:
    """Where DuckDB looks for a log of the new database. That of another one would make it fail."""
    return [target.with_name(f"{target.name}.wal")] if wanted.format == DUCKDB else []


def _stricter(settings: Settings, facts: dict[str, str], asked: frozenset[str]) -> Sanitizer | None:
    """The sanitizer for an export that must be stricter than what is stored; None if the published rows are right.

    Of what the settings say and what is stored, the stricter level counts. Raises ConfigurationError for a level that was
    asked for and is looser than what is stored.
    """
    personal, text = levels(facts.get(STATE))
    for field, wanted, stored in (
        ("personal_data", settings.personal_data, personal),
        ("message_text", settings.message_text, text),
    ):
        if field in asked and _strictness(wanted) < _strictness(stored):
            raise ConfigurationError(
                f"--{field.replace('_', '-')} {wanted} is looser than what is stored ({stored}).",
                "What was removed cannot come back: leave the option out, or choose a stricter level.",
            )
    if not policy_change.check_sanitizer(facts, settings.sanitizer(), empty=False):
        return None
    strictest = settings.model_copy(
        update={
            "personal_data": max(settings.personal_data, personal, key=_strictness),
            "message_text": max(settings.message_text, text, key=_strictness),
        }
    )
    sanitizer = strictest.sanitizer()
    policy_change.check_sanitizer(facts, sanitizer, empty=False)
    return sanitizer


def _strictness(level: PersonalData | MessageText) -> int:
    """The position among the levels, which are declared from loose to strict."""
    return [*type(level)].index(level)
