"""Shells ask the program for completions, through typer's scripts; it answers without a database and without slow imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import shellingham

import command
from vapi_sessions.cli import completion
from vapi_sessions.privacy.policy import MessageText, PersonalData
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.query import FORMATS

#: What completion and help have no need of.
SLOW = {
    "duckdb",
    "pyarrow",
    "vapi_sessions.settings",
    "starlette",
    "httpx",
    "prefect",
    "polars",
    "numpy",
    "rich.table",
}


def complete(line: str, monkeypatch: pytest.MonkeyPatch, shell: str = "bash") -> list[str]:
    """What the program answers when TAB is pressed at the end of the line."""
    words = line.split(" ")
    with monkeypatch.context() as patch:
        patch.setenv(completion.VARIABLE, f"complete_{shell}")
        patch.setenv("_TYPER_COMPLETE_ARGS", line)
        patch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        patch.setenv("COMP_WORDS", "\n".join(words))
        patch.setenv("COMP_CWORD", str(len(words) - 1))
        if shell != "bash":
            patch.delenv("COMP_WORDS")
        ran = command.run(environment={})
    assert (ran.code, ran.err) == (0, "")
    return ran.out.splitlines()


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("vapi-sessions re", ["reconcile", "report", "rebuild"]),
        ("vapi-sessions emu", ["emulate"]),
        ("vapi-sessions --warehouse x stat", ["status"]),
        ("vapi-sessions emulate --fa", ["--fault"]),
        ("vapi-sessions emulate --ties ", ["stable", "shuffled"]),
        ("vapi-sessions sync --wareh", ["--warehouse"]),
        ("vapi-sessions sql --format ma", ["markdown"]),
        ("vapi-sessions sql --format=ma", ["markdown"]),
        ("vapi-sessions describe cost_by_d", ["cost_by_day"]),
        ("vapi-sessions export costs cost_by_m", ["cost_by_model"]),
        ("vapi-sessions sync --warehouse wa", []),  # the shell completes paths by itself
        ('vapi-sessions sql "FROM ses', []),
    ],
)
def test_bash_gets_commands_options_and_values(
    line: str, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a line."""
    assert [answer for answer in complete(line, monkeypatch) if answer] == answers


def test_zsh_and_fish_get_descriptions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their forms."""
    (line,) = complete("vapi-sessions stat", monkeypatch, "zsh")
    assert line.startswith('_arguments \'*: :(("status":"Show how fresh')
    (line,) = complete("vapi-sessions stat", monkeypatch, "fish")
    assert line.startswith("status\tShow how fresh")


def test_every_value_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the code declares them."""
    for line, values in (
        ("sql --format ", FORMATS),
        ("export --personal-data ", PersonalData),
        ("export --message-text ", MessageText),
    ):
        assert complete(f"vapi-sessions {line}", monkeypatch) == list(values)
    tables = {table.name for table in TABLES}
    assert tables | {"freshness", "customers"} <= set(complete("vapi-sessions describe ", monkeypatch))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_shown_or_installed_for_the_calling_shell(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only --install-completion writes files, and only in the home directory."""
    monkeypatch.setattr(shellingham, "detect_shell", lambda: (shell, f"/bin/{shell}"))
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = command.run("--show-completion", environment={}, called="bin/vapi-sessions")
    assert shown.code == 0
    assert f"{completion.VARIABLE}=complete_{shell}" in shown.out
    assert list(tmp_path.iterdir()) == []
    ran = command.run("--install-completion", environment={})
    assert ran.code == 0
    (path,) = (word.rstrip(".") for word in ran.out.split() if word.startswith(str(tmp_path)))
    assert Path(path).read_text().strip() == shown.out.strip()


def test_another_shell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that cannot be recognised, as in a container."""

    def unknown() -> tuple[str, str]:
        raise shellingham.ShellDetectionFailure

    for detect in (lambda: ("tcsh", "/bin/tcsh"), unknown):
        monkeypatch.setattr(shellingham, "detect_shell", detect)
        ran = command.run("--install-completion", environment={})
        assert (ran.code, ran.out) == (2, "")
        assert "bash, zsh or fish" in ran.message[1]


def test_an_answer_needs_no_slow_import() -> None:
    """Else each TAB would take most of a second."""
    asked = {
        completion.VARIABLE: "complete_bash",
        "COMP_WORDS": "vapi-sessions\nemulate\n--l",
        "COMP_CWORD": "2",
    }
    program = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); from vapi_sessions.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    answer, _, modules = done.stdout.rpartition("\n--limit0\n")
    assert "--live" in answer.split()
    assert set(modules.split()) & SLOW == set()
    assert "vapi_sessions.cli.app" in modules


@pytest.mark.proof
def test_bash_completes(tmp_path: Path) -> None:
    """With the script that is installed, and the program called by its path."""
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{Path(command.COMMAND).parent}:{os.environ['PATH']}",
    }
    script = """
    vapi-sessions --install-completion >&2 && source ~/.bashrc && complete -p vapi-sessions >&2
    COMP_WORDS=("$PROGRAM" describe cost_by_d) COMP_CWORD=2
    _vapi_sessions_completion "$PROGRAM"
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc"], input=script, env=environment | {"PROGRAM": command.COMMAND}, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout == "cost_by_day\n", done.stderr
