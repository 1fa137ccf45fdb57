"""The progress of a run: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from vapi_sessions.cli import streams
from vapi_sessions.cli.display import Bars, Lines, display
from vapi_sessions.operations.progress import Counts, Progress


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Make stderr a terminal with this number of columns."""

    def make(columns: int) -> Terminal:
        made = Terminal()
        monkeypatch.setattr("sys.stderr", made)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        return made

    return make


def a_run(progress: Progress) -> None:
    """Every call that a run makes."""
    progress.planned(3, 1234)
    progress.read(1000)
    progress.window_done()
    progress.merged(Counts(messages_written=5678))
    progress.waiting(0.5, "a short wait")
    progress.waiting(21, "the source limits the rate (429)")
    progress.say("[bold]a line[/bold] about 10%")
    progress.read(234)


def test_without_a_terminal_progress_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """They are on stderr; stdout is empty."""
    shown = display("sync")
    assert isinstance(shown, Lines)
    with shown:
        a_run(shown)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "sync: 1,234 sessions to read in 3 windows",
        "sync: waiting 21 s: the source limits the rate (429)",
        "sync: [bold]a line[/bold] about 10%",
    ]


def test_in_a_terminal_progress_is_a_bar(
    terminal: Callable[[int], Terminal], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is on stderr; messages stay readable and are not parsed as markup."""
    stderr = terminal(200)
    shown = display("sync")
    assert isinstance(shown, Bars)
    with shown:
        a_run(shown)
    assert capsys.readouterr().out == ""
    written = stderr.getvalue()
    assert "waiting 21 s: the source limits the rate (429)" in written
    assert "[bold]a line[/bold] about 10%" in written
    assert "a short wait" not in written
    assert "1234/1234" in written
    assert "1/3 windows" in written
    assert "5,678 messages" in written


def test_lines_show_progress_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Not for every page; with the rate and the time left."""
    clock = [100.0]
    shown = Lines("sync", monotonic=lambda: clock[0])
    shown.planned(2, 10_000)
    for _ in range(60):
        clock[0] += 1
        shown.read(100)
    lines = [line for line in capsys.readouterr().err.splitlines() if " of " in line]
    assert len(lines) == 12
    assert lines[-1] == "sync: 6,000 of 10,000 sessions, 0/2 windows, 0 messages, 100/s, 40 s left"


def test_lines_never_show_negative_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The last window, which has no end, may grow beyond the counted sessions."""
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
    """The error is raised on."""
    with pytest.raises(ZeroDivisionError), kind("sync"):
        raise ZeroDivisionError
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_an_empty_run_has_a_display(
    kind: Callable[[str], Lines | Bars], capsys: pytest.CaptureFixture[str]
) -> None:
    """No sessions cause no division by zero."""
    with kind("sync") as shown:
        shown.planned(0, 0)
        shown.read(0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("width", "shown"), [(100, "sessions ·"), (40, "")])
def test_bars_show_progress_in_a_narrow_terminal(
    terminal: Callable[[int], Terminal], width: int, shown: str
) -> None:
    """Less important columns are left out; without planned windows none are counted."""
    stderr = terminal(width)
    with display("reconcile") as progress:
        progress.read(590)
    written = stderr.getvalue()
    assert "reconcile" in written
    assert "590/?" in written
    assert shown in written
    assert "windows" not in written


def test_lines_without_a_plan_show_no_total(capsys: pytest.CaptureFixture[str]) -> None:
    """They show no total, no windows and no time left."""
    clock = [100.0]
    shown = Lines("reconcile", monotonic=lambda: clock[0])
    clock[0] += 10
    shown.read(50)
    assert capsys.readouterr().err == "reconcile: 50 sessions, 5/s\n"


def test_bars_are_drawn_on_the_stream_that_commands_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its escaping of control characters is for texts of the source, not for Rich's own."""

    class Screen(streams.Clean):
        def isatty(self) -> bool:
            return True

    drawn = io.BytesIO()
    monkeypatch.setattr("sys.stderr", Screen(drawn, "utf-8", write_through=True))
    monkeypatch.setenv("TERM", "xterm")
    with display("sync") as shown:
        a_run(shown)
    text = drawn.getvalue().decode()
    assert "\x1b[" in text
    assert "\\u001b" not in text
