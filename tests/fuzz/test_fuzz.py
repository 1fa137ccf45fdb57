"""Hostile or broken data from the source: no failure, no session lost, no secret stored."""

from __future__ import annotations

import io
import json

import pytest

from vapi_emulator.stored import make_row
from vapi_sessions.core import json_text
from vapi_sessions.core.timestamps import MILLISECOND, SECOND, show
from vapi_sessions.warehouse import query
from worlds import World

from .run import fuzz


@pytest.mark.proof
def test_mutated_pages_do_no_harm() -> None:
    """A few seeds; `make soak` plays seeds for a minute."""
    worlds, sessions = fuzz(range(12))
    assert worlds == 12
    assert sessions > 10 * worlds


#: Members of a session that is otherwise ordinary.
BOMBS = {
    "deep": '"metadata":' + '{"a":' * 1_500 + "1" + "}" * 1_500,
    "deeper": '"metadata":' + "[" * 100_000 + "]" * 100_000,
    "a large number": '"cost":' + "9" * 10_000 + ',"metadata":{"n":' + "9" * 10_000 + "}",
    "a large exponent": '"cost":1e99999,"metadata":{"n":-1e99999},"expirationSeconds":1e300',
    "names twice": '"name":"a","name":"b","messages":[],"messages":[{"role":"user","content":"x","content":"y"}]',
    "NUL": r'"name":"a\u0000b","messages":[{"role":"us\u0000er","content":"x\u0000y"}],"metadata":{"k\u0000":1}',
    "half a character": r'"name":"\ud800","messages":[{"role":"user","content":"\udfff"}]',
    "a large text": '"messages":[{"role":"user","content":"' + "y" * 5_000_000 + '"}]',
    "a path": '"name":"../../../etc/passwd","artifact":{"structuredOutputs":{"../../y":{"name":"/","result":1}}}',
    "a time": '"messages":[{"role":"user","message":"x","time":1e308,"endTime":-1e308,"secondsFromStart":1e400}]',
}


def _everything_arrives(world: World, *bombs: str) -> None:
    """Each session with a bomb has a row, so have ordinary ones, raw/ holds the decoded body, and a rebuild gives the same."""
    at = world.ago(hours=2)
    world.insert(2, lambda n: (at + n * SECOND,) * 2)
    bodies = []
    for number, bomb in enumerate(bombs):
        moment = at + number * MILLISECOND
        ours = {"id": f"00000000-0000-4000-8000-{0xB0B0 + number:012x}", "orgId": world.server.org_id}
        fixed = json.dumps({**ours, "createdAt": show(moment), "updatedAt": show(moment)})
        bodies.append(f"{fixed[:-1]},{BOMBS[bomb]}}}")
        world.server.store.insert_many([make_row(ours, moment, moment)._replace(body=bodies[-1].encode())])
    world.sync(page_size=1)
    assert len(world.here()) == len(bombs) + 2
    raw = world.rows(f"SELECT body FROM read_parquet('{world.warehouse}/raw/*.parquet')")
    assert {(json_text.normalised(body.encode())[0].decode(),) for body in bodies} <= set(raw)
    for output in ("csv", "json"):
        query.run(world.warehouse, "SELECT * FROM sessions", output, io.StringIO())
        query.run(world.warehouse, "SELECT * FROM messages", output, io.StringIO())
    rows = world.tables()
    world.rebuild()
    assert world.tables() == rows
    assert not (world.warehouse.parent / "etc").exists()


@pytest.mark.proof
def test_bombs_in_one_batch_keep_no_session_from_being_stored(world: World) -> None:
    """One bomb on each page."""
    _everything_arrives(world, *BOMBS)


@pytest.mark.proof
@pytest.mark.parametrize("bomb", BOMBS)
def test_one_bomb_keeps_no_session_from_being_stored(world: World, bomb: str) -> None:
    """Each bomb alone."""
    _everything_arrives(world, bomb)


CELLS = {
    "=1+1": "'=1+1",
    "@SUM(A1)": "'@SUM(A1)",
    "-2+3+cmd|' /C calc'!A0": "'-2+3+cmd|' /C calc'!A0",
    " =1": "' =1",
    "\t=1": "'\t=1",
    "'=1": "''=1",
    "+15550104477": "+15550104477",
    "-12.50": "-12.50",
    "plain": "plain",
    "'quoted'": "'quoted'",
    "<script>": "<script>",
}


def test_no_text_becomes_a_formula_in_csv(world: World) -> None:
    """CSV puts an apostrophe before it, and removing that gives the original. JSON shows it unchanged."""
    at = world.ago(hours=1)
    for number, cell in enumerate(CELLS):
        world.insert(1, lambda n, number=number: (at + number * MILLISECOND,) * 2, name=cell)
    world.sync()
    shown = {output: io.StringIO() for output in ("csv", "json")}
    for output, out in shown.items():
        query.run(world.warehouse, "SELECT name FROM sessions ORDER BY created_at", output, out)
    lines = shown["csv"].getvalue().splitlines()
    assert [line.strip('"') for line in lines] == ["name", *CELLS.values()]
    assert json.loads(shown["json"].getvalue()) == [{"name": cell} for cell in CELLS]


@pytest.mark.parametrize("output", ["table", "csv"])
def test_no_control_character_reaches_a_terminal(
    world: World, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sequences that move the cursor or set the title are shown as text."""
    at = world.ago(hours=1)
    world.insert(1, lambda n: (at, at), name="\x1b]0;owned\x07\x9b31mred")
    world.sync()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    query.run(world.warehouse, "SELECT name FROM sessions", output, out)
    shown = out.getvalue() + capsys.readouterr().out
    assert "owned" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"a":[1,{"b":"]"}],"c":"\\"}"}', [("a", '[1,{"b":"]"}]'), ("c", '"\\"}"')]),
        (' [ 1 , [2,3] ,"," ] ', [("", "1"), ("", "[2,3]"), ("", '","')]),
        ("{}", []),
        ("[]", []),
    ],
)
def test_text_too_deep_for_a_decoder_is_split_by_its_brackets(
    text: str, parts: list[tuple[str, str]]
) -> None:
    """Into its members or elements, each with its text."""
    assert json_text.shallow(text) == parts


@pytest.mark.parametrize(
    "text", ["", "1", "[1", "[1]]", "[1}", '["a]', "[1]x", "[,1]", "[1,]", "{]", "[1][2]"]
)
def test_text_with_unbalanced_brackets_is_refused(text: str) -> None:
    """A truncated body is never taken for a short list."""
    with pytest.raises(ValueError, match=r"bracket|string|empty|whole"):
        json_text.shallow(text)
