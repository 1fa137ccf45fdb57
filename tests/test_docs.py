"""What is documented is true: the tables, the queries, the commands and the exit codes of the README."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import command
import vapi_sessions
import write_docs
from vapi_sessions import errors

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)


def test_the_readme_holds_the_tables_and_views_as_the_code_declares_them() -> None:
    """`make docs` would change nothing."""
    assert write_docs.updated(README) == README


def test_there_are_five_queries_worth_asking() -> None:
    """The section keeps its word."""
    assert len(QUERIES) == 5


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_of_the_readme_answers(query: str, demo_warehouse: Path) -> None:
    """Each runs on a real warehouse and finds something there."""
    with vapi_sessions.connect(demo_warehouse) as db:
        assert db.execute(query).fetchall()


def test_the_python_of_the_readme_runs(demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippet for notebooks works as it stands."""
    monkeypatch.setenv("VAPI_WAREHOUSE", str(demo_warehouse))
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)  # noqa: S102  # our own text
    con = names["con"]
    assert isinstance(con, type(vapi_sessions.connect(demo_warehouse)))
    con.close()


def test_every_command_of_the_readme_exists() -> None:
    """Each command that the README shows is one that the help lists."""
    listed = command.run("--help", environment={}).out
    shown = set(re.findall(r"vapi-sessions (?:--debug )?([a-z]+)", README)) - {"pipeline"}
    shown |= {
        match.split()[0]
        for match in re.findall(r"^\| `([a-z][^`]*)` \|", README.split("## Reading")[0], re.MULTILINE)
    }
    assert {"sync", "status", "emulate", "demo"} <= shown
    assert {name for name in shown if not re.search(rf"\b{name}\b", listed)} == set()


def test_every_error_has_its_exit_code_in_the_readme() -> None:
    """The table of exit codes covers the tree of errors."""
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    def codes(kind: type[errors.VapiSessionsError]) -> set[int]:
        return {kind.exit_code}.union(*map(codes, kind.__subclasses__()))

    assert codes(errors.VapiSessionsError) <= documented


def test_no_file_names_an_index_or_a_path_of_a_machine() -> None:
    """Nothing in the repository ties it to the place where it is worked on."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    words = re.compile("pypi" + r"\.org|python" + r"hosted|/ho" + "me/|/wo" + "rk/")
    named = [
        name
        for name in tracked
        if (ROOT / name).is_file() and words.search((ROOT / name).read_text(errors="replace"))
    ]
    assert named == []
