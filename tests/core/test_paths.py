"""Which directory a path means, and which paths are refused, by every command, flow and `connect()`."""

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
    """The empty working directory, with a home directory beside it."""
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
def test_a_path_becomes_absolute(here: Path, given: str, meant: str) -> None:
    """Only `~` is expanded. Settings and layouts agree, and an absolute path stays the same."""
    root = here.parent / meant
    assert warehouse_root(given) == warehouse_root(root) == root
    assert load_settings(warehouse=given).warehouse == Layout(root).root == root
    if not given.startswith("./"):  # Path removes it
        assert warehouse_root(Path(given)) == Layout(Path(given)).root == root
    assert list(here.iterdir()) == []


def test_a_link_is_resolved_once(here: Path) -> None:
    """A link that changes later does not move an open warehouse."""
    (here / "old").mkdir()
    (here / "current").symlink_to("old")
    assert warehouse_root("current/wh") == here / "old" / "wh"


def test_the_default_is_below_the_initial_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing the directory later does not change the setting."""
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
def test_an_impossible_path_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, given: str, why: str
) -> None:
    """Everywhere that a warehouse is opened, with a printable message on one line, and before anything is created."""
    ways = [lambda: load_settings(warehouse=given), lambda: vapi_sessions.connect(given)]
    if given and "\0" not in given:  # an empty variable counts as unset, and no variable can contain a NUL
        monkeypatch.setenv("VAPI_WAREHOUSE", given)
        ways += [
            lambda: load_settings(),
            vapi_sessions.connect,
            lambda: Layout(Path(given.replace("//", "/"))),
        ]
    for way in ways[: 4 if "//" in given else None]:
        with pytest.raises(ConfigurationError, match=why) as caught:
            way()
        assert caught.value.exit_code == 2
        assert caught.value.remedy
        assert str(caught.value.fact).isprintable()
        assert len(caught.value.fact) < 4_500
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
def test_the_command_line_refuses_an_impossible_path(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    what: str,
) -> None:
    """Exit code 2. An empty option is not ignored, because the default is another warehouse."""
    monkeypatch.setattr(sys, "argv", ["vapi-sessions", *arguments])
    with pytest.raises(SystemExit) as end:
        app.main()
    assert end.value.code == 2
    assert re.search(what, capsys.readouterr().err)
    assert list(here.iterdir()) == []


def test_a_removed_working_directory_is_an_error_for_relative_paths(here: Path) -> None:
    """Absolute paths work."""
    (here / "gone").mkdir()
    os.chdir("gone")
    (here / "gone").rmdir()
    with pytest.raises(ConfigurationError, match="working directory that was removed"):
        warehouse_root("wh")
    assert warehouse_root("/srv/wh") == Path("/srv/wh")


def test_the_path_of_a_key_file_may_begin_with_a_tilde(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron does not expand `~` in variables."""
    key = here.parent / "home" / "key"
    key.write_text("a-key\n")
    key.chmod(0o600)
    monkeypatch.setenv("VAPI_API_KEY_FILE", "~/key")
    assert load_settings().key().get_secret_value() == "a-key"


@pytest.mark.parametrize(
    "name", ["data*", "wh?t", "[prod]", "[[]", "**", "[!a]", "]", "{a,b}", "it's", "100%"]
)
def test_a_pattern_matches_only_its_own_path(tmp_path: Path, name: str) -> None:
    """There are other directories that the name would match as a pattern."""
    with duckdb.connect() as db:
        for n, directory in enumerate((name, "data two", "what", "p", "[", "b", "deep/er", "a"), 1):
            (tmp_path / directory).mkdir(parents=True)
            db.execute(f"COPY (SELECT {n} AS n) TO {literal(tmp_path / directory / 'x.parquet')}")
        for files in (f"{pattern(tmp_path / name)}/*.parquet", pattern(tmp_path / name / "x.parquet")):
            assert db.execute("FROM read_parquet(?)", [[files]]).fetchall() == [(1,)]
            assert db.execute(f"FROM read_parquet({literal(files)})").fetchall() == [(1,)]
