"""What strangers type first: mistakes are named, with the word that was meant."""

from __future__ import annotations

import pytest

import command

#: What is typed, the error, and whose help is named.
MISTAKES = [
    ("snyc", "No such command 'snyc'. Did you mean 'sync'?", ""),
    ("help snyc", "No such command 'snyc'. Did you mean 'sync'?", ""),
    ("--versoin", "No such option: --versoin. Did you mean --verbose, --version?", ""),
    ("-x", "No such option: -x.", ""),
    ("--debug", "Missing command.", ""),
    ("--warehouse", "--warehouse needs a value.", ""),
    ("sync --looback 3m", "No such option: --looback. Did you mean --lookback?", "sync"),
    ("sync --lookback", "--lookback needs a value.", "sync"),
    ("sync extra", "Unexpected argument: extra.", "sync"),
    ("sync --concurrency many", "--concurrency: it must be a whole number.", "sync"),
    ("demo --days 0", "--days: it must be greater than or equal to 1.", "demo"),
    ("emulate --days many", "--days: it must be a number.", "emulate"),
    ("emulate --ties loose", "--ties: 'loose' is not one of 'stable', 'shuffled'.", "emulate"),
]


@pytest.mark.parametrize(("typed", "fact", "of"), MISTAKES)
def test_a_mistake_is_named(typed: str, fact: str, of: str) -> None:
    """One line says what is wrong, one where to look."""
    ran = command.run(*typed.split(), environment={})
    see = f"See vapi-sessions {of} --help." if of else "See vapi-sessions --help."
    assert (ran.code, ran.out, ran.err.splitlines()) == (2, "", [f"error: {fact}", see])


@pytest.mark.parametrize("value", ["soon", "-5m", "1h30", "99999999999d"])
def test_an_invalid_duration_names_its_option_with_an_example(value: str) -> None:
    """Also one that another command takes."""
    for name, option in (("sync", "--settle"), ("status", "--max-age"), ("schedule", "--every")):
        ran = command.run(name, option, value, environment={"VAPI_API_KEY": "k"})
        assert ran.code == 2
        assert ran.err.startswith(f"error: {option}: '{value}' is ")
        assert "7d" in ran.err or "36500d" in ran.err
        assert f"See vapi-sessions {name} --help for {option}." in ran.err


@pytest.mark.parametrize("typed", ["-h", "help", "sync -h", "help sync"])
def test_help_has_several_names(typed: str) -> None:
    """The same page as with --help."""
    ran = command.run(*typed.split(), environment={})
    words = [word for word in typed.split() if word not in ("-h", "help")]
    assert ran == command.run(*words, "--help", environment={})


def test_without_a_command_the_page_is_shown_with_the_code_of_a_mistake() -> None:
    """A script that forgot it must not go on."""
    ran = command.run(environment={})
    assert (ran.code, ran.err) == (2, "")
    assert ran.out == command.run("--help", environment={}).out


def test_the_version_has_a_short_option() -> None:
    assert command.run("-V", environment={}) == command.run("--version", environment={})
