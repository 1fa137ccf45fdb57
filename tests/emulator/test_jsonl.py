"""Loading sessions and conversations from a JSON Lines file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from vapi_emulator import EmulatorError
from vapi_emulator.jsonl import load
from vapi_emulator.store import Store

from .conftest import Client, FakeClock

ORG = "0e111a70-0000-4000-8000-00000000000a"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "sessions.sqlite", clock=FakeClock())
    yield store
    store.close()


def write(folder: Path, *lines: object) -> Path:
    path = folder / "in.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_conversations_become_sessions_in_the_order_of_the_file(store: Store, tmp_path: Path) -> None:
    """Messages are unchanged, other fields are in `metadata`, the last session ends now; blank lines are skipped."""
    talks = [{"messages": [{"role": "user", "content": f"{n}"}], "task_id": n} for n in range(3)]
    assert load(store, write(tmp_path, talks[0], "", talks[1], talks[2]), ORG) == 3
    stored = store.sessions(ORG)
    assert [session["messages"] for session in stored] == [talk["messages"] for talk in talks]
    assert [session["metadata"] for session in stored] == [{"task_id": n} for n in range(3)]
    assert stored[-1]["updatedAt"] < "2026-03-04T15:30:00.123Z"


def test_whole_sessions_keep_their_id_and_times(store: Store, tmp_path: Path) -> None:
    """Only the organisation is replaced."""
    session = {
        "id": "00000000-0000-4000-8000-000000000001",
        "orgId": "somebody-else",
        "createdAt": "2026-01-02T03:04:05.678Z",
        "updatedAt": "2026-01-03T03:04:05.678Z",
        "unknown": {"a": None},
    }
    load(store, write(tmp_path, session), ORG)
    assert store.sessions(ORG) == [session | {"orgId": ORG}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"a": 1}', "no messages"),
        ('{"messages": [1]}', "not an array of objects"),
        ('{"id": "x", "createdAt": "yesterday"}', "yesterday"),
        ('{"id": "x", "createdAt": 5}', "str"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_stored(
    store: Store, tmp_path: Path, line: str, reason: str
) -> None:
    """The error names the file, the line and the reason."""
    with pytest.raises(EmulatorError, match=rf"Line 2 of .*in\.jsonl.*{reason}"):
        load(store, write(tmp_path, {"messages": []}, line), ORG)
    assert store.count() == 0


def test_a_repeated_id_is_a_bad_line(store: Store, tmp_path: Path) -> None:
    """Whether the id is in the file twice, or already in the store."""
    session = {"id": "00000000-0000-4000-8000-000000000001", "createdAt": "2026-01-02"}
    with pytest.raises(EmulatorError, match="Line 2"):
        load(store, write(tmp_path, session, session), ORG)
    load(store, write(tmp_path, session), ORG)
    with pytest.raises(EmulatorError, match="Line 1"):
        load(store, write(tmp_path, session), ORG)


def test_a_missing_file_is_named(store: Store, tmp_path: Path) -> None:
    """The error includes the reason given by the system."""
    with pytest.raises(EmulatorError, match=r"Cannot read .*nowhere\.jsonl: No such file"):
        load(store, tmp_path / "nowhere.jsonl", ORG)


def test_real_conversations_load(store: Store, shared: Path) -> None:
    """Every message of every conversation in the corpus is stored unchanged."""
    path = shared / "corpus" / "airline-agent-conversations.jsonl"
    load(store, path, ORG)
    wanted = [json.loads(line)["messages"] for line in path.read_text().splitlines()]
    assert [session["messages"] for session in store.sessions(ORG)] == wanted


def test_real_conversations_pass_through_http(client: Client, shared: Path) -> None:
    """Conversations posted one by one are unchanged in the list."""
    path = shared / "corpus" / "airline-agent-conversations.jsonl"
    wanted = [json.loads(line)["messages"] for line in path.read_text().splitlines()]
    posted = {}
    for messages in wanted:
        response = client.post("/session", json={"messages": messages})
        assert response.status_code == 201
        posted[response.json()["id"]] = messages
    rows = client.get("/session?limit=1000").json()["results"]
    assert {row["id"]: row["messages"] for row in rows} == posted
