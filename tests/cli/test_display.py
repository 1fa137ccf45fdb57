"""What a person sees while a run works."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from vapi_sessions.cli.display import Bars, Lines, display
from vapi_sessions.operations.progress import Counts, Progress


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Makes stderr a terminal of so many columns."""

    def make(columns: int) -> Terminal:
        made = Terminal()
        monkeypatch.setattr("sys.stderr", made)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        return made

    return make


def a_run(progress: Progress) -> None:
    """Everything that a run tells."""
    progress.planned(3, 1234)
    progress.read(1000)
    progress.window_done()
    progress.merged(Counts(messages_written=5678))
    progress.waiting(0.5, "a short wait")
    progress.waiting(21, "the source limits the rate (429)")
    progress.say("[bold]a note[/bold] about 10%")
    progress.read(234)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain lines on stderr, nothing on stdout."""
    shown = display("sync")
    assert isinstance(shown, Lines)
    with shown:
        a_run(shown)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "sync: 1,234 sessions to read in 3 windows",
        "sync: waiting 21 s: the source limits the rate (429)",
        "sync: [bold]a note[/bold] about 10%",
    ]


def test_bars_where_there_is_a_terminal(
    terminal: Callable[[int], Terminal], capsys: pytest.CaptureFixture[str]
) -> None:
    """A live bar on stderr, nothing on stdout; what is said stays readable and is not taken for markup."""
    stderr = terminal(200)
    shown = display("sync")
    assert isinstance(shown, Bars)
    with shown:
        a_run(shown)
    assert capsys.readouterr().out == ""
    written = stderr.getvalue()
    assert "waiting 21 s: the source limits the rate (429)" in written
    assert "[bold]a note[/bold] about 10%" in written
    assert "a short wait" not in written
    assert "1234/1234" in written
    assert "1/3 windows" in written
    assert "5,678 messages" in written


def test_lines_tell_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """One line every few seconds, not one a page; with a rate and what is left."""
    clock = [100.0]
    shown = Lines("sync", monotonic=lambda: clock[0])
    shown.planned(2, 10_000)
    for _ in range(60):
        clock[0] += 1
        shown.read(100)
    lines = [line for line in capsys.readouterr().err.splitlines() if " of " in line]
    assert len(lines) == 12
    assert lines[-1] == "sync: 6,000 of 10,000 sessions, 0/2 windows, 0 messages, 100/s, 40 s left"


def test_lines_do_not_promise_negative_time(capsys: pytest.CaptureFixture[str]) -> None:
    """More sessions than were counted come when the window that is open to the right grows."""
    clock = [100.0]
    shown = Lines("sync", monotonic=lambda: clock[0])
    shown.planned(1, 10)
    clock[0] += 10
    shown.read(50)
    assert "50 of 10 sessions" in (line := capsys.readouterr().err.splitlines()[-1])
    assert line.endswith("0 s left")


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_a_display_ends_when_a_run_fails(
    kind: Callable[[str], Lines | Bars], capsys: pytest.CaptureFixture[str]
) -> None:
    """The error passes through."""
    with pytest.raises(ZeroDivisionError), kind("sync"):
        raise ZeroDivisionError
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_an_empty_run_is_shown(
    kind: Callable[[str], Lines | Bars], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing to read is no division by zero."""
    with kind("sync") as shown:
        shown.planned(0, 0)
        shown.read(0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("width", "shown"), [(100, "sessions ·"), (40, "")])
def test_bars_show_how_far_it_is_however_narrow_the_terminal(
    terminal: Callable[[int], Terminal], width: int, shown: str
) -> None:
    """What fits least goes first; and where nothing was planned, no windows are counted."""
    stderr = terminal(width)
    with display("reconcile") as progress:
        progress.read(590)
    written = stderr.getvalue()
    assert "reconcile" in written
    assert "590/?" in written
    assert shown in written
    assert "windows" not in written


def test_lines_tell_what_is_known_where_nothing_was_planned(capsys: pytest.CaptureFixture[str]) -> None:
    """No total, no windows, no time left."""
    clock = [100.0]
    shown = Lines("reconcile", monotonic=lambda: clock[0])
    clock[0] += 10
    shown.read(50)
    assert capsys.readouterr().err == "reconcile: 50 sessions, 5/s\n"
