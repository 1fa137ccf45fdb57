"""Long lists show their first 20 items and how many there are; `--all` shows them all."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from desk import Desk
from vapi_sessions.cli.commands.forget_command import _print_list
from vapi_sessions.cli.commands.status_command import print_status
from vapi_sessions.cli.commands.verify_command import print_findings
from vapi_sessions.operations.findings import Finding
from vapi_sessions.operations.status import status
from vapi_sessions.warehouse.suppression import Entry
from verifying import plant


def test_verify_names_the_first_sessions_of_a_difference(desk: Desk) -> None:
    """It counts all of them; the exit code is the same."""
    lost = [name for (name,) in desk.rows("SELECT session_id FROM sessions ORDER BY created_at LIMIT 60")]
    listed = ", ".join(f"'{name}'" for name in lost)
    plant(
        desk, *(f"DELETE FROM {table} WHERE session_id IN ({listed})" for table in ("sessions", "messages"))
    )
    short, full = desk.run("verify"), desk.run("verify", "--all")
    assert (short.code, full.code) == (6, 6)
    assert len(_named(short.out)) == 21
    assert _named(short.out)[-1] == "and 40 more; --all shows them"
    assert _named(full.out) == sorted(lost)


def _named(out: str) -> list[str]:
    """The lines below the difference."""
    lines = out.split("60 sessions at the source and not in the warehouse")[1].splitlines()[1:]
    return [line.strip() for line in itertools.takewhile(lambda line: line.startswith("  "), lines)]


def test_verify_shows_the_first_differences(capsys: pytest.CaptureFixture[str]) -> None:
    """As many as of anything else."""
    findings = [Finding(None, f"difference {n}", (), "a remedy") for n in range(1000)]
    print_findings(findings, everything=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 980 more; --all shows them"
    print_findings(findings, everything=True)
    assert len(capsys.readouterr().out.splitlines()) == 1000


@pytest.mark.parametrize("everything", [False, True])
def test_status_shows_the_first_fields_gaps_and_unreadable_sessions(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    """One line each where there is room."""
    monkeypatch.setenv("COLUMNS", "10000")
    found = replace(
        status(desk.warehouse, now=0),
        drift={f"field_{n}": n for n in range(50)},
        gaps=[(f"from_{n}", f"until_{n}") for n in range(50)],
        unreadable={f"session_{n}": "a problem" for n in range(50)},
    )
    print_status(found, everything=everything)
    lines = capsys.readouterr().out.splitlines()
    for name, part in (("drift", "field_"), ("gaps", "from_"), ("unreadable", "session_")):
        (line,) = [line for line in lines if line.startswith(name)]
        assert line.count(part) == (50 if everything else 20)
        assert ("and 30 more" in line) == (not everything)


@pytest.mark.parametrize("everything", [False, True])
def test_forget_lists_the_first_entries(capsys: pytest.CaptureFixture[str], everything: bool) -> None:
    """The list says how many more there are."""
    _print_list([Entry(f"{n:08x}", "number", 0, 1) for n in range(21)], everything=everything)
    out = capsys.readouterr().out
    assert out.count("unknown") == (21 if everything else 20)
    assert ("and 1 more; --all shows it" in out) == (not everything)
