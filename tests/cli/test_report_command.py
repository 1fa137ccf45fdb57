"""`report`: the file, its messages, and its errors."""

from __future__ import annotations

import os
import re
import stat
import sys
import webbrowser

import pytest

import command
import vapi_sessions
from desk import Desk
from vapi_sessions.report import figures, html_page


def test_report_writes_one_private_file_and_names_it(desk: Desk) -> None:
    """In the current directory; it contains conversations, so others cannot read it."""
    ran = desk.run("report")
    path = desk.warehouse.parent / "vapi-report.html"
    assert (ran.code, ran.err) == (0, "")
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    said = re.fullmatch(rf"{re.escape(str(path))}: {size}, (\d+) sessions since (\S+)\n", ran.out)
    assert said is not None
    with vapi_sessions.connect(desk.warehouse) as db:
        counted = db.execute("SELECT count(*) FROM sessions WHERE created_at >= ?::TIMESTAMPTZ", [said[2]])
        assert counted.fetchall() == [(int(said[1]),)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.proof
def test_report_replaces_the_earlier_file_and_leaves_no_other(desk: Desk) -> None:
    """With --out; the directory has the report and the warehouse, as before."""
    out = desk.warehouse.parent / "here.html"
    out.write_text("earlier")
    assert desk.run("report", "--out", str(out), "--since", "2020-01-01").code == 0
    assert "<!doctype html>" in out.read_text("utf-8")[:100]
    assert {path.name for path in out.parent.iterdir()} == {"warehouse", "here.html"}


def test_only_a_regular_file_is_replaced(desk: Desk) -> None:
    """Not a pipe or a device, and of a link the file that it points to."""
    pipe, link, page = (desk.warehouse.parent / name for name in ("pipe", "link.html", "page.html"))
    os.mkfifo(pipe)
    ran = desk.run("report", "--out", str(pipe))
    assert (ran.code, ran.message[0]) == (
        2,
        f"error: {pipe} is no regular file, and would be replaced by one.",
    )
    assert pipe.is_fifo()
    page.write_text("of yesterday")
    link.symlink_to(page)
    assert desk.run("report", "--out", str(link)).code == 0
    assert link.is_symlink()
    assert page.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.proof
def test_report_can_open_the_browser(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --open; where there is no browser, a warning says so."""
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(shown.append(url)))
    ran = desk.run("report", "--open")
    assert ran.code == 0
    assert shown == [(desk.warehouse.parent / "vapi-report.html").as_uri()]
    assert ran.err.startswith("warning: No web browser could be started.")


@pytest.mark.parametrize("package", ["altair", "jinja2", "vl_convert"])
def test_without_the_extra_the_command_names_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """Exit code 2, and nothing is written."""
    monkeypatch.setitem(sys.modules, package, None)
    ran = desk.run("report")
    assert ran.code == 2
    assert package in ran.message[0]
    assert "[report]" in ran.message[1]
    assert not (desk.warehouse.parent / "vapi-report.html").exists()


def test_a_file_that_cannot_be_written_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory or a missing one is a wrong choice; a refusal is an error of the disk."""
    monkeypatch.setattr(html_page, "render", lambda *_: b"")
    ran = desk.run("report", "--out", str(desk.warehouse))
    assert (ran.code, ran.message[0]) == (2, f"error: {desk.warehouse} is a directory.")
    ran = desk.run("report", "--out", "missing/report.html")
    assert (ran.code, ran.message[0]) == (2, "error: missing is not a directory.")
    ran = desk.run("report", "--out", "/proc/report.html")  # not even root can create a file there
    assert (ran.code, ran.message[0][:42]) == (5, "error: /proc/report.html cannot be written")


def test_since_must_be_a_day(desk: Desk) -> None:
    """The message names the option, and the form."""
    ran = desk.run("report", "--since", "yesterday")
    assert (ran.code, ran.message) == (
        2,
        ["error: --since: 'yesterday' is not a day.", "Write it as 2026-01-31."],
    )


def test_report_of_a_directory_without_a_warehouse(desk: Desk) -> None:
    """As for the other commands that read."""
    ran = desk.run("report", "--warehouse", "nothing")
    assert ran.code == 2
    assert "There is no published warehouse" in ran.message[0]


def test_a_warehouse_of_an_earlier_version_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its database lacks a view. That is no bug of the program."""
    monkeypatch.setattr(figures, "VIEWS", (*figures.VIEWS, "view_of_tomorrow"))
    ran = desk.run("report")
    assert ran.code == 5
    assert "has no view view_of_tomorrow" in ran.message[0]
    assert "vapi-sessions sync" in ran.message[1]


@pytest.mark.proof
def test_other_commands_do_not_import_what_reports_need() -> None:
    """Altair takes half a second."""
    ran = command.start("status", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert "vapi_sessions.cli.commands.report_command" in ran.err
    for package in ("altair", "jinja2", "vl_convert", "webbrowser"):
        assert f"| {package}\n" not in ran.err.replace("|   ", "| ").replace("  ", "")
