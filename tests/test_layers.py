"""Imports point downwards: `cli, flows → operations | report → source | warehouse → settings → privacy | transform → core`."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

import vapi_emulator
import vapi_sessions

EXPORTER: Final = "vapi_sessions"
EMULATOR: Final = "vapi_emulator"

#: Packages, and modules beside them, from the lowest floor up. Those on one floor do not import each other.
FLOORS: Final = (
    {"errors"},
    {"core"},
    {"schema"},
    {"privacy", "transform"},
    {"settings"},
    {"source", "warehouse"},
    {"operations", "report"},
    {"cli"},
    {"__main__"},
)
#: What performs input or output. `privacy` and `transform` do none.
IO: Final = (
    "asyncio",
    "http",
    "io",
    "os",
    "pathlib",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "urllib.request",
)
#: Lines of a module that can be read in a sitting.
MOST_LINES: Final = 400


def _files(package: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES: Final = {
    **_files(Path(vapi_sessions.__file__).parent),
    **_files(Path(vapi_emulator.__file__).parent),
}


def _below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements, those inside functions too, but none that only a type checker follows."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from _statements(child)


def _imports(name: str) -> set[str]:
    """What a module imports, each by its full name; of our own, the modules."""
    found = set()
    for statement in _statements(ast.parse(FILES[name].read_text())):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            assert statement.level == 0, f"{name} imports relatively"
            assert statement.module is not None
            inner = {f"{statement.module}.{alias.name}" for alias in statement.names}
            modules = inner & FILES.keys()
            found |= modules
            if inner - modules:
                found.add(statement.module)
    return found


@functools.cache
def _every_import() -> dict[str, set[str]]:
    """What each module imports. Not while tests are collected, because every process does that."""
    return {name: _imports(name) for name in FILES}


def _package(name: str) -> str:
    """The package of a module of the exporter: `warehouse` for `vapi_sessions.warehouse.raw`."""
    return name.split(".")[1] if "." in name else ""


def _floor(name: str) -> int:
    return next(number for number, packages in enumerate(FLOORS) if _package(name) in packages)


def _importing(package: str) -> set[str]:
    return {
        name for name, imported in _every_import().items() if any(_below(one, package) for one in imported)
    }


def test_all_modules_are_looked_at() -> None:
    """Every package has modules, and imports between them are seen."""
    assert {_package(name) for name in FILES if _below(name, EXPORTER)} - {""} == set().union(*FLOORS)
    assert f"{EXPORTER}.warehouse.index" in _every_import()[f"{EXPORTER}.operations.sync"]
    assert f"{EMULATOR}.store" in FILES


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(EXPORTER + ".")])
def test_imports_point_downwards(name: str) -> None:
    """Everything a module imports of other packages is on a lower floor; of the root it takes the version alone."""
    ours = {
        one
        for one in _every_import()[name]
        if one.startswith(EXPORTER + ".") and _package(one) != _package(name)
    }
    assert {one for one in ours if _floor(one) >= _floor(name)} == set()


def test_no_modules_import_each_other() -> None:
    """The modules can be put in an order in which each imports only those before it."""
    graph = {name: _every_import()[name] & FILES.keys() - {name} for name in FILES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        pytest.fail(" ← ".join(cycle.args[1]))


def test_prefect_is_only_behind_the_schedule() -> None:
    """The flows are outside of the package."""
    importing = _importing("prefect")
    assert importing
    assert {name for name in importing if not name.startswith(f"{EXPORTER}.operations.schedule_")} == set()


@pytest.mark.parametrize(("library", "package"), [("duckdb", "warehouse"), ("httpx", "source")])
def test_a_library_is_known_to_one_package(library: str, package: str) -> None:
    """SQL is spoken in `warehouse`, HTTP in `source`."""
    importing = _importing(library)
    assert importing
    assert {_package(name) for name in importing if _below(name, EXPORTER)} == {package}


@pytest.mark.parametrize("name", [name for name in FILES if _package(name) in ("privacy", "transform")])
def test_privacy_and_transform_do_no_io(name: str) -> None:
    """They get data and return data."""
    assert {one for one in _every_import()[name] if any(_below(one, module) for module in IO)} == set()
    calls = [node for node in ast.walk(ast.parse(FILES[name].read_text())) if isinstance(node, ast.Call)]
    assert not any(
        isinstance(call.func, ast.Name) and call.func.id in ("open", "print", "input") for call in calls
    )


def test_only_the_command_line_imports_the_emulator() -> None:
    """The exporter does not know what stands in for the source."""
    importing = {name for name in _importing(EMULATOR) if not _below(name, EMULATOR)}
    assert {_package(name) for name in importing} == {"cli"}


def test_the_emulator_imports_nothing_of_the_exporter() -> None:
    """If both read a rule in one place, a mistake in it would not show."""
    assert {name for name in _importing(EXPORTER) if _below(name, EMULATOR)} == set()


@pytest.mark.parametrize(
    "name", ["operations.window_buffer", "warehouse.staging", "warehouse.derive", "warehouse.raw"]
)
def test_the_unit_of_work_needs_no_index(name: str) -> None:
    """What reads a window and stores it runs where there is no database."""
    reached, todo = set(), [f"{EXPORTER}.{name}"]
    while todo:
        imported = _every_import().get(todo.pop(), set()) - reached - {EXPORTER}
        reached |= imported
        todo += imported
    above = ("warehouse.index", "warehouse.snapshots", "operations.coordinator", "operations.sync")
    assert reached & {f"{EXPORTER}.{one}" for one in above} == set()


def test_no_module_is_too_long() -> None:
    """Each can be read in a sitting."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_two_modules_or_public_classes_have_one_name() -> None:
    """A name says which one is meant, wherever it stands."""
    places = defaultdict(set)
    for name, path in FILES.items():
        if not path.name.startswith("__"):
            places[path.stem].add(name)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
