"""Which directory a path means, and which paths are refused: in one place, for every command, flow and `connect()`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import duckdb
import pytest

import vapi_sessions
from vapi_sessions.cli import app
from vapi_sessions.core.paths import literal, pattern, warehouse_root
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.settings import load_settings
from vapi_sessions.warehouse.layout import Layout


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, empty, with a home beside it."""
    working, home = tmp_path / "work", tmp_path / "home"
    for directory in (working, home):
        directory.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.setenv("HOME", str(home))
    return working


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("wh", "work/wh"),
        ("./wh/../wh/", "work/wh"),
        ("~/wh", "home/wh"),
        ("~", "home"),
        ("./~/wh", "work/~/wh"),
        ("acme:prod", "work/acme:prod"),
        ("s3:", "work/s3:"),
        ("md:x", "work/md:x"),
        (":memory:", "work/:memory:"),
        ("$HOME/%20{a,b} [x]*", "work/$HOME/%20{a,b} [x]*"),
        ("-", "work/-"),
        ("..", ""),
    ],
)
def test_which_directory_is_meant(here: Path, given: str, meant: str) -> None:
    """Absolute, with `~` expanded and nothing else; the same for settings, layouts and what was meant already."""
    root = here.parent / meant
    assert warehouse_root(given) == warehouse_root(root) == root
    assert load_settings(warehouse=given).warehouse == Layout(root).root == root
    if not given.startswith("./"):  # which a Path is without
        assert warehouse_root(Path(given)) == Layout(Path(given)).root == root
    assert list(here.iterdir()) == []


def test_a_link_is_followed_once(here: Path) -> None:
    """What a link points to later does not move a warehouse that is open."""
    (here / "old").mkdir()
    (here / "current").symlink_to("old")
    assert warehouse_root("current/wh") == here / "old" / "wh"


def test_the_default_is_below_the_working_directory_of_the_start(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changes directory afterwards changes no setting."""
    settings = load_settings()
    monkeypatch.chdir("/")
    assert settings.warehouse == here / "warehouse"


REFUSED = {
    "": "is empty",
    "wh?t": "URL's parameters",
    "a\\b": "reads '.' as a separator",
    "a\0b": "NUL",
    "not\udcffutf8": r"not\\udcffutf8: the name is not UTF-8",
    "s3://bucket/wh": "is a URL",
    "file:///srv/wh": "is a URL",
    "~nobody-of-that-name/wh": "No home directory is known for ~nobody-of-that-name",
    "x" * 300: "too long",
    "/".join(["y" * 200] * 21): "too long",
}


@pytest.mark.parametrize(("given", "why"), REFUSED.items(), ids=lambda text: ascii(text)[:30])
def test_what_cannot_work_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, given: str, why: str
) -> None:
    """With exit code 2 and one line that can be printed anywhere, before anything is made; by each way that leads to a warehouse."""
    ways = [lambda: load_settings(warehouse=given), lambda: vapi_sessions.connect(given)]
    if given and "\0" not in given:  # an empty variable means none, and none can hold a NUL
        monkeypatch.setenv("VAPI_WAREHOUSE", given)
        ways += [
            lambda: load_settings(),
            vapi_sessions.connect,
            lambda: Layout(Path(given.replace("//", "/"))),
        ]
    for way in ways[: 4 if "//" in given else None]:
        with pytest.raises(ConfigurationError, match=why) as told:
            way()
        assert told.value.exit_code == 2
        assert told.value.remedy
        assert str(told.value.fact).isprintable()
        assert len(told.value.fact) < 4_500
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["sync", "--warehouse", ""], "is empty"),
        (["--warehouse", "", "sql", "FROM sessions"], "is empty"),
        (["status", "--warehouse", "s3://bucket/wh"], "is a URL"),
        (["demo", "--dir", "wh?t"], "URL's parameters"),
        (["demo", "--dir", ""], "is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_the_command_line_says_so(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    what: str,
) -> None:
    """Exit code 2; an empty option is not taken for none, which would be another warehouse."""
    monkeypatch.setattr(sys, "argv", ["vapi-sessions", *arguments])
    with pytest.raises(SystemExit) as end:
        app.main()
    assert end.value.code == 2
    assert re.search(what, capsys.readouterr().err)
    assert list(here.iterdir()) == []


def test_a_working_directory_that_was_removed_is_told(here: Path) -> None:
    """A relative path has no meaning there; an absolute one has."""
    (here / "gone").mkdir()
    os.chdir("gone")
    (here / "gone").rmdir()
    with pytest.raises(ConfigurationError, match="working directory that was removed"):
        warehouse_root("wh")
    assert warehouse_root("/srv/wh") == Path("/srv/wh")


def test_a_key_file_is_found_at_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron expands `~` in no variable, whatever it names."""
    key = here.parent / "home" / "key"
    key.write_text("a-key\n")
    key.chmod(0o600)
    monkeypatch.setenv("VAPI_API_KEY_FILE", "~/key")
    assert load_settings().key().get_secret_value() == "a-key"


@pytest.mark.parametrize(
    "name", ["data*", "wh?t", "[prod]", "[[]", "**", "[!a]", "]", "{a,b}", "it's", "100%"]
)
def test_a_pattern_matches_its_own_path_alone(tmp_path: Path, name: str) -> None:
    """Beside directories that the name would match as a pattern."""
    with duckdb.connect() as db:
        for n, directory in enumerate((name, "data two", "what", "p", "[", "b", "deep/er", "a"), 1):
            (tmp_path / directory).mkdir(parents=True)
            db.execute(f"COPY (SELECT {n} AS n) TO {literal(tmp_path / directory / 'x.parquet')}")
        for files in (f"{pattern(tmp_path / name)}/*.parquet", pattern(tmp_path / name / "x.parquet")):
            assert db.execute("FROM read_parquet(?)", [[files]]).fetchall() == [(1,)]
            assert db.execute(f"FROM read_parquet({literal(files)})").fetchall() == [(1,)]
