"""The most expensive sessions of the period, with their transcripts: bounded in number and length.

Texts are what the warehouse holds, so they are masked or missing as the policy of personal data says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from vapi_sessions.report.period import Period, Reader, Row

MOST_SESSIONS: Final = 20
#: Messages of a session from its beginning, and from its end.
FIRST_MESSAGES: Final = 60
LAST_MESSAGES: Final = 20
#: Characters of one text, and of all texts of a session.
MOST_CHARACTERS: Final = 1_500
MOST_OF_A_SESSION: Final = 36_000
MOST_CALLS: Final = 10
MOST_COMPONENTS: Final = 12


@dataclass
class Text:
    """A text as far as it is shown; `left_out` characters follow it."""

    shown: str
    left_out: int = 0


@dataclass
class Call:
    """A tool call, with its result if there is one."""

    name: str
    arguments: Text
    result: Text | None
    outcome: str


@dataclass
class Message:
    """One message. `speaker` is customer, assistant, tool, system or another role; `at_least` says that it was sent earlier."""

    index: int
    speaker: str
    name: str
    text: Text
    at: datetime | None
    exact: bool
    calls: list[Call] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """How it is shown: customer, assistant, system, or other."""
        return self.speaker if self.speaker in ("customer", "assistant", "system") else "other"


@dataclass
class Transcript:
    """A session with its cost components, structured outputs and messages; `left_out` messages are missing in the middle.

    `understated`: it may cost more, because the source says that its usage is incomplete.
    """

    facts: Row
    components: list[Row]
    outputs: list[Row]
    messages: list[Message]
    left_out: int
    understated: bool

    @property
    def has_times(self) -> bool:
        """Whether some messages have a time of their own. Then the others are shown without one."""
        return any(message.exact for message in self.messages)

    @property
    def after_gap(self) -> int | None:
        """The index of the first message after those that are left out."""
        return (
            self.messages[FIRST_MESSAGES].index
            if self.left_out and len(self.messages) > FIRST_MESSAGES
            else None
        )


def most_expensive(reader: Reader, period: Period) -> list[Transcript]:
    """The sessions of the period with the highest cost, the highest first."""
    facts = reader.rows(
        f"""SELECT f.*, s.customer_name, COALESCE(s.customer_number, s.customer_email, s.customer_external_id) AS customer
        FROM (FROM session_facts WHERE created_at >= $since AND cost_usd IS NOT NULL
            ORDER BY cost_usd DESC, created_at, session_id LIMIT {MOST_SESSIONS}) AS f
        JOIN sessions AS s USING (session_id, created_at)
        ORDER BY f.cost_usd DESC, f.created_at, f.session_id""",
        since=period.since,
    )
    if not facts:
        return []
    # With the times of creation, only some of the files are read.
    chosen: dict[str, Any] = {
        **{f"id_{number}": row["session_id"] for number, row in enumerate(facts)},
        "first": min(row["created_at"] for row in facts),
        "last": max(row["created_at"] for row in facts),
    }
    ids = ", ".join(f"$id_{number}" for number in range(len(facts)))
    where = f"session_id IN ({ids}) AND session_created_at BETWEEN $first AND $last"
    components = _by_session(
        reader.rows(
            f"""SELECT session_id, type, analysis_type, model_name, prompt_tokens, completion_tokens, cost_usd,
                NOT COALESCE(usage_complete, true) AS understated
            FROM costs WHERE {where} ORDER BY session_id, cost_usd DESC NULLS LAST, cost_index""",
            **chosen,
        )
    )
    outputs = _by_session(
        reader.rows(
            f"""SELECT session_id, left(COALESCE(name, structured_output_id), 100) AS name, left(result::VARCHAR, 300) AS value
            FROM structured_outputs WHERE {where} ORDER BY ALL""",
            **chosen,
        )
    )
    calls = _by_session(_calls(reader, where, chosen))
    messages = _by_session(_messages(reader, where, chosen))
    return [
        _transcript(
            row, components.get(key, []), outputs.get(key, []), messages.get(key, []), calls.get(key, [])
        )
        for row in facts
        if (key := row["session_id"])
    ]


def _calls(reader: Reader, where: str, chosen: dict[str, Any]) -> list[Row]:
    return reader.rows(
        f"""SELECT session_id, message_index, COALESCE(function_name, '(unnamed)') AS name, outcome,
            left(arguments, {MOST_CHARACTERS}) AS arguments, COALESCE(length(arguments), 0) AS arguments_length,
            left(result, {MOST_CHARACTERS}) AS result, COALESCE(length(result), 0) AS result_length
        FROM tool_calls_with_results WHERE {where} AND tool_call_index < {MOST_CALLS}
        ORDER BY session_id, message_index, tool_call_index""",
        **chosen,
    )


def _messages(reader: Reader, where: str, chosen: dict[str, Any]) -> list[Row]:
    """The first and last messages of each session. Results of tools are shown with their calls instead."""
    return reader.rows(
        f"""WITH spoken AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY session_id ORDER BY message_index) AS position,
                count(*) OVER (PARTITION BY session_id) AS in_all
            FROM transcript WHERE {where} AND NOT (speaker = 'tool' AND len(answers_tools) > 0)
        )
        SELECT session_id, message_index, speaker, speaker_name, left(text, {MOST_CHARACTERS}) AS text,
            COALESCE(length(text), 0) AS text_length, message_at, message_at_source = 'sent_at' AS exact, in_all
        FROM spoken WHERE position <= {FIRST_MESSAGES} OR position > in_all - {LAST_MESSAGES}
        ORDER BY session_id, message_index""",
        **chosen,
    )


def _by_session(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["session_id"], []).append(row)
    return found


def _transcript(
    facts: Row, components: list[Row], outputs: list[Row], messages: list[Row], calls: list[Row]
) -> Transcript:
    left = MOST_OF_A_SESSION
    by_message: dict[int, list[Row]] = {}
    for call in calls:
        by_message.setdefault(call["message_index"], []).append(call)

    def text(shown: str | None, length: int) -> Text:
        nonlocal left
        kept = (shown or "")[: max(left, 0)]
        left -= len(kept)
        return Text(kept, length - len(kept))

    found = []
    for row in messages:
        message = Message(
            row["message_index"],
            row["speaker"] or "unknown",
            (row["speaker_name"] or "")[:100],
            text(row["text"], row["text_length"]),
            row["message_at"],
            row["exact"],
        )
        for call in by_message.get(row["message_index"], []):
            arguments = text(call["arguments"], call["arguments_length"])
            answered = call["outcome"] != "unanswered"
            result = text(call["result"], call["result_length"]) if answered else None
            message.calls.append(Call(call["name"][:100], arguments, result, call["outcome"]))
        found.append(message)
    in_all = messages[0]["in_all"] if messages else 0
    return Transcript(
        facts,
        components[:MOST_COMPONENTS],
        outputs[:MOST_COMPONENTS],
        found,
        in_all - len(found),
        any(row["understated"] for row in components),
    )
