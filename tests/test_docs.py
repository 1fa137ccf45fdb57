"""The documents are true: what they name exists, and what the code declares is in them."""

from __future__ import annotations

import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import command
import write_docs
from documents import PRESENT, ROOT, TEXTS, blocks, headings, inline, links
from vapi_sessions import errors
from vapi_sessions.settings import Settings

README: Final = TEXTS["README.md"]
OPERATIONS: Final = TEXTS["docs/operations.md"]
DESIGN: Final = TEXTS["docs/design.md"]
#: Where a path in a document can begin.
BEGINNINGS: Final = (ROOT, ROOT / "src" / "vapi_sessions", ROOT / "requirements", ROOT / "docs")
#: Paths of a warehouse, of an environment, and of the reader's own.
ELSEWHERE: Final = re.compile(
    r"\./|\.venv/|warehouse/|raw/|parquet/|staging/|path/to|\._x|"
    r"(index|vapi|store)\.duckdb$|(damaged|running|suppression|openapi)\.json$"
)
SUFFIXES: Final = (".py", ".sql", ".tsv", ".md", ".toml", ".txt", ".json", ".ipynb")
#: Names that look like a module of ours: the key of raw/'s footers.
NO_MODULES: Final = {"vapi_sessions.progress"}
#: Options of other programs: pip, node_exporter, scripts in flows/, and modules of the tests.
OTHERS_OPTIONS: Final = {
    "--collector",
    "--freshness",
    "--notify",
    "--requirement",
    "--mutant",
    "--wrong",
    "--with",
}


def paths(text: str) -> Iterator[str]:
    """The paths in the code inside of sentences."""
    for code in inline(text):
        for word in code.split():
            if re.fullmatch(r"[\w.*/-]+", word) and ("/" in word or word.endswith(SUFFIXES)):
                yield word


def exists(path: str) -> bool:
    """Whether a path, or a pattern, leads to something from one of the beginnings."""
    return any(any(beginning.glob(path.rstrip("/"))) for beginning in BEGINNINGS)


@pytest.mark.parametrize("name", PRESENT)
def test_every_path_in_a_document_exists(name: str) -> None:
    """Files, folders and patterns, from the root, from src/vapi_sessions, or beside the document."""
    found = {path for path in paths(PRESENT[name]) if not ELSEWHERE.match(path)}
    assert {path for path in found if not exists(path)} == set()


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    """Links are relative to the document; an anchor is a heading of its target."""
    for link in links(TEXTS[name]):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path
        assert target.is_file(), link
        assert not anchor or anchor in headings(target.read_text("utf-8")), link


@pytest.mark.parametrize("name", PRESENT)
def test_every_module_in_a_document_exists(name: str) -> None:
    """A dotted name is a module, or something that a module has."""
    found = set(re.findall(r"\b(?:vapi_sessions|vapi_emulator|tests)(?:\.[a-z_]+)+", PRESENT[name]))
    for dotted in found - NO_MODULES:
        folder = ROOT / ("" if dotted.startswith("tests.") else "src")
        parts = dotted.split(".")
        if folder.joinpath(*parts).is_dir() or folder.joinpath(*parts).with_suffix(".py").is_file():
            continue
        assert hasattr(importlib.import_module(".".join(parts[:-1])), parts[-1]), dotted


def test_every_name_beside_a_file_is_in_that_file() -> None:
    """CONTRIBUTING says: this file (`NAME`)."""
    found = re.findall(r"`([\w./]+\.py)` \([^()`]*`(\w+)`", TEXTS["CONTRIBUTING.md"])
    found += re.findall(r"raise `(\w+)` in `([\w./]+\.py)`", TEXTS["CONTRIBUTING.md"])
    pairs = {(a, b) if a.endswith(".py") else (b, a) for a, b in found}
    assert len(pairs) >= 6
    absent = {(path, name) for path, name in pairs if f"\n{name}" not in (ROOT / path).read_text()}
    assert absent == set()


def test_the_generated_sections_are_as_the_code_declares_them() -> None:
    """`make docs` would change nothing."""
    for path, text in write_docs.updated().items():
        assert path.read_text("utf-8") == text


def test_the_readme_lists_every_command() -> None:
    """Its table has the commands of `--help`, and no others."""
    table = set(re.findall(r"^\| `([a-z]+)[^`]*` \|", README, re.MULTILINE))
    listed = command.run("--help", environment={}).out.partition("\nOptions:")[0]
    assert table == set(re.findall(r"^  ([a-z]+)  +[A-Z]", listed, re.MULTILINE))


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_in_a_document_exists(name: str) -> None:
    """`vapi-sessions` is followed by a command of the README's table."""
    table = set(re.findall(r"^\| `([a-z]+)[^`]*` \|", README, re.MULTILINE))
    code = [*inline(TEXTS[name]), *(content for _, content in blocks("sh", name))]
    shown = {
        word for text in code for word in re.findall(r"vapi-sessions (?:--[a-z]+ )?([a-z]+)(?![a-z]*/)", text)
    }
    assert shown <= table


def test_every_option_in_a_document_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option that is named belongs to a command."""
    monkeypatch.setenv("COLUMNS", "300")  # else a long option is cut
    table = re.findall(r"^\| `([a-z]+)[^`]*` \|", README, re.MULTILINE)
    pages = [
        command.run(*arguments, environment={}).out
        for arguments in [("--help",), *((name, "--help") for name in table)]
    ]
    options = set(re.findall(r"--[a-z][a-z0-9-]+", "\n".join(pages)))
    assert len(options) > 60
    code = [word for text in TEXTS.values() for word in inline(text)]
    code += [content for _, content in blocks("sh")]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", "\n".join(code)))
    assert named - options - OTHERS_OPTIONS == set()


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    """The table in operations.md has all settings; no document names another variable."""
    settings = {f"VAPI_{field.upper()}" for field in Settings.model_fields}
    assert set(re.findall(r"^\| `(VAPI_\w+)` \|", OPERATIONS, re.MULTILINE)) == settings
    named = {word for text in TEXTS.values() for word in re.findall(r"\bVAPI_[A-Z_]*[A-Z]\b", text)}
    assert named <= settings


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes covers the tree of errors."""
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", OPERATIONS, re.MULTILINE)}

    def codes(kind: type[errors.VapiSessionsError]) -> set[int]:
        return {kind.exit_code}.union(*map(codes, kind.__subclasses__()))

    assert codes(errors.VapiSessionsError) <= documented


def test_every_dependency_is_explained() -> None:
    """Those of the default installation have a row each, those of the extras are named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    section = DESIGN.split("## Dependencies")[1]
    rows = {name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in inline(cell)}
    assert rows == {_name(one) for one in project["dependencies"]}
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    assert len(extras) == 6
    assert {_name(one) for one in extras} <= set(inline(section))


def _name(requirement: str) -> str:
    """The name of a requirement, without its versions."""
    found = re.match(r"[\w-]+", requirement)
    assert found is not None
    return found[0]


def test_the_locked_versions_of_the_notebook_are_those_of_the_tests() -> None:
    """The tests execute the notebook with the versions that a reader installs."""

    def pins(lock: str) -> set[str]:
        text = (ROOT / "requirements" / lock).read_text()
        return set(re.findall(r"^([\w.-]+==[^\s;]+)", text, re.MULTILINE))

    def names(found: set[str]) -> set[str]:
        return {pin.split("==")[0] for pin in found}

    notebook, development = pins("notebook.txt"), pins("development.txt")
    both = names(notebook) & names(development)
    assert "matplotlib" in both
    assert {pin for pin in notebook - development if pin.split("==")[0] in both} == set()


def test_no_file_names_an_index_or_a_path_of_a_machine() -> None:
    """Nothing in the repository ties it to the place where it is worked on."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    words = re.compile("pypi" + r"\.org|python" + r"hosted|/ho" + "me/|/wo" + "rk/")
    files = [Path(ROOT, name) for name in tracked]
    assert [path for path in files if path.is_file() and words.search(path.read_text(errors="replace"))] == []
