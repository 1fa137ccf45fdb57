"""Real conversations with tool calls, posted to the API and read back with SQL, are unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import vapi_sessions
from beside import CORPUS, needs_corpus
from vapi_emulator.server import EmulatorServer
from vapi_sessions.operations import sync
from worlds import settings_for

if TYPE_CHECKING:
    import duckdb

pytestmark = needs_corpus

Message = dict[str, Any]


@pytest.fixture(scope="module")
def conversations() -> list[list[Message]]:
    """The conversations in the file."""
    with CORPUS.open(encoding="utf-8") as lines:
        return [json.loads(line)["messages"] for line in lines]


@pytest.fixture(scope="module")
def posted(
    conversations: list[list[Message]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[str], duckdb.DuckDBPyConnection]]:
    """The ids of the sessions, in the order of the file, and the synced warehouse."""
    warehouse = tmp_path_factory.mktemp("corpus") / "warehouse"
    with EmulatorServer() as server:
        headers = {"Authorization": f"Bearer {server.key}", "User-Agent": "tests"}
        with httpx.Client(base_url=server.url, headers=headers) as client:
            ids = [
                client.post("/session", json={"messages": messages}).raise_for_status().json()["id"]
                for messages in conversations
            ]
        sync.sync(settings_for(server, warehouse, page_size=50))
    with vapi_sessions.connect(warehouse) as db:
        yield ids, db


def _messages(db: duckdb.DuckDBPyConnection) -> dict[tuple[str, int], Message]:
    """Each message in the API's format, made of columns only, by session and position."""
    messages: dict[tuple[str, int], Message] = {}
    cursor = db.execute(
        "SELECT session_id, message_index, role, content, tool_call_id, name, content_json, refusal, extra FROM messages"
    )
    for session_id, index, role, content, call_id, name, *others in cursor.fetchall():
        assert others == [None, None, None]
        answer = {"tool_call_id": call_id, "name": name} if role == "tool" else {}
        messages[session_id, index] = {"role": role, "content": content, **answer}
    cursor = db.execute(
        "SELECT session_id, message_index, tool_call_id, type, function_name, arguments FROM tool_calls "
        "ORDER BY session_id, message_index, tool_call_index"
    )
    for session_id, index, call_id, kind, function, arguments in cursor.fetchall():
        call = {"id": call_id, "type": kind, "function": {"name": function, "arguments": arguments}}
        messages[session_id, index].setdefault("tool_calls", []).append(call)
    return messages


def test_every_message_is_restored_exactly(
    posted: tuple[list[str], duckdb.DuckDBPyConnection], conversations: list[list[Message]]
) -> None:
    """Conversations made of the rows equal those in the file: every text, role and tool call with its arguments."""
    ids, db = posted
    messages = _messages(db)
    assert len(conversations) == 200
    assert len(messages) == sum(map(len, conversations))
    for session_id, conversation in zip(ids, conversations, strict=True):
        assert [messages[session_id, n] for n in range(len(conversation))] == conversation


def test_every_tool_call_has_its_result(
    posted: tuple[list[str], duckdb.DuckDBPyConnection], conversations: list[list[Message]]
) -> None:
    """Each call has the text of the message that answers it, although models reuse ids of calls."""
    ids, db = posted
    expected = [
        (session_id, n, call["id"], answer["content"], n + 1)
        for session_id, conversation in zip(ids, conversations, strict=True)
        for n, message in enumerate(conversation)
        for call, answer in zip(message.get("tool_calls", ()), conversation[n + 1 :], strict=False)
    ]
    assert all(conversations[ids.index(row[0])][row[4]]["tool_call_id"] == row[2] for row in expected)
    assert len({(row[0], row[2]) for row in expected}) < len(expected)
    found = db.execute(
        "SELECT session_id, message_index, tool_call_id, result, result_message_index FROM tool_calls"
    ).fetchall()
    assert sorted(found) == sorted(expected)


def test_raw_has_the_complete_conversations(
    posted: tuple[list[str], duckdb.DuckDBPyConnection], conversations: list[list[Message]]
) -> None:
    """Redaction removes nothing from them."""
    ids, db = posted
    ((published,),) = db.execute(
        "SELECT path FROM duckdb_databases() WHERE database_name = 'vapi'"
    ).fetchall()
    root = Path(published).parent
    stored = db.execute(f"SELECT session_id, body FROM read_parquet('{root}/raw/*.parquet')").fetchall()
    assert len(stored) == 200
    bodies = {session_id: json.loads(body) for session_id, body in stored}
    assert [bodies[session_id]["messages"] for session_id in ids] == conversations


def test_the_counts_of_each_session_agree(
    posted: tuple[list[str], duckdb.DuckDBPyConnection], conversations: list[list[Message]]
) -> None:
    """The numbers of messages by role and of tool calls equal those in the file."""
    ids, db = posted
    expected = {
        session_id: (
            len(conversation),
            sum(message["role"] == "user" for message in conversation),
            sum(message["role"] == "assistant" for message in conversation),
            sum(len(message.get("tool_calls", ())) for message in conversation),
        )
        for session_id, conversation in zip(ids, conversations, strict=True)
    }
    found = db.execute(
        "SELECT session_id, message_count, user_message_count, assistant_message_count, tool_call_count FROM sessions"
    ).fetchall()
    assert {row[0]: row[1:] for row in found} == expected
