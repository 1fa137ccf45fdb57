"""Settings: where they come from, what is refused, and what an error may show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, SECOND, parse
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.settings import MAX_PAGE_SIZE, Settings, load_settings

KEY = "the-private-key"
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"VAPI_{name.upper()}", raising=False)


def refusal(**given: Any) -> ConfigurationError:
    """The error for these settings."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**given)
    assert caught.value.exit_code == 2
    return caught.value


# -- where settings come from ------------------------------------------------------------------------------------------


def test_defaults() -> None:
    """Without any setting: the public address, a warehouse here, pages as large as allowed."""
    settings = load_settings()
    assert (settings.base_url, settings.warehouse) == ("https://api.vapi.ai", Path.cwd() / "warehouse")
    assert (settings.settle, settings.lookback) == (MINUTE, 15 * MINUTE)
    assert (settings.page_size, settings.full, settings.since, settings.until) == (1000, False, None, None)


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field has a variable."""
    monkeypatch.setenv("VAPI_SETTLE", "2m")
    monkeypatch.setenv("VAPI_SINCE", "2026-01-31")
    monkeypatch.setenv("VAPI_CONCURRENCY", "3")
    monkeypatch.setenv("VAPI_WAREHOUSE", "elsewhere")
    settings = load_settings()
    assert (settings.settle, settings.since) == (2 * MINUTE, parse("2026-01-31"))
    assert (settings.concurrency, settings.warehouse) == (3, Path.cwd() / "elsewhere")


def test_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the environment; None means not given."""
    monkeypatch.setenv("VAPI_CONCURRENCY", "3")
    monkeypatch.setenv("VAPI_PAGE_SIZE", "7")
    settings = load_settings(concurrency=5, page_size=None)
    assert (settings.concurrency, settings.page_size) == (5, 7)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`VAPI_SINCE=` in a file of settings means nothing."""
    monkeypatch.setenv("VAPI_SINCE", "")
    assert load_settings().since is None


def test_settings_are_frozen() -> None:
    """Nothing changes them after the edge."""
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.full = True


@pytest.mark.parametrize(("text", "expected"), [("90", 90 * SECOND), ("48h", 48 * HOUR), ("7d", 7 * DAY)])
def test_durations_are_written_as_people_write_them(text: str, expected: int) -> None:
    """Microseconds inside."""
    assert load_settings(lookback=text).lookback == expected


@pytest.mark.parametrize(
    "url", ["https://api.eu.vapi.ai/", "https://api.eu.vapi.ai", "https://api.eu.vapi.ai//"]
)
def test_the_address_ends_without_a_slash(url: str) -> None:
    """Paths are put behind it."""
    assert load_settings(base_url=url).base_url == "https://api.eu.vapi.ai"


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"concurrency": 0}, "--concurrency: Input should be greater than or equal to 1 (given: 0)"),
        ({"concurrency": 65}, "--concurrency: Input should be less than or equal to 64 (given: 65)"),
        ({"page_size": 0}, "--page-size: Input should be greater than or equal to 1"),
        ({"page_size": MAX_PAGE_SIZE + 1}, "--page-size: Input should be less than or equal to 1000"),
        ({"settle": "soon"}, "--settle: 'soon' is not a duration such as 90s"),
        ({"lookback": "-5m"}, "--lookback: '-5m' is not a duration"),
        ({"lookback": -5}, "--lookback: Input should be greater than or equal to 0 (given: -5)"),
        ({"since": "yesterday"}, "--since: 'yesterday' is not a date; write 2026-01-31"),
        ({"until": "2026-02-30"}, "--until: '2026-02-30' is not a date"),
        ({"base_url": "api.vapi.ai"}, "--base-url: 'api.vapi.ai' is not an address"),
        ({"base_url": "ftp://api.vapi.ai"}, "--base-url: 'ftp://api.vapi.ai' is not an address"),
        ({"base_url": "https://"}, "--base-url: 'https://' is not an address"),
        ({"base_url": "https://user@api.vapi.ai"}, "--base-url: the base URL carries a user"),
        ({"base_url": "https://api.vapi.ai?a=b"}, "--base-url: the base URL carries a user"),
        ({"base_url": "https://api.vapi.ai#a"}, "--base-url: the base URL carries a user"),
        ({"colour": "red"}, "--colour: Extra inputs are not permitted"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_told_by_its_option(given: dict[str, Any], fact: str) -> None:
    """The option, the value and what it should be; where to read on."""
    error = refusal(**given)
    assert fact in error.fact
    assert "--help" in error.remedy


@pytest.mark.parametrize("until", ["2026-01-01", "2026-01-31"])
def test_since_must_lie_before_until(until: str) -> None:
    """Otherwise there is nothing between."""
    error = refusal(since="2026-01-31", until=until)
    assert "--since 2026-01-31T00:00:00.000Z does not lie before --until" in error.fact


def test_an_absurd_duration_is_refused_like_any_other() -> None:
    """A number too large for arithmetic is no bug of ours."""
    assert "--lookback" in refusal(lookback="9" * 400 + "d").fact


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@api.vapi.ai",
        f"https://api.vapi.ai?token={SECRET}",
        f"ftp://user:{SECRET}@api.vapi.ai",
    ],
    ids=["user info", "query", "another scheme"],
)
def test_a_password_in_the_address_is_not_shown(url: str) -> None:
    """It is refused because it carries a secret: the message must not carry it on."""
    assert SECRET not in str(refusal(base_url=url))


# -- the key -----------------------------------------------------------------------------------------------------------


def test_the_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """White space around it was an accident."""
    monkeypatch.setenv("VAPI_API_KEY", f"  {KEY}\n")
    assert load_settings().key().get_secret_value() == KEY


def test_the_key_from_a_file(tmp_path: Path) -> None:
    """The same there."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    assert load_settings(api_key_file=file).key().get_secret_value() == KEY


def test_the_environment_before_the_file(tmp_path: Path) -> None:
    """If both are given the file is not looked at."""
    settings = load_settings(api_key=KEY, api_key_file=tmp_path / "missing")
    assert settings.key().get_secret_value() == KEY


def test_no_key() -> None:
    """Where to put one, and what works without."""
    with pytest.raises(ConfigurationError, match="No API key") as caught:
        load_settings().key()
    assert "VAPI_API_KEY" in caught.value.remedy
    assert "demo" in caught.value.remedy


@pytest.mark.parametrize("content", ["", " \n\t"])
def test_an_empty_key_file(tmp_path: Path, content: str) -> None:
    """Holds no key."""
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="No API key"):
        load_settings(api_key_file=file).key()


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigurationError, match=r"key-file cannot be read: No such file"):
        load_settings(api_key_file=tmp_path / "key-file").key()


def test_a_key_file_that_is_no_text(tmp_path: Path) -> None:
    """And does not show its bytes."""
    file = tmp_path / "key-file"
    file.write_bytes(b"\xff\xfe\x00secret")
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="cannot be read: not a text file") as caught:
        load_settings(api_key_file=file).key()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "tab\there", "null\0"])
def test_a_key_with_characters_that_no_key_has(key: str) -> None:
    """It would be refused later, or break a header; the message does not show it."""
    with pytest.raises(ConfigurationError, match="characters that no key has") as caught:
        load_settings(api_key=key).key()
    assert key not in str(caught.value)


def test_the_key_is_in_no_repr_and_no_error() -> None:
    """Settings are shown and refused without it."""
    assert KEY not in repr(load_settings(api_key=KEY))
    assert KEY not in str(load_settings(api_key=KEY))
    assert KEY not in str(refusal(api_key=KEY, concurrency=0))
    assert KEY not in str(refusal(api_key=[KEY]))
