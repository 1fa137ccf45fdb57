"""One session over time: which version of it the warehouse holds, and when its messages were first seen."""

from __future__ import annotations

from typing import Any

from sync_sessions import spread

from worlds import World


def _talk(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


def test_a_shorter_version_replaces_all_child_rows(world: World) -> None:
    """No message, tool call or cost of a longer conversation is left after a shorter one replaced it."""
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    long = [
        *_talk("Hello", "Are you there?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ]
    costs = [{"type": "session", "cost": 0.01}, {"type": "model", "model": {}, "cost": 0.02}]
    (session_id,) = world.insert(1, lambda n: (world.ago(days=1),) * 2, messages=long, costs=costs)
    world.sync()
    assert world.rows("SELECT count(*) FROM messages") == [(4,)]
    assert world.rows("SELECT result FROM tool_calls") == [("found",)]
    assert world.rows("SELECT count(*) FROM costs") == [(2,)]
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(messages=_talk("Hello"), costs=costs[:1])
    )
    world.clock.forward(minutes=1)
    world.sync()
    assert world.rows("SELECT message_index, content FROM messages") == [(0, "Hello")]
    assert world.rows("SELECT count(*) FROM tool_calls") == [(0,)]
    assert world.rows("SELECT cost_index, type FROM costs") == [(0, "session")]


def test_messages_keep_the_time_at_which_they_were_first_seen(world: World) -> None:
    """An appended message gets the session's new `updatedAt`; earlier messages keep theirs."""
    start = world.ago(days=1)
    (session_id,) = world.insert(1, lambda n: (start, start), messages=_talk("a", "b"))
    world.sync()
    world.clock.forward(hours=1)
    resumed = world.clock.us()
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(messages=_talk("a", "b", "c"))
    )
    world.clock.forward(hours=1)
    world.sync()
    seen = world.rows("SELECT epoch_ms(first_seen_at) FROM messages ORDER BY message_index")
    assert seen == [(start // 1000,), (start // 1000,), (resumed // 1000,)]


def test_first_synced_at_stays_when_a_session_changes(world: World) -> None:
    """`synced_at` moves on."""
    (session_id,) = world.insert(1, lambda n: (world.ago(days=1),) * 2)
    first = world.clock.us()
    world.sync()
    world.clock.forward(hours=2)
    world.server.store.update(world.server.org_id, session_id, lambda s: s.update(name="Changed"))
    world.clock.forward(hours=1)
    second = world.clock.us()
    world.sync()
    assert world.rows("SELECT epoch_us(first_synced_at), epoch_us(synced_at) FROM sessions") == [
        (first, second)
    ]


def test_a_stale_answer_never_overwrites_a_newer_state(world: World) -> None:
    """A replica that lags shows an older state in a later request: the newer one stays."""
    start = world.ago(days=1)
    (session_id,) = world.insert(1, lambda n: (start, start), name="old", messages=_talk("a", "b"))
    (old,) = world.server.store.sessions(world.server.org_id)
    world.sync()
    world.clock.forward(hours=1)
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(name="new", messages=_talk("a", "b", "c"))
    )
    world.clock.forward(minutes=1)
    world.sync()
    rows = world.tables()
    world.server.store.delete(world.server.org_id, session_id)
    world.server.store.add(old, created_us=start, updated_us=start)
    world.clock.forward(minutes=1)
    summary = world.sync(full=True)
    assert summary.counts.sessions_read == 1
    assert world.tables() == rows
    assert world.rows("SELECT name, message_count FROM sessions") == [("new", 3)]


def test_an_older_state_that_arrives_later_dates_messages_back(world: World) -> None:
    """The newest state stays, and messages that the older one shows too get its earlier time."""
    start = world.ago(days=1)
    (session_id,) = world.insert(1, lambda n: (start, start), messages=_talk("a", "b"))
    (old,) = world.server.store.sessions(world.server.org_id)
    world.clock.forward(hours=1)
    later = world.clock.us()
    world.server.store.update(
        world.server.org_id, session_id, lambda s: s.update(messages=_talk("a", "b", "c"))
    )
    world.clock.forward(minutes=1)
    world.sync()
    world.server.store.delete(world.server.org_id, session_id)
    world.server.store.add(old, created_us=start, updated_us=start)
    world.sync(full=True)
    seen = world.rows("SELECT epoch_ms(first_seen_at) FROM messages ORDER BY message_index")
    assert seen == [(start // 1000,), (start // 1000,), (later // 1000,)]


def test_a_silent_change_is_stored_and_counted_by_a_full_sync(world: World) -> None:
    """A cost that is filled in without moving `updatedAt`."""
    ids = spread(world, 5)
    world.sync()
    world.server.store.update(world.server.org_id, ids[2], lambda s: s.update(cost=9.5), touch=False)
    world.clock.forward(hours=1)
    assert world.sync().counts.silent_changes == 0
    summary = world.sync(full=True)
    assert (summary.counts.sessions_changed, summary.counts.silent_changes) == (1, 1)
    assert world.rows(f"SELECT cost_usd FROM sessions WHERE session_id = '{ids[2]}'") == [(9.5,)]
