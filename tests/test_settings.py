"""Settings: their sources, the refused values, and errors that show no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vapi_sessions.cli.options import EXPORTERS
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


def test_the_defaults() -> None:
    """Without any setting: the public address, a warehouse here, pages as large as allowed."""
    settings = load_settings()
    assert (settings.base_url, settings.warehouse) == ("https://api.vapi.ai", Path.cwd() / "warehouse")
    assert (settings.settle, settings.lookback) == (MINUTE, 15 * MINUTE)
    assert (settings.page_size, settings.full, settings.since, settings.until) == (1000, False, None, None)


def test_every_field_has_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAPI_SETTLE", "2m")
    monkeypatch.setenv("VAPI_SINCE", "2026-01-31")
    monkeypatch.setenv("VAPI_CONCURRENCY", "3")
    monkeypatch.setenv("VAPI_WAREHOUSE", "elsewhere")
    settings = load_settings()
    assert (settings.settle, settings.since) == (2 * MINUTE, parse("2026-01-31"))
    assert (settings.concurrency, settings.warehouse) == (3, Path.cwd() / "elsewhere")


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument that is None counts as not given."""
    monkeypatch.setenv("VAPI_CONCURRENCY", "3")
    monkeypatch.setenv("VAPI_PAGE_SIZE", "7")
    settings = load_settings(concurrency=5, page_size=None)
    assert (settings.concurrency, settings.page_size) == (5, 7)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`VAPI_SINCE=` in an environment file."""
    monkeypatch.setenv("VAPI_SINCE", "")
    assert load_settings().since is None


def test_a_setting_that_is_not_used_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the command that uses it refuses a wrong value."""
    for name, value in {
        "TIME_ZONE": "nonsense",
        "PHONE_REGION": "zz",
        "SINCE": "later",
        "PAGE_SIZE": "0",
    }.items():
        monkeypatch.setenv(f"VAPI_{name}", value)
    monkeypatch.setenv("VAPI_WAREHOUSE", "elsewhere")
    settings = load_settings({"warehouse"})
    assert (settings.warehouse, settings.time_zone) == (Path.cwd() / "elsewhere", None)
    assert load_settings({"warehouse"}, page_size=7).page_size == 7
    assert "VAPI_PHONE_REGION" in refusal(uses=EXPORTERS).fact


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.full = True


@pytest.mark.parametrize(("text", "expected"), [("90", 90 * SECOND), ("48h", 48 * HOUR), ("7d", 7 * DAY)])
def test_durations_have_units(text: str, expected: int) -> None:
    """They become microseconds."""
    assert load_settings(lookback=text).lookback == expected


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", " Asia/Kolkata\n", "America/Argentina/Ushuaia"])
def test_a_time_zone_is_a_name_of_the_time_zone_database(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """White space around it is removed. Without the setting there is none: the warehouse has one."""
    assert load_settings().time_zone is None
    monkeypatch.setenv("VAPI_TIME_ZONE", zone)
    assert load_settings().time_zone == zone.strip()


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus_Mons", "America", "../UTC", "/etc/passwd", "It's", "a\0", "é", "z" * 300]
)
def test_another_time_zone_is_refused(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """The error names the option or the variable, and an example."""
    error = refusal(time_zone=zone)
    assert error.fact.startswith("--time-zone: ")
    assert "is not a time zone that this machine knows, such as Europe/Berlin" in error.fact
    if "\0" not in zone:
        monkeypatch.setenv("VAPI_TIME_ZONE", zone)
        assert "Correct VAPI_TIME_ZONE" in refusal().remedy


@pytest.mark.parametrize(
    "url", ["https://api.eu.vapi.ai/", "https://api.eu.vapi.ai", "https://api.eu.vapi.ai//"]
)
def test_the_base_url_has_no_trailing_slash(url: str) -> None:
    """Paths are appended to it."""
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
        ({"base_url": "https://user@api.vapi.ai"}, "--base-url: the base URL contains a user"),
        ({"base_url": "https://api.vapi.ai?a=b"}, "--base-url: the base URL contains a user"),
        ({"base_url": "https://api.vapi.ai#a"}, "--base-url: the base URL contains a user"),
        ({"colour": "red"}, "--colour: Extra inputs are not permitted"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_invalid_value_names_its_option(given: dict[str, Any], fact: str) -> None:
    """The error gives the option, the value, the rule, and where to read more."""
    error = refusal(**given)
    assert fact in error.fact
    assert "--help" in error.remedy


def test_the_metrics_file_is_an_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scheduled run may have another working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAPI_METRICS_FILE", "here.prom")
    assert load_settings().metrics_file == tmp_path / "here.prom"


def test_a_metrics_file_that_the_collector_would_not_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """node_exporter reads only names that end in .prom."""
    monkeypatch.setenv("VAPI_METRICS_FILE", "/tmp/vapi.txt")  # noqa: S108  # it is not written
    with pytest.raises(ConfigurationError, match=r"VAPI_METRICS_FILE: .* does not end in \.prom"):
        load_settings()


@pytest.mark.parametrize("until", ["2026-01-01", "2026-01-31"])
def test_since_must_be_before_until(until: str) -> None:
    error = refusal(since="2026-01-31", until=until)
    assert "--since 2026-01-31T00:00:00.000Z is not before --until" in error.fact


def test_a_huge_duration_is_refused() -> None:
    """It is too large a number for arithmetic."""
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
def test_a_password_in_the_base_url_is_not_shown(url: str) -> None:
    """The error must not contain the secret for which the address is refused."""
    assert SECRET not in str(refusal(base_url=url))


# -- the key -----------------------------------------------------------------------------------------------------------


def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """White space around it is removed."""
    monkeypatch.setenv("VAPI_API_KEY", f"  {KEY}\n")
    assert load_settings().key().get_secret_value() == KEY


def test_the_key_is_read_from_a_file(tmp_path: Path) -> None:
    """White space around it is removed."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    assert load_settings(api_key_file=file).key().get_secret_value() == KEY


def test_the_key_in_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """The file is not read."""
    settings = load_settings(api_key=KEY, api_key_file=tmp_path / "missing")
    assert settings.key().get_secret_value() == KEY


def test_a_missing_key_is_an_error() -> None:
    """The remedy names the variable, and the demo that needs no key."""
    with pytest.raises(ConfigurationError, match="No API key") as caught:
        load_settings().key()
    assert "VAPI_API_KEY" in caught.value.remedy
    assert "demo" in caught.value.remedy


@pytest.mark.parametrize("content", ["", " \n\t"])
def test_an_empty_key_file_has_no_key(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="No API key"):
        load_settings(api_key_file=file).key()


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"key-file cannot be read: No such file"):
        load_settings(api_key_file=tmp_path / "key-file").key()


def test_a_binary_key_file_is_an_error(tmp_path: Path) -> None:
    """The message does not show its bytes."""
    file = tmp_path / "key-file"
    file.write_bytes(b"\xff\xfe\x00secret")
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="cannot be read: not a text file") as caught:
        load_settings(api_key_file=file).key()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "tab\there", "null\0"])
def test_a_key_with_impossible_characters_is_refused(key: str) -> None:
    """It would be refused later, or break a header; the message does not show it."""
    with pytest.raises(
        ConfigurationError, match="contains a space, a line break or a non-ASCII character"
    ) as caught:
        load_settings(api_key=key).key()
    assert key not in str(caught.value)


def test_no_repr_and_no_error_shows_the_key() -> None:
    assert KEY not in repr(load_settings(api_key=KEY))
    assert KEY not in str(load_settings(api_key=KEY))
    assert KEY not in str(refusal(api_key=KEY, concurrency=0))
    assert KEY not in str(refusal(api_key=[KEY]))


@pytest.mark.parametrize(
    ("given", "hours"), [("1", 1.0), ("0.5", 0.5), ("90m", 1.5), ("7d", 168.0), (" 36 ", 36.0)]
)
def test_a_number_of_hours_or_a_duration(monkeypatch: pytest.MonkeyPatch, given: str, hours: float) -> None:
    """How long snapshots are kept."""
    monkeypatch.setenv("VAPI_KEEP_HOURS", given)
    assert load_settings().keep_hours == hours * HOUR


@pytest.mark.parametrize(
    ("variable", "given"),
    [("VAPI_KEEP_HOURS", "soon"), ("VAPI_KEEP_HOURS", "-1"), ("VAPI_KEEP_SNAPSHOTS", "0")],
)
def test_what_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, given: str) -> None:
    """The message names the variable."""
    monkeypatch.setenv(variable, given)
    with pytest.raises(ConfigurationError, match=variable):
        load_settings()
