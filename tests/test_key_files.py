"""A key file must be private to its owner, and a process that needs no key gets none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from constants import KEY
from selection import first
from vapi_sessions.core import child
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import schedule_server
from vapi_sessions.settings import load_settings

OURS: Final = {
    "VAPI_API_KEY": KEY,
    "VAPI_API_KEY_FILE": "/run/secrets/key",
    "VAPI_PSEUDONYM_KEY": KEY,
    "VAPI_PSEUDONYM_KEY_FILE": "/run/secrets/pseudonyms",
    "vapi_api_key": KEY,  # settings are read in any case
}


@pytest.mark.parametrize("mode", first([0o644, 0o640, 0o604, 0o622, 0o660, 0o610, 0o444], 3))
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The error shows the mode and the remedy."""
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(mode)
    settings = load_settings(api_key_file=path)
    with pytest.raises(ConfigurationError, match=f"can be read by others \\(mode {mode:04o}\\)") as refused:
        settings.key()
    assert f"chmod 600 {path}" in refused.value.remedy
    assert "VAPI_API_KEY" in refused.value.remedy
    assert KEY not in str(refused.value)
    path.chmod(mode & 0o700)
    assert settings.key().get_secret_value() == KEY


def test_a_key_file_may_be_a_link_or_a_pipe(tmp_path: Path) -> None:
    """Mounted secrets are links; a shell's `<(…)` is a pipe."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o400)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert load_settings(api_key_file=tmp_path / "link").key().get_secret_value() == KEY
    reads, writes = os.pipe()
    os.write(writes, KEY.encode())
    os.close(writes)
    assert load_settings(api_key_file=f"/dev/fd/{reads}").key().get_secret_value() == KEY
    os.close(reads)


def test_a_key_file_may_be_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mode is 0440, but only in the directory that systemd gives the service, and never more than that."""
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o440)
    settings = load_settings(api_key_file=path)
    for directory in ("", str(tmp_path.parent)):
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
        with pytest.raises(ConfigurationError, match="mode 0440"):
            settings.key()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert settings.key().get_secret_value() == KEY
    path.chmod(0o444)
    with pytest.raises(ConfigurationError, match="mode 0444"):
        settings.key()


class _StartedError(Exception):
    """Raised instead of starting a server."""


def test_the_prefect_server_gets_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key nor the name of a key file. Other variables stay."""
    given: dict[str, str] = {}

    def start(module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        given.update(environment)
        raise _StartedError

    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_HOME", "/somewhere")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(child, "start", start)
    with pytest.raises(_StartedError), schedule_server.server(lambda text: None):
        pass
    assert [name for name in given if name.lower().startswith("vapi_")] == []
    assert KEY not in given.values()
    assert given["PREFECT_HOME"] == "/somewhere"
    assert given["PREFECT_API_URL"].startswith("http://127.0.0.1:")
    assert os.environ["VAPI_API_KEY"] == KEY  # the runs need it
