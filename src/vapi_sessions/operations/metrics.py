"""The status as Prometheus metrics: the text for node_exporter's textfile collector, and the file that each run writes.

Names and units follow Prometheus' conventions: base units, `_total` for counters, moments as seconds since 1970. Counters are sums over
all runs, which a rebuild keeps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vapi_sessions.core.timestamps import parse
from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError

if TYPE_CHECKING:
    from vapi_sessions.operations.status import Status
    from vapi_sessions.warehouse.published_state import RunHistory

_PREFIX: Final = "vapi_sessions_"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Ended:
    """A run of `command` that ended just now. Moments in µs."""

    command: str
    started: int
    finished: int
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the file. `labels`: besides `warehouse`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The Prometheus type."""
        return "counter" if self.name.endswith("_total") else "gauge"

    @property
    def full_name(self) -> str:
        """The name with the prefix."""
        return _PREFIX + self.name


INFO: Final = Metric("info", "Always 1. The program that wrote this file.", ("version",))
SOURCE: Final = Metric("source_info", "Always 1. Where the sessions come from.", ("organisation", "base_url"))
WATERMARK: Final = Metric(
    "watermark_timestamp_seconds", "All changes at the source before this moment are in the warehouse."
)
LAG: Final = Metric("lag_seconds", "Age of the watermark when this file was written.")
PUBLISHED: Final = Metric("published_timestamp_seconds", "When rows were last published.")
ROWS: Final = Metric("rows", "Rows of a published table.", ("table",))
SIZE: Final = Metric("size_bytes", "Size on disk.", ("part",))
DELETED: Final = Metric("deleted_sessions", "Sessions in the warehouse that the source has deleted.")
AGED_OUT: Final = Metric(
    "aged_out_sessions", "Sessions in the warehouse that the source no longer lists, by retention."
)
PENDING: Final = Metric("pending_cost_sessions", "Sessions whose cost is not known yet.")
UNREADABLE: Final = Metric("unreadable_sessions", "Sessions that cannot be read and are kept aside.")
GAPS: Final = Metric("gaps", "Ranges of updatedAt that were never read completely.")
UNMERGED: Final = Metric("unmerged_raw_files", "Raw files that the next sync merges.")
CHECKS: Final = Metric("failing_checks", "Checks of sql/checks that find rows.")
CHECK_ROWS: Final = Metric("failing_check_rows", "Rows that a failing check finds.", ("check",))
UNCHECKED: Final = Metric("unchecked_parts", "Parts on which the checks could not be run.")
LAST_RUN: Final = Metric("last_run_timestamp_seconds", "When the last run of a command ended.", ("command",))
LAST_DURATION: Final = Metric(
    "last_run_duration_seconds", "How long the last run of a command took.", ("command",)
)
LAST_OUTCOME: Final = Metric("last_run_success", "Whether the last run of a command succeeded.", ("command",))
LAST_CODE: Final = Metric(
    "last_run_exit_code", "Exit code of the last run of the command that wrote this file.", ("command",)
)  # fmt: skip
LAST_SUCCESS: Final = Metric(
    "last_success_timestamp_seconds", "When a run of a command last succeeded.", ("command",)
)
RUNS: Final = Metric("runs_total", "Runs by outcome.", ("command", "outcome"))
#: Sums of a column of `sync.runs`.
TOTALS: Final = {
    "requests": Metric("requests_total", "Requests sent, retries included."),
    "retries": Metric("retries_total", "Requests that were repeated."),
    "throttled": Metric("throttled_responses_total", "Responses with status 429."),
    "bytes_received": Metric("received_bytes_total", "Bytes of JSON received, decompressed."),
    "sessions_read": Metric("sessions_read_total", "Sessions read, including those read again."),
    "sessions_new": Metric("sessions_new_total", "Sessions seen for the first time."),
    "sessions_changed": Metric("sessions_changed_total", "Changes of known sessions."),
    "sessions_deleted": Metric("sessions_deleted_total", "Sessions found deleted at the source."),
    "late_rows": Metric("late_changes_total", "Changes that became visible later than the settling delay."),
    "silent_changes": Metric(
        "silent_changes_total", "Sessions whose content changed while updatedAt did not."
    ),
    "drift": Metric("drift_rows_total", "Rows read with a field that has no column."),
}
#: In the order of the file.
METRICS: Final = (
    INFO, SOURCE, WATERMARK, LAG, PUBLISHED, ROWS, SIZE, DELETED, AGED_OUT, PENDING, UNREADABLE, GAPS, UNMERGED, CHECKS,
    CHECK_ROWS, UNCHECKED, LAST_RUN, LAST_DURATION, LAST_OUTCOME, LAST_CODE, LAST_SUCCESS, RUNS, *TOTALS.values(),
)  # fmt: skip

#: A metric, the values of its labels, and its value.
Sample = tuple[Metric, tuple[str, ...], float]


@contextlib.contextmanager
def written(
    target: Path | None, warehouse: Path, command: str, now: Callable[[], int], warn: Callable[[str], None]
) -> Iterator[None]:
    """Write the metrics when the block, which is a run of `command`, has ended, well or not. `now` gives µs. See `write`."""
    started = now()
    try:
        yield
    except BaseException as error:
        write(target, warehouse, Ended(command, started, now(), error), warn)
        raise
    write(target, warehouse, Ended(command, started, now()), warn)


def write(target: Path | None, warehouse: Path, ended: Ended, warn: Callable[[str], None]) -> None:
    """Write the metrics to the file `target`, if there is one, after a run that succeeded or failed.

    A run that found the warehouse locked writes nothing: the run that holds the lock does. An error becomes a warning.
    """
    if target is None or isinstance(ended.error, WarehouseBusyError):
        return
    try:
        _replace(target, current(warehouse, now=ended.finished, ended=ended))
    except Exception as error:  # the run has its own result, whatever happens here
        reason = error.strerror if isinstance(error, OSError) else None
        warn(f"the metrics file {target} could not be written ({reason or type(error).__name__})")


def current(warehouse: Path, *, now: int, ended: Ended | None = None) -> str:
    """The text of the file; `now` in µs. With `ended`, it also says how that run ended, even if nothing was ever published.

    Raises the errors of `status` if `ended` is None.
    """
    from vapi_sessions.operations.status import measure  # a run without this file does not need it

    samples: list[Sample] = []
    try:
        status, history = measure(warehouse, now=now)
    except VapiSessionsError:
        if ended is None:
            raise
    else:
        samples += [*_of_status(status), *_of_history(history, ended)]
    if ended is not None:
        samples += _of_run(ended)
    return text(str(warehouse.resolve()), samples)


def text(warehouse: str, samples: list[Sample]) -> str:
    """The samples in Prometheus' text format."""
    from vapi_sessions import __version__

    samples = [(INFO, (__version__,), 1.0), *samples]
    lines: list[str] = []
    for metric in METRICS:
        found = [(labels, value) for which, labels, value in samples if which is metric]
        if found:
            lines += [
                f"# HELP {metric.full_name} {metric.help}",
                f"# TYPE {metric.full_name} {metric.type}",
            ]
        for labels, value in found:
            pairs = zip(("warehouse", *metric.labels), (warehouse, *labels), strict=True)
            shown = ",".join(f'{name}="{label.translate(_ESCAPES)}"' for name, label in pairs)
            number = f"{value:.0f}" if value.is_integer() else repr(value)
            lines.append(f"{metric.full_name}{{{shown}}} {number}")
    return "\n".join([*lines, ""])


def _of_status(status: Status) -> Iterator[Sample]:
    if status.org_id is not None and status.base_url is not None:
        yield SOURCE, (status.org_id, status.base_url), 1.0
    if status.watermark is not None and status.age_seconds is not None:
        yield WATERMARK, (), parse(status.watermark) / 1e6
        yield LAG, (), status.age_seconds
    if status.published_at is not None:
        yield PUBLISHED, (), parse(status.published_at) / 1e6
    yield from ((ROWS, (table,), float(rows)) for table, rows in status.rows.items())
    yield from ((SIZE, (part,), float(size)) for part, size in status.bytes.items())
    for metric, number in (
        (DELETED, status.deleted_sessions),
        (AGED_OUT, status.aged_out_sessions),
        (PENDING, status.pending_cost_sessions),
        (UNREADABLE, len(status.unreadable)),
        (GAPS, len(status.gaps)),
        (UNMERGED, status.unmerged_raw_files),
        (UNCHECKED, status.unchecked_parts),
    ):
        yield metric, (), float(number)
    if status.checks is not None:
        yield CHECKS, (), float(len(status.checks))
        yield from ((CHECK_ROWS, (check,), float(rows)) for check, rows in status.checks.items())


def _of_history(history: RunHistory, ended: Ended | None) -> Iterator[Sample]:
    """The runs of the published ledger; the last one of the command that `ended` is left to `_of_run`."""
    for command, started, finished, outcome in history.last:
        if (ended is None or command != ended.command) and finished is not None:
            yield LAST_RUN, (command,), finished / 1e6
            yield LAST_DURATION, (command,), (finished - started) / 1e6
            yield LAST_OUTCOME, (command,), float(outcome == "done")
    for command, finished in history.successes.items():
        if ended is None or command != ended.command or ended.error is not None:
            yield LAST_SUCCESS, (command,), finished / 1e6
    for command, outcomes in history.totals.outcomes.items():
        yield from ((RUNS, (command, outcome), float(number)) for outcome, number in outcomes.items())
    yield from ((TOTALS[name], (), float(total)) for name, total in history.totals.sums.items())


def _of_run(ended: Ended) -> Iterator[Sample]:
    yield LAST_RUN, (ended.command,), ended.finished / 1e6
    yield LAST_DURATION, (ended.command,), (ended.finished - ended.started) / 1e6
    yield LAST_OUTCOME, (ended.command,), float(ended.error is None)
    yield LAST_CODE, (ended.command,), float(_exit_code(ended.error))
    if ended.error is None:
        yield LAST_SUCCESS, (ended.command,), ended.finished / 1e6


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, VapiSessionsError):
        return error.exit_code
    if isinstance(error, OSError):
        return 5
    return 1 if isinstance(error, Exception) else 130


def _replace(target: Path, content: str) -> None:
    """Replace the file in one step. Others may read it, because the collector runs as another user. Its draft has another suffix,
    so that the collector does not read it. Raises OSError.
    """
    from vapi_sessions.core.files import replace_file

    draft = target.with_name(f".{target.name}.draft")
    replace_file(target, content.encode(), draft, mode=0o644)
