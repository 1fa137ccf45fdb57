"""The tables of `index.duckdb`: one row a session, and the ledger in schema `sync`, of which readers get a copy."""

from __future__ import annotations

from typing import Final

from vapi_sessions.schema import Table, column

RUNS: Final = Table(
    "runs",
    "One row per run of sync, backfill, reconcile and maintain.",
    ("run_id",),
    "started_at",
    (
        column("run_id", "VARCHAR!", "Start of the run and a random part."),
        column(
            "command",
            "VARCHAR!",
            "sync, backfill, reconcile or maintain; with flow after it for a run of Prefect.",
        ),
        column("started_at", "TIMESTAMPTZ!", "By our clock."),
        column(
            "finished_at",
            "TIMESTAMPTZ",
            "By our clock, after its data files were written; null while it is running or if it was killed.",
        ),
        column("outcome", "VARCHAR!", "running, done, failed, interrupted, killed."),
        column("error", "VARCHAR", "The error message of a run that failed."),
        column("org_id", "VARCHAR", "The organisation of the sessions that it read; null if it read none."),
        column("base_url", "VARCHAR", "The source."),
        column(
            "bound", "TIMESTAMPTZ", "Claimed bound: a run that is done has read all changes before this time."
        ),
        column("watermark", "TIMESTAMPTZ", "After the run: all changes before this time have been read."),
        column("requests", "BIGINT", "Requests sent, retries included."),
        column("retries", "BIGINT", "Requests that were repeated."),
        column("throttled", "BIGINT", "Responses with status 429."),
        column("bytes_received", "BIGINT", "Bytes of JSON received, decompressed."),
        column("sessions_read", "BIGINT", "Sessions read, including those read again."),
        column("sessions_new", "BIGINT", "Sessions seen for the first time."),
        column("sessions_changed", "BIGINT", "Known sessions whose content was new."),
        column("messages_written", "BIGINT", "Messages of these sessions."),
        column("sessions_unreadable", "BIGINT", "Sessions kept aside as unreadable at the end of the run."),
        column("sessions_deleted", "BIGINT", "Sessions newly found deleted at the source."),
        column("sessions_aged_out", "BIGINT", "Sessions newly found aged out by retention."),
        column(
            "sessions_restored",
            "BIGINT",
            "Sessions whose tombstone was removed, because the source shows them again.",
        ),
        column("late_rows", "BIGINT", "Changes that became visible later than the settling delay."),
        column("silent_changes", "BIGINT", "Sessions whose content changed while updatedAt did not."),
        column("drift", "JSON", "Fields without a column or with an unexpected type, with counts."),
        column("program_version", "VARCHAR!", "Version of vapi-sessions."),
    ),
)

WINDOWS: Final = Table(
    "windows",
    "One row per window of a run: what was read.",
    ("run_id", "window_index"),
    "lower_bound",
    (
        column("run_id", "VARCHAR!", "The run."),
        column("window_index", "INTEGER!", "Position in the run's plan."),
        column("org_id", "VARCHAR!", "The organisation."),
        column("lower_bound", "TIMESTAMPTZ!", "Lower bound of updatedAt, inclusive."),
        column(
            "upper_bound", "TIMESTAMPTZ", "Upper bound of updatedAt, exclusive; null if the window has none."
        ),
        column("claimed", "BOOLEAN!", "Whether [lower_bound, claimed_until) counts as read."),
        column("claimed_until", "TIMESTAMPTZ", "End of the claimed interval."),
        column("expected", "BIGINT!", "The source's count when the window was planned."),
        column("first_total", "BIGINT", "totalItems of the first page."),
        column("last_total", "BIGINT", "totalItems of the last page."),
        column("distinct_ids", "BIGINT!", "Sessions read."),
        column("requests", "BIGINT!", "Pages read."),
        column(
            "verdict",
            "VARCHAR!",
            "complete, open (not finished) or superseded (by a later run).",
        ),
        column("left_to_read", "JSON", "Cursors of the rest of an open window."),
        column("noted_at", "TIMESTAMPTZ!", "When this row was written."),
    ),
)

BATCHES: Final = Table(
    "batches",
    "One row per merged raw file.",
    ("file",),
    "merged_at",
    (
        column("batch", "BIGINT!", "Number of the batch, from 1, in the order of merging."),
        column(
            "file",
            "VARCHAR!",
            "Name in raw/; empty for rows taken over from version 0.1.0 that raw/ does not have.",
        ),
        column("run_id", "VARCHAR!", "The run that fetched it."),
        column("observations", "BIGINT!", "Rows in the file."),
        column("merged_at", "TIMESTAMPTZ!", "Time of the merge."),
        column("published", "BOOLEAN!", "Whether its changes are published."),
    ),
)

INTERVALS: Final = Table(
    "intervals",
    "One row per interval of updatedAt that has been read completely.",
    ("org_id", "lower_bound"),
    "lower_bound",
    (
        column("org_id", "VARCHAR!", "The organisation."),
        column("lower_bound", "TIMESTAMPTZ!", "Lower bound, inclusive."),
        column("upper_bound", "TIMESTAMPTZ!", "Upper bound, exclusive."),
    ),
)

PARTS: Final = Table(
    "parts",
    "One row per range of createdAt and table: one published Parquet file.",
    ("lower_bound", "table_name"),
    "lower_bound",
    (
        column("lower_bound", "TIMESTAMPTZ!", "Lower bound of createdAt, inclusive."),
        column("upper_bound", "TIMESTAMPTZ!", "Upper bound, exclusive; in the same month or its end."),
        column("table_name", "VARCHAR!", "The table."),
        column("sessions", "BIGINT!", "Sessions in the range when the file was published."),
        column(
            "file",
            "VARCHAR",
            "Name of the published file; null if the table has no row in the range or nothing was published yet.",
        ),
        column("dirty", "BOOLEAN!", "Whether committed changes are missing in the file."),
    ),
)

UNREADABLE: Final = Table(
    "unreadable",
    "One row per session that the source lists and that cannot be read; its JSON is in raw/.",
    ("session_id",),
    "created_at",
    (
        column("session_id", "VARCHAR!", "The session's id; unreadable-… if it has none."),
        column("created_at", "TIMESTAMPTZ", "The session's createdAt, if any."),
        column("updated_at", "TIMESTAMPTZ", "The session's updatedAt, if any."),
        column("problem", "VARCHAR!", "What is wrong, for example: updatedAt is missing."),
        column("requested_at", "TIMESTAMPTZ!", "When it was first found unreadable."),
        column("seq", "BIGINT!", "Number of that request."),
        column("content_hash", "VARCHAR!", "Hash of the redacted JSON."),
    ),
)

STATE: Final = Table(
    "state",
    "One row per fact about the whole warehouse.",
    ("key",),
    "key",
    (
        column(
            "key",
            "VARCHAR!",
            "schema_version, org_id, origin, origin_reason, unsettled, next_seq, snapshot, …",
        ),
        column("value", "VARCHAR!", "The value as text; times in microseconds since the epoch."),
    ),
)

#: The newest version of each session. The hashes show which published tables a new version changes.
INDEX: Final = Table(
    "sessions",
    "One row per session.",
    ("session_id",),
    "created_at",
    (
        column("session_id", "VARCHAR!", "The source's id."),
        column("created_at", "TIMESTAMPTZ!", "When the session began; never changes."),
        column("updated_at", "TIMESTAMPTZ!", "updatedAt of the newest version."),
        column("seq", "BIGINT!", "Number of the request that read this version."),
        column("batch", "BIGINT!", "The batch, and so the raw file, that contains it."),
        column("message_count", "INTEGER!", "Messages of all roles."),
        column("content_hash", "UBIGINT!", "The first half of sessions.content_hash."),
        column("messages_hash", "UBIGINT!", "Hash of the messages' JSON."),
        column("costs_hash", "UBIGINT!", "Hash of the costs' JSON."),
        column("outputs_hash", "UBIGINT!", "Hash of the artifact's JSON."),
        column("first_synced_at", "TIMESTAMPTZ!", "When the session was first read from the source."),
        column(
            "growth",
            "VARCHAR",
            "JSON [[updated_at µs, message_count], …]: when the conversation grew; null if it was seen with one length only.",
        ),
        column("mark_seq", "BIGINT", "Number of the request behind deleted_at or aged_out_at."),
        column("deleted_at", "TIMESTAMPTZ", "When it was confirmed that the source had deleted the session."),
        column(
            "aged_out_at",
            "TIMESTAMPTZ",
            "When it was found that the source no longer lists the session, by retention.",
        ),
    ),
)

#: The tables of schema `sync`.
SYNC_TABLES: Final[tuple[Table, ...]] = (RUNS, WINDOWS, BATCHES, INTERVALS, PARTS, UNREADABLE, STATE)
