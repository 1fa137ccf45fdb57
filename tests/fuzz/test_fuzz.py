"""Everything the source sends is data: whatever it is, nothing falls over, nothing is lost, no secret lands."""

from __future__ import annotations

import io
import json

import pytest

from conftest import World
from selection import first
from vapi_emulator.stored import make_row
from vapi_sessions.core import json_text
from vapi_sessions.core.timestamps import MILLISECOND, SECOND, show
from vapi_sessions.warehouse import query

from .run import fuzz


@pytest.mark.parametrize("seeds", first([range(1), range(1, 12)]), ids=["one world", "more"])
def test_mutated_pages_do_no_harm(seeds: range) -> None:
    """Some of them; `make soak` takes a minute."""
    worlds, sessions = fuzz(seeds)
    assert worlds == len(seeds)
    assert sessions > 10 * worlds


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


def _everything_arrives(world: World, *bombs: str) -> None:
    """Each has a row of its own, its neighbours arrive, raw/ has it as the decoder leaves it, and a rebuild gives the same."""
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


def test_no_bomb_keeps_anything_else_from_being_read(world: World) -> None:
    """One page after the other, and all in one batch."""
    _everything_arrives(world, *BOMBS)


@pytest.mark.proof
@pytest.mark.parametrize("bomb", BOMBS)
def test_one_bomb_keeps_nothing_else_from_being_read(world: World, bomb: str) -> None:
    """Each alone."""
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


def test_a_text_never_becomes_a_formula(world: World) -> None:
    """In CSV an apostrophe stands before it, which taken off gives the original; JSON carries it as it is."""
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
