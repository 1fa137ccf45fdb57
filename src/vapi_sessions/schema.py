"""Each column of the warehouse, declared once: name, type, nullability, meaning.

Arrow schemas, DDL, the published views and the README's tables all derive from `TABLES`. Types are DuckDB's. `JSON`
columns are stored as text (Parquet's JSON annotation makes other readers see bytes) and cast in the published views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

SqlType = Literal["VARCHAR", "BIGINT", "UBIGINT", "INTEGER", "DOUBLE", "TIMESTAMPTZ", "BOOLEAN", "JSON"]

#: Raised whenever stored data has to be derived again: the next run does so where it finds an older version.
SCHEMA_VERSION: Final = 3

_ARROW: Final[dict[SqlType, pa.DataType]] = {
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "BIGINT": pa.int64(),
    "UBIGINT": pa.uint64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    type: SqlType
    description: str
    required: bool = False

    @property
    def arrow(self) -> pa.Field:
        """The Arrow field, nullability included."""
        return pa.field(self.name, _ARROW[self.type], nullable=not self.required)

    @property
    def storage_type(self) -> str:
        """The type in Parquet and in the writer's index."""
        return "VARCHAR" if self.type == "JSON" else self.type


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its columns in order, the key that is unique, and the column that ranges are cut on."""

    name: str
    description: str
    key: tuple[str, ...]
    created_at: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """Arrow schema of all columns."""
        return pa.schema([column.arrow for column in self.columns])

    def ddl(self, schema: str = "main") -> str:
        """`CREATE TABLE` for the writer's index: no key and no DuckDB index (upserts corrupt or slow them; we assert)."""
        lines = (
            f"    {column.name} {column.storage_type}{' NOT NULL' if column.required else ''}"
            for column in self.columns
        )
        return f"CREATE TABLE IF NOT EXISTS {schema}.{self.name} (\n" + ",\n".join(lines) + "\n)"


def _c(name: str, type_: str, description: str) -> Column:
    required = type_.endswith("!")
    return Column(name, type_.rstrip("!"), description, required)  # type: ignore[arg-type]  # literals below


_SESSION_ID = _c("session_id", "VARCHAR!", "The session this row belongs to.")
_SESSION_CREATED = _c("session_created_at", "TIMESTAMPTZ!", "The session's createdAt; never changes.")

SESSIONS: Final = Table(
    "sessions",
    "One row a session, at its newest known state.",
    ("session_id",),
    "created_at",
    (
        _c("session_id", "VARCHAR!", "The source's id."),
        _c("org_id", "VARCHAR!", "The organisation that owns the session."),
        _c("name", "VARCHAR", "User-defined name."),
        _c("status", "VARCHAR", "active or completed."),
        _c("created_at", "TIMESTAMPTZ!", "When the session began; never changes."),
        _c("updated_at", "TIMESTAMPTZ!", "When the source last changed the session."),
        _c("expiration_seconds", "BIGINT", "Lifetime in seconds, as configured."),
        _c("expires_at", "TIMESTAMPTZ", "created_at + expiration: the earliest moment of expiry."),
        _c("assistant_id", "VARCHAR", "The saved assistant."),
        _c("assistant_name", "VARCHAR", "Name in the embedded assistant, or in its overrides."),
        _c("squad_id", "VARCHAR", "The saved squad."),
        _c("squad_name", "VARCHAR", "Name in the embedded squad."),
        _c(
            "model_provider",
            "VARCHAR",
            "Provider of the embedded assistant's model, or of the first model cost.",
        ),
        _c("model_name", "VARCHAR", "Model of the embedded assistant, or of the first model cost."),
        _c("customer_id", "VARCHAR", "The saved customer."),
        _c("customer_name", "VARCHAR", "Customer's name."),
        _c("customer_number", "VARCHAR", "Customer's telephone number."),
        _c("customer_email", "VARCHAR", "Customer's e-mail address."),
        _c("customer_sip_uri", "VARCHAR", "Customer's SIP URI."),
        _c("customer_external_id", "VARCHAR", "Customer's id in the user's own systems."),
        _c("phone_number_id", "VARCHAR", "The phone number the session runs on."),
        _c("cost_usd", "DOUBLE", "Total cost in USD; null while pending."),
        _c("message_count", "INTEGER!", "Messages of all roles."),
        _c("user_message_count", "INTEGER!", "Messages with role user."),
        _c("assistant_message_count", "INTEGER!", "Messages with role assistant or bot."),
        _c("tool_call_count", "INTEGER!", "Tool calls in all messages."),
        _c("artifact", "JSON", "What was extracted after completion, as received."),
        _c("metadata", "JSON", "The session's metadata, variableValues included."),
        _c("extra", "JSON", "Fields that have no column (embedded configurations stay in raw only)."),
        _c("content_hash", "VARCHAR!", "Hash of the redacted session, policy and redactor version included."),
        _c("first_synced_at", "TIMESTAMPTZ!", "When the session was first read from the source."),
        _c("synced_at", "TIMESTAMPTZ!", "When the state shown here was read from the source."),
        _c("deleted_at", "TIMESTAMPTZ", "When the source was found to have deleted the session."),
        _c("aged_out_at", "TIMESTAMPTZ", "When the source was found to list it no longer, by retention."),
    ),
)

MESSAGES: Final = Table(
    "messages",
    "One row a message, in the order of the conversation.",
    ("session_id", "message_index"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        _c("message_index", "INTEGER!", "Position in the conversation, from 0."),
        _c("role", "VARCHAR", "system, user, assistant, bot, tool, developer, or whatever the source said."),
        _c(
            "content",
            "VARCHAR",
            "The text: content, or message; text parts joined by a newline.",
        ),
        _c("content_json", "JSON", "The original content where it was not a string."),
        _c("name", "VARCHAR", "Name of the participant."),
        _c("tool_call_id", "VARCHAR", "The tool call that this message answers."),
        _c("refusal", "VARCHAR", "The model's refusal."),
        _c("sent_at", "TIMESTAMPTZ", "time (epoch milliseconds at the source)."),
        _c("ended_at", "TIMESTAMPTZ", "endTime."),
        _c("seconds_from_start", "DOUBLE", "Seconds since the conversation began."),
        _c("duration_seconds", "DOUBLE", "duration as received."),
        _c("confidence", "DOUBLE", "How sure the transcriber is of the words, 0 to 1."),
        _c("tool_call_count", "INTEGER!", "Tool calls in this message."),
        _c(
            "first_seen_at",
            "TIMESTAMPTZ!",
            "The session's updatedAt when a message at this position was first observed.",
        ),
        _c("metadata", "JSON", "The message's metadata."),
        _c("extra", "JSON", "Fields that have no column."),
    ),
)

TOOL_CALLS: Final = Table(
    "tool_calls",
    "One row a tool call, with the result that answers it.",
    ("session_id", "message_index", "tool_call_index"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        _c("message_index", "INTEGER!", "The message that makes the call."),
        _c("tool_call_index", "INTEGER!", "Position in that message, from 0."),
        _c("tool_call_id", "VARCHAR", "The call's id."),
        _c("type", "VARCHAR", "function, as a rule."),
        _c("function_name", "VARCHAR", "The function called."),
        _c("arguments", "VARCHAR", "Exactly as received; JSON text if it was not a string."),
        _c("result", "VARCHAR", "Text of the tool message that answers it."),
        _c("result_message_index", "INTEGER", "Position of that message."),
        _c("extra", "JSON", "Fields that have no column."),
    ),
)

COSTS: Final = Table(
    "costs",
    "One row a cost component.",
    ("session_id", "cost_index"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        _c("cost_index", "INTEGER!", "Position in the session's costs, from 0."),
        _c("type", "VARCHAR", "model, analysis, session, or whatever the source said."),
        _c("analysis_type", "VARCHAR", "summary, structuredData, successEvaluation, structuredOutput."),
        _c("model_provider", "VARCHAR", "Provider of the model."),
        _c("model_name", "VARCHAR", "The model."),
        _c("prompt_tokens", "BIGINT", "Tokens read."),
        _c("completion_tokens", "BIGINT", "Tokens written."),
        _c("cached_prompt_tokens", "BIGINT", "Tokens read from the provider's cache."),
        _c("reasoning_tokens", "BIGINT", "Tokens spent on reasoning."),
        _c("billed_seconds", "DOUBLE", "seconds: what is billed by duration."),
        _c(
            "usage_complete",
            "BOOLEAN",
            "usageComplete; false: the cost may understate what the provider charges.",
        ),
        _c("cost_usd", "DOUBLE", "USD; null while pending."),
        _c("extra", "JSON", "Fields that have no column, the rest of the model's configuration included."),
    ),
)

STRUCTURED_OUTPUTS: Final = Table(
    "structured_outputs",
    "One row an extracted output.",
    ("session_id", "structured_output_id"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        _c("structured_output_id", "VARCHAR!", "The output's id at the source."),
        _c("name", "VARCHAR", "Its name, CSAT say."),
        _c("result", "JSON", "The extracted value."),
    ),
)

TABLES: Final[tuple[Table, ...]] = (SESSIONS, MESSAGES, TOOL_CALLS, COSTS, STRUCTURED_OUTPUTS)
CHILDREN: Final[tuple[Table, ...]] = TABLES[1:]

RUNS: Final = Table(
    "runs",
    "One row a run of a command that writes to the warehouse.",
    ("run_id",),
    "started_at",
    (
        _c("run_id", "VARCHAR!", "Start of the run, and a random part."),
        _c("command", "VARCHAR!", "sync, rebuild, …"),
        _c("started_at", "TIMESTAMPTZ!", "Our clock."),
        _c("finished_at", "TIMESTAMPTZ", "Our clock; null while running, or if it was killed."),
        _c("outcome", "VARCHAR!", "running, done, failed, interrupted, killed."),
        _c("error", "VARCHAR", "The message it ended with."),
        _c("org_id", "VARCHAR", "The organisation it saw; null if it saw no row."),
        _c("base_url", "VARCHAR", "The source."),
        _c("bound", "TIMESTAMPTZ", "Changes before this moment are claimed when the run is done."),
        _c("watermark", "TIMESTAMPTZ", "End of the unbroken stretch from the origin, after the run."),
        _c("requests", "BIGINT", "Requests sent, retries included."),
        _c("retries", "BIGINT", "Attempts repeated."),
        _c("throttled", "BIGINT", "Answers 429."),
        _c("bytes_received", "BIGINT", "Bytes of JSON received, decompressed."),
        _c("sessions_read", "BIGINT", "Rows read, overlap included."),
        _c("sessions_new", "BIGINT", "Sessions seen for the first time."),
        _c("sessions_changed", "BIGINT", "Known sessions whose content was new."),
        _c("messages_written", "BIGINT", "Messages of those."),
        _c("sessions_unreadable", "BIGINT", "Sessions that could not be read when it ended."),
        _c("sessions_deleted", "BIGINT", "Sessions newly marked as deleted at the source."),
        _c("sessions_aged_out", "BIGINT", "Sessions newly marked as aged out by retention."),
        _c("sessions_restored", "BIGINT", "Sessions whose mark was lifted: they came back."),
        _c("late_rows", "BIGINT", "Changes that became visible later than the settling delay allows."),
        _c("silent_changes", "BIGINT", "Contents that changed without their updatedAt."),
        _c("drift", "JSON", "What had no column or an unexpected type, with counts."),
        _c("program_version", "VARCHAR!", "Version of vapi-sessions."),
    ),
)

WINDOWS: Final = Table(
    "windows",
    "One row a window and run: the ledger of what was read.",
    ("run_id", "window_index"),
    "lower_bound",
    (
        _c("run_id", "VARCHAR!", "The run."),
        _c("window_index", "INTEGER!", "Position in the run's plan."),
        _c("org_id", "VARCHAR!", "The organisation."),
        _c("lower_bound", "TIMESTAMPTZ!", "updatedAt from, inclusive."),
        _c("upper_bound", "TIMESTAMPTZ", "updatedAt until, exclusive; null: open to the right."),
        _c("claimed", "BOOLEAN!", "Whether [lower_bound, claimed_until) now counts as read."),
        _c("claimed_until", "TIMESTAMPTZ", "End of the claim."),
        _c("expected", "BIGINT!", "The source's count when it was planned."),
        _c("first_total", "BIGINT", "totalItems of the first page."),
        _c("last_total", "BIGINT", "totalItems of the last page."),
        _c("distinct_ids", "BIGINT!", "Sessions read."),
        _c("requests", "BIGINT!", "Pages read."),
        _c(
            "verdict",
            "VARCHAR!",
            "complete, open (stopped in the middle) or superseded (by a later run).",
        ),
        _c("left_to_read", "JSON", "What an open window still lacks."),
        _c("noted_at", "TIMESTAMPTZ!", "When this row was written."),
    ),
)

BATCHES: Final = Table(
    "batches",
    "One row a raw file that has been merged.",
    ("file",),
    "merged_at",
    (
        _c("batch", "BIGINT!", "Its number, from 1, in the order of merging."),
        _c(
            "file",
            "VARCHAR!",
            "Name in raw/; empty for what a warehouse of an earlier form had and raw/ lacks.",
        ),
        _c("run_id", "VARCHAR!", "The run that fetched it."),
        _c("observations", "BIGINT!", "Rows in the file."),
        _c("merged_at", "TIMESTAMPTZ!", "When it was merged."),
        _c("published", "BOOLEAN!", "Whether the published files hold what it changed."),
    ),
)

INTERVALS: Final = Table(
    "intervals",
    "One row an unbroken stretch of updatedAt that has been read completely.",
    ("org_id", "lower_bound"),
    "lower_bound",
    (
        _c("org_id", "VARCHAR!", "The organisation."),
        _c("lower_bound", "TIMESTAMPTZ!", "From, inclusive."),
        _c("upper_bound", "TIMESTAMPTZ!", "Until, exclusive."),
    ),
)

PARTS: Final = Table(
    "parts",
    "One row a range of createdAt and table: what is published as one Parquet file.",
    ("lower_bound", "table_name"),
    "lower_bound",
    (
        _c("lower_bound", "TIMESTAMPTZ!", "createdAt from, inclusive."),
        _c("upper_bound", "TIMESTAMPTZ!", "Until, exclusive; never beyond the month."),
        _c("table_name", "VARCHAR!", "The table."),
        _c("sessions", "BIGINT!", "Sessions in the range when it was published."),
        _c(
            "file",
            "VARCHAR",
            "Name of the published file; null: the table has no row there, or nothing was published yet.",
        ),
        _c("dirty", "BOOLEAN!", "Whether the published file is older than what is committed."),
    ),
)

UNREADABLE: Final = Table(
    "unreadable",
    "One row a session that the source lists and that cannot be read; its JSON is in raw/.",
    ("session_id",),
    "created_at",
    (
        _c("session_id", "VARCHAR!", "Its id; unreadable-… where it has none."),
        _c("created_at", "TIMESTAMPTZ", "Its createdAt, if it has one."),
        _c("updated_at", "TIMESTAMPTZ", "Its updatedAt, if it has one."),
        _c("problem", "VARCHAR!", "What is wrong: updatedAt is missing, say."),
        _c("requested_at", "TIMESTAMPTZ!", "When it was first read so."),
        _c("seq", "BIGINT!", "Order of that request."),
        _c("content_hash", "VARCHAR!", "Hash of its redacted JSON."),
    ),
)

STATE: Final = Table(
    "state",
    "One row a fact about the warehouse as a whole.",
    ("key",),
    "key",
    (
        _c(
            "key",
            "VARCHAR!",
            "schema_version, org_id, origin, origin_reason, unsettled, next_seq, snapshot, …",
        ),
        _c("value", "VARCHAR!", "Its value as text; moments in microseconds since the epoch."),
    ),
)

#: The writer's index: which version of each session is the newest, and what tells which tables a change of it touches.
INDEX: Final = Table(
    "sessions",
    "One row a session.",
    ("session_id",),
    "created_at",
    (
        _c("session_id", "VARCHAR!", "The source's id."),
        _c("created_at", "TIMESTAMPTZ!", "When the session began; never changes."),
        _c("updated_at", "TIMESTAMPTZ!", "Of the newest version."),
        _c("seq", "BIGINT!", "Order of the request that read that version."),
        _c("batch", "BIGINT!", "The batch, and so the raw file, that has it."),
        _c("message_count", "INTEGER!", "Messages of all roles."),
        _c("content_hash", "UBIGINT!", "The first half of sessions.content_hash."),
        _c("messages_hash", "UBIGINT!", "Hash of the messages' JSON."),
        _c("costs_hash", "UBIGINT!", "Hash of the costs' JSON."),
        _c("outputs_hash", "UBIGINT!", "Hash of the artifact's JSON."),
        _c("first_synced_at", "TIMESTAMPTZ!", "When the session was first read from the source."),
        _c(
            "growth",
            "VARCHAR",
            "JSON [[updated_at µs, message_count], …]: when the conversation grew; null: once.",
        ),
        _c("mark_seq", "BIGINT", "Order of the check behind deleted_at or aged_out_at."),
        _c("deleted_at", "TIMESTAMPTZ", "When the source was found to have deleted the session."),
        _c("aged_out_at", "TIMESTAMPTZ", "When the source was found to list it no longer, by retention."),
    ),
)

#: The machinery's own tables, in schema `sync`.
SYNC_TABLES: Final[tuple[Table, ...]] = (RUNS, WINDOWS, BATCHES, INTERVALS, PARTS, UNREADABLE, STATE)

#: raw/: what was observed, append-only. `kind` is 'seen', 'deleted', 'aged_out' or 'unreadable'; `body` is redacted JSON, null for
#: marks. Ids and times are null only where an unreadable session has none.
RAW: Final = pa.schema(
    [
        pa.field("session_id", pa.string()),
        pa.field("org_id", pa.string()),
        pa.field("created_at", pa.timestamp("us", "UTC")),
        pa.field("updated_at", pa.timestamp("us", "UTC")),
        pa.field("requested_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("body", pa.string()),
    ]
)


def as_markdown() -> str:
    """The published tables as Markdown; the README holds this text."""
    parts: list[str] = []
    for table in TABLES:
        parts += [f"### {table.name}", "", f"{table.description} Unique: `({', '.join(table.key)})`.", ""]
        parts += ["| column | type | meaning |", "|---|---|---|"]
        parts += [
            f"| `{column.name}` | {column.type}{'' if column.required else ', nullable'} | {column.description} |"
            for column in table.columns
        ]
        parts.append("")
    return "\n".join(parts)
