"""`write_report`: from a warehouse to the HTML file."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from vapi_sessions.errors import ConfigurationError, WarehouseError
from vapi_sessions.report import figures
from vapi_sessions.report.period import Reader, choose, freshness
from vapi_sessions.warehouse.reader import check_version, reading

#: Modules of the extra [report].
_EXTRA = ("altair", "jinja2", "vl_convert")


@dataclass(frozen=True)
class Written:
    """The file, its size, the number of sessions in its period, and the first day of that; 0 and None without a session."""

    path: Path
    size: int
    sessions: int
    since: date | None


def missing_package() -> str | None:
    """A package of the extra [report] that is not installed; None if a report can be written."""
    return next((name for name in _EXTRA if importlib.util.find_spec(name) is None), None)


def write_report(warehouse: Path, out: Path, *, since: date | None = None) -> Written:
    """Write the report of a warehouse to `out`, replacing the file. `since` is the first day of the period, in the warehouse's time zone.

    Only the owner can read the file, because it contains conversations. Raises ConfigurationError if the extra [report] is
    not installed or the choice is wrong, WarehouseError if the warehouse cannot be read or the file not be written.
    """
    package = missing_package()
    if package is not None:
        raise ConfigurationError(
            f"The report needs the package {package}, which is not installed.",
            "Install the extra [report]: pip install 'vapi-sessions[report]', or in a checkout: make setup.",
        )
    if out.is_dir():
        raise ConfigurationError(f"{out} is a directory.", "Give the path of a file with --out.")
    if out.exists() and not out.is_file():
        raise ConfigurationError(
            f"{out} is no regular file, and would be replaced by one.", "Give another file with --out."
        )
    if not out.parent.is_dir():
        raise ConfigurationError(
            f"{out.parent} is not a directory.", "Make it, or give another file with --out."
        )
    from vapi_sessions.report import html_page  # imports the extra's packages

    with reading(warehouse) as db:
        check_version(db, warehouse)
        reader = Reader(db)
        _check_views(reader, warehouse)
        fresh = freshness(reader)
        period = choose(reader, fresh, since)
        page = html_page.render(reader, fresh, period)
        sessions = figures.sessions(reader, period) if period else 0
    target = out.resolve()  # of a link, the file that it points to
    _write(target, page)
    return Written(target, len(page), sessions, period.first_day if period else None)


def _check_views(reader: Reader, warehouse: Path) -> None:
    """Raises WarehouseError if the warehouse was published before the views of the report existed."""
    found = {row["view_name"] for row in reader.rows("SELECT view_name FROM duckdb_views()")}
    absent = sorted(set(figures.VIEWS) - found)
    if absent:
        raise WarehouseError(
            f"The published database of {warehouse} has no view {absent[0]}: an earlier version of this program made it.",
            "Run vapi-sessions sync; if nothing has changed at the source, vapi-sessions rebuild.",
        )


def _write(out: Path, page: bytes) -> None:
    """Replace the file in one step, so that a browser never loads half of it."""
    try:
        descriptor, draft = tempfile.mkstemp(dir=out.parent, prefix=".report-", suffix=".html")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(page)
            Path(draft).replace(out)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WarehouseError(
            f"{out} cannot be written: {error.strerror}.", "Give another file with --out."
        ) from None
