"""Everything the source sends is data: whatever it is, nothing falls over, nothing is lost, no secret lands."""

from __future__ import annotations

import io
import json

import pytest

from conftest import World
from vapi_sessions import json_text
from vapi_sessions.emulator.rows import make_row
from vapi_sessions.timestamps import show
from vapi_sessions.warehouse import query

from .run import fuzz


def test_mutated_pages_do_no_harm() -> None:
    """A few seconds of them; `make soak` takes a minute."""
    worlds, sessions = fuzz(seconds=4)
    assert worlds > 1
    assert sessions > 20


#: Each is a member or several of an otherwise ordinary session.
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


@pytest.mark.parametrize("bomb", BOMBS)
def test_one_bomb_keeps_nothing_else_from_being_read(world: World, bomb: str) -> None:
    """Its neighbours arrive, it has a row of its own, raw/ has all of it, and a rebuild gives the same."""
    at = world.ago(hours=2)
    world.insert(2, lambda n: (at + n * 1000, at + n * 1000))
    ours = {"id": "00000000-0000-4000-8000-00000000abcd", "orgId": world.server.org_id}
    body = json.dumps({**ours, "createdAt": show(at), "updatedAt": show(at)})[:-1] + "," + BOMBS[bomb] + "}"
    world.server.store.insert_many([make_row(ours, at, at)._replace(body=body.encode())])
    world.sync()
    assert len(world.here()) == 3
    raw = world.rows(f"SELECT body FROM read_parquet('{world.warehouse}/raw/*.parquet')")
    assert (body,) in raw
    for output in ("csv", "json"):
        query.run(world.warehouse, "SELECT * FROM sessions", output, io.StringIO())
        query.run(world.warehouse, "SELECT * FROM messages", output, io.StringIO())
    rows = world.tables()
    world.rebuild()
    assert world.tables() == rows
    assert not (world.warehouse.parent / "etc").exists()


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


@pytest.mark.parametrize("cell", CELLS)
def test_a_text_never_becomes_a_formula(world: World, cell: str) -> None:
    """In CSV an apostrophe stands before it, which taken off gives the original; JSON carries it as it is."""
    at = world.ago(hours=1)
    world.insert(1, lambda n: (at, at), name=cell)
    world.sync()
    shown = {output: io.StringIO() for output in ("csv", "json")}
    for output, out in shown.items():
        query.run(world.warehouse, "SELECT name FROM sessions", output, out)
    assert shown["csv"].getvalue().removeprefix("name\n").strip("\n").strip('"') == CELLS[cell]
    assert json.loads(shown["json"].getvalue()) == [{"name": cell}]


@pytest.mark.parametrize("output", ["table", "csv"])
def test_a_terminal_is_not_spoken_to(world: World, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What would move its cursor or set its title is shown, not sent."""
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
def test_what_no_decoder_takes_is_cut_by_its_brackets(text: str, parts: list[tuple[str, str]]) -> None:
    """Members and elements, each its own text."""
    assert json_text.shallow(text) == parts


@pytest.mark.parametrize(
    "text", ["", "1", "[1", "[1]]", "[1}", '["a]', "[1]x", "[,1]", "[1,]", "{]", "[1][2]"]
)
def test_what_is_cut_off_or_out_of_order_is_refused(text: str) -> None:
    """A body that ends too early is never a short list."""
    with pytest.raises(ValueError, match=r"bracket|string|empty|whole"):
        json_text.shallow(text)
