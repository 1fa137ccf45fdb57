"""The progress of a run: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable

import pytest

from vapi_sessions.cli import signals, streams
from vapi_sessions.cli.display import Bars, Lines, display
from vapi_sessions.operations.progress import Counts, Progress
from vapi_sessions.operations.tally import Tally


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


def lines_drawn(terminal: Terminal) -> list[str]:
    """What was drawn, without control sequences."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]", text) if line.strip()]


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
        shown.tell()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "sync: 1,234 sessions to read in 3 windows",
        "sync: [bold]a line[/bold] about 10%",
        "sync: waiting 21 s: the source limits the rate (429)",
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
    assert "1,234/1,234 sessions" in written
    assert "1/3 windows" in written
    assert "5,678 messages" in written


def test_lines_show_progress_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Not for every page; with the rate and the time left."""
    clock = [100.0]
    shown = Lines("sync", monotonic=lambda: clock[0])
    shown.phase("reading")
    shown.planned(2, 10_000)
    for _ in range(60):
        clock[0] += 1
        shown.read(100)
    lines = [line for line in capsys.readouterr().err.splitlines() if " of " in line]
    assert len(lines) == 12
    assert lines[-1] == "sync: reading: 6,000 of 10,000 sessions, 0/2 windows, 100/s, 40 s left"


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


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (120, "123/456 windows · 5,678 messages · "),
        (80, "1,234,567/2,345,678 sessions · "),
        (60, "1,234,567/2,345,678 sessions"),
        (42, "reading 1,234,567/2,345,678 sessions"),
        (35, "1,234,567/2,345,678 sessions"),
    ],
)
def test_the_total_is_never_cut(terminal: Callable[[int], Terminal], width: int, shown: str) -> None:
    """What is less important is left out, and so is the bar. No line is so long that the keys of Ctrl-C would wrap."""
    stderr = terminal(width)
    clock = itertools.count(step=30.0)
    with Bars("reconcile", monotonic=clock.__next__) as progress:
        progress.phase("reading")
        progress.planned(456, 2_345_678)
        for _ in range(123):
            progress.window_done()
        progress.merged(Counts(messages_written=5678))
        progress.read(1_234_567)
    last = lines_drawn(stderr)[-1]
    assert shown in last
    assert len(last) <= width - 3


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


def test_waits_of_many_requests_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And one more when another wait begins, but not for each look."""
    clock = [100.0]
    shown = Lines("sync", monotonic=lambda: clock[0])
    for _ in range(6):
        shown.waiting(12, "the source limits the rate (429)")
    shown.tell()
    for _ in range(11):
        clock[0] += 1
        shown.waiting(112 - clock[0], "the source limits the rate (429)")
        shown.tell()
    clock[0] += 10
    shown.waiting(30, "the source limits the rate (429)")
    shown.tell()
    assert capsys.readouterr().err.splitlines() == [
        "sync: waiting 12 s: the source limits the rate (429), 6 requests",
        "sync: waiting 30 s: the source limits the rate (429)",
    ]


def test_a_bar_shows_one_line_for_all_waits(terminal: Callable[[int], Terminal]) -> None:
    """The longest wait, the number of requests, and their most frequent reason, cut to the width."""
    stderr = terminal(60)
    with display("sync") as shown:
        for number in range(5):
            shown.waiting(10 + number, "the source limits the rate (429)")
        shown.waiting(3, "x" * 100)
    assert lines_drawn(stderr)[-1] == "  waiting 14 s: the source limits the rate (429), 6 req …"


def test_phases_are_named_and_publishing_counts_parts(terminal: Callable[[int], Terminal]) -> None:
    """Waits of an earlier phase are over."""
    stderr = terminal(80)
    with display("sync") as shown:
        shown.waiting(10, "a reason")
        shown.phase("publishing")
        shown.publishing(3, 40)
    last = lines_drawn(stderr)[-1]
    assert "sync · publishing" in last
    assert "3/40 parts" in last


def test_lines_tell_of_a_long_publication(capsys: pytest.CaptureFixture[str]) -> None:
    """With the parts written, so that it does not look like a hang."""
    clock = [100.0]
    shown = Lines("sync", monotonic=lambda: clock[0])
    shown.phase("publishing")
    for part in range(1, 11):
        clock[0] += 1
        shown.publishing(part, 40)
        shown.tell()
    assert capsys.readouterr().err.splitlines() == [
        "sync: publishing: 5 of 40 parts, 35 s left",
        "sync: publishing: 10 of 40 parts, 30 s left",
    ]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """And the time left follows from the last minute."""
    clock = [0.0]
    tally = Tally(monotonic=lambda: clock[0])
    tally.planned(1, 100_000)
    for second in range(200):
        clock[0] += 1
        tally.read(1000 if second < 100 else 10)
    assert tally.rate() == pytest.approx(10)
    clock[0] += 5
    assert tally.rate() == pytest.approx(5)
    assert tally.sessions_read == 101_000
    assert tally.seconds_left() == 0


@pytest.mark.parametrize("kind", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_move_the_cursor_gets_lines(
    terminal: Callable[[int], Terminal], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As of an editor or a log."""
    terminal(80)
    monkeypatch.setenv("TERM", kind)
    assert isinstance(display("sync"), Lines)


def test_no_color_is_respected(terminal: Callable[[int], Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar has no colour."""
    stderr = terminal(100)
    monkeypatch.setenv("NO_COLOR", "1")
    with display("sync") as shown:
        a_run(shown)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m|\x1b\[38;", stderr.getvalue())


def test_an_interruption_is_answered_below_the_bar(terminal: Callable[[int], Terminal]) -> None:
    """Without writing into it. Afterwards lines are written directly again."""
    stderr = terminal(80)
    with display("sync") as shown:
        shown.read(5)
        signals.announce(signals.STOPPING)
    assert lines_drawn(stderr)[-1].strip() == signals.STOPPING
    assert signals.announce is signals.write_line
