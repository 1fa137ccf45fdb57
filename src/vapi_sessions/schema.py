"""The columns of the published tables and of `raw/`, each declared once: name, type, nullability, meaning.

Arrow schemas, DDL, the published views and the documentation derive from `TABLES`. Types are DuckDB's. `JSON` columns are
stored as text, because Parquet's JSON type makes other readers see bytes; the published views cast them.
`warehouse/index_schema.py` declares the tables of `index.duckdb`, the ledger among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

SqlType = Literal["VARCHAR", "BIGINT", "UBIGINT", "INTEGER", "DOUBLE", "TIMESTAMPTZ", "BOOLEAN", "JSON"]

#: Increase it when a change of the columns or of their derivation needs all rows derived again. The next run then does that.
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
    """One table. `key`: the columns that are unique together; `created_at`: the column by which the table is cut into parts."""

    name: str
    description: str
    key: tuple[str, ...]
    created_at: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """Arrow schema of all columns."""
        return pa.schema([column.arrow for column in self.columns])

    @property
    def parquet(self) -> pa.Schema:
        """The same for the published files, whose fields have their descriptions as metadata."""
        return pa.schema([c.arrow.with_metadata({"description": c.description}) for c in self.columns])

    def describe(self, name: str) -> str | None:
        """The description of a column, if there is one of this name."""
        return next((column.description for column in self.columns if column.name == name), None)

    def ddl(self, schema: str = "main") -> str:
        """`CREATE TABLE` without a key or a DuckDB index: these make upserts slow, and have open reports of corruption."""
        lines = (
            f"    {column.name} {column.storage_type}{' NOT NULL' if column.required else ''}"
            for column in self.columns
        )
        return f"CREATE TABLE IF NOT EXISTS {schema}.{self.name} (\n" + ",\n".join(lines) + "\n)"


def column(name: str, type_: str, description: str) -> Column:
    """A column. A type that ends in `!` means: required."""
    required = type_.endswith("!")
    return Column(name, type_.rstrip("!"), description, required)  # type: ignore[arg-type]  # all calls pass literals


_SESSION_ID = column("session_id", "VARCHAR!", "The session's id at the source.")
_SESSION_CREATED = column("session_created_at", "TIMESTAMPTZ!", "The session's createdAt; never changes.")

SESSIONS: Final = Table(
    "sessions",
    "One row per session, in its newest known state.",
    ("session_id",),
    "created_at",
    (
        _SESSION_ID,
        column("org_id", "VARCHAR!", "The organisation that owns the session."),
        column("name", "VARCHAR", "User-defined name."),
        column("status", "VARCHAR", "active or completed."),
        column("created_at", "TIMESTAMPTZ!", "When the session began; never changes."),
        column("updated_at", "TIMESTAMPTZ!", "When the source last changed the session."),
        column("expiration_seconds", "BIGINT", "Lifetime in seconds, as configured."),
        column("expires_at", "TIMESTAMPTZ", "created_at + expiration_seconds: the earliest time of expiry."),
        column("assistant_id", "VARCHAR", "The saved assistant."),
        column("assistant_name", "VARCHAR", "Name in the embedded assistant, or in its overrides."),
        column("squad_id", "VARCHAR", "The saved squad."),
        column("squad_name", "VARCHAR", "Name in the embedded squad."),
        column(
            "model_provider",
            "VARCHAR",
            "Provider of the embedded assistant's model, or of the first model cost.",
        ),
        column("model_name", "VARCHAR", "Model of the embedded assistant, or of the first model cost."),
        column("customer_id", "VARCHAR", "The saved customer."),
        column("customer_name", "VARCHAR", "Customer's name."),
        column("customer_number", "VARCHAR", "Customer's telephone number."),
        column("customer_email", "VARCHAR", "Customer's e-mail address."),
        column("customer_sip_uri", "VARCHAR", "Customer's SIP URI."),
        column("customer_external_id", "VARCHAR", "Customer's id in the user's own systems."),
        column("phone_number_id", "VARCHAR", "The phone number the session runs on."),
        column("cost_usd", "DOUBLE", "Total cost in USD; null while pending."),
        column("message_count", "INTEGER!", "Messages of all roles."),
        column("user_message_count", "INTEGER!", "Messages with role user."),
        column("assistant_message_count", "INTEGER!", "Messages with role assistant or bot."),
        column("tool_call_count", "INTEGER!", "Tool calls in all messages."),
        column("artifact", "JSON", "Results extracted after completion, as received."),
        column("metadata", "JSON", "The session's metadata, variableValues included."),
        column("extra", "JSON", "Fields that have no column (embedded configurations stay in raw only)."),
        column(
            "content_hash", "VARCHAR!", "Hash of the redacted session, the policy and the redactor version."
        ),
        column("first_synced_at", "TIMESTAMPTZ!", "When the session was first read from the source."),
        column("synced_at", "TIMESTAMPTZ!", "When this state was read from the source."),
        column("deleted_at", "TIMESTAMPTZ", "When it was confirmed that the source had deleted the session."),
        column(
            "aged_out_at",
            "TIMESTAMPTZ",
            "When it was found that the source no longer lists the session, by retention.",
        ),
    ),
)

MESSAGES: Final = Table(
    "messages",
    "One row per message of a conversation.",
    ("session_id", "message_index"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        column("message_index", "INTEGER!", "Position in the conversation, from 0."),
        column(
            "role",
            "VARCHAR",
            "system, user, assistant, bot, tool, developer, or any other value of the source.",
        ),
        column(
            "content",
            "VARCHAR",
            "The text: content, or message; text parts joined by a newline.",
        ),
        column("content_json", "JSON", "The original content if it was not a string."),
        column("name", "VARCHAR", "Name of the participant."),
        column("tool_call_id", "VARCHAR", "The tool call that this message answers."),
        column("refusal", "VARCHAR", "The model's refusal."),
        column("sent_at", "TIMESTAMPTZ", "The source's time (epoch milliseconds there)."),
        column("ended_at", "TIMESTAMPTZ", "The source's endTime."),
        column("seconds_from_start", "DOUBLE", "Seconds since the conversation began."),
        column("duration_seconds", "DOUBLE", "The source's duration, as received."),
        column("confidence", "DOUBLE", "The transcriber's confidence in the words, 0 to 1."),
        column("tool_call_count", "INTEGER!", "Tool calls in this message."),
        column(
            "first_seen_at",
            "TIMESTAMPTZ!",
            "The session's updatedAt when a message at this position was first seen.",
        ),
        column("metadata", "JSON", "The message's metadata."),
        column("extra", "JSON", "Fields that have no column."),
    ),
)

TOOL_CALLS: Final = Table(
    "tool_calls",
    "One row per tool call, with the result that answers it.",
    ("session_id", "message_index", "tool_call_index"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        column("message_index", "INTEGER!", "The message that makes the call."),
        column("tool_call_index", "INTEGER!", "Position in that message, from 0."),
        column("tool_call_id", "VARCHAR", "The call's id."),
        column("type", "VARCHAR", "Usually function."),
        column("function_name", "VARCHAR", "The function called."),
        column("arguments", "VARCHAR", "Exactly as received; JSON text if it was not a string."),
        column("result", "VARCHAR", "Text of the tool message that answers it."),
        column("result_message_index", "INTEGER", "Position of that tool message."),
        column("extra", "JSON", "Fields that have no column."),
    ),
)

COSTS: Final = Table(
    "costs",
    "One row per cost component.",
    ("session_id", "cost_index"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        column("cost_index", "INTEGER!", "Position in the session's costs, from 0."),
        column("type", "VARCHAR", "model, analysis, session, or any other value of the source."),
        column("analysis_type", "VARCHAR", "summary, structuredData, successEvaluation or structuredOutput."),
        column("model_provider", "VARCHAR", "Provider of the model."),
        column("model_name", "VARCHAR", "The model."),
        column("prompt_tokens", "BIGINT", "Tokens read."),
        column("completion_tokens", "BIGINT", "Tokens written."),
        column("cached_prompt_tokens", "BIGINT", "Tokens read from the provider's cache."),
        column("reasoning_tokens", "BIGINT", "Tokens spent on reasoning."),
        column("billed_seconds", "DOUBLE", "Seconds that are billed by duration."),
        column(
            "usage_complete",
            "BOOLEAN",
            "The source's usageComplete. If false, the provider may charge more than this cost.",
        ),
        column("cost_usd", "DOUBLE", "Cost in USD; null while pending."),
        column(
            "extra", "JSON", "Fields that have no column, the rest of the model's configuration included."
        ),
    ),
)

STRUCTURED_OUTPUTS: Final = Table(
    "structured_outputs",
    "One row per extracted output.",
    ("session_id", "structured_output_id"),
    "session_created_at",
    (
        _SESSION_ID,
        _SESSION_CREATED,
        column("structured_output_id", "VARCHAR!", "The output's id at the source."),
        column("name", "VARCHAR", "The output's name, for example CSAT."),
        column("result", "JSON", "The extracted value."),
    ),
)

TABLES: Final[tuple[Table, ...]] = (SESSIONS, MESSAGES, TOOL_CALLS, COSTS, STRUCTURED_OUTPUTS)
CHILDREN: Final[tuple[Table, ...]] = TABLES[1:]
TABLE_NAMES: Final = frozenset(table.name for table in TABLES)

#: The observations in `raw/`. `kind` is 'seen', 'deleted', 'aged_out' or 'unreadable'. `body` is redacted JSON, null for tombstones.
#: Ids and times are null only for an unreadable session that has none.
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
    """The published tables as Markdown, for the documentation."""
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
