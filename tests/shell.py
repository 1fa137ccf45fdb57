"""The command line in this process, with the given file descriptors as its streams."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import vapi_sessions
from vapi_emulator.server import EmulatorServer
from vapi_sessions import __main__ as entry


@dataclass
class Shell:
    """Runs commands in this process, on given streams."""

    source: EmulatorServer
    warehouse: Path
    monkeypatch: pytest.MonkeyPatch

    def environment(self) -> dict[str, str]:
        """The variables of a command."""
        return {
            "VAPI_API_KEY": self.source.key,
            "VAPI_BASE_URL": self.source.url,
            "VAPI_WAREHOUSE": str(self.warehouse),
            "VAPI_SETTLE": "0s",
        }

    def run(self, *arguments: str, out: int, err: int, encoding: str = "utf-8") -> int:
        """The exit code of a command with these descriptors as stdout and stderr."""
        with (
            self.monkeypatch.context() as patch,
            open(out, "w", encoding=encoding, closefd=False) as stdout,  # a descriptor
            open(err, "w", encoding=encoding, closefd=False) as stderr,
        ):
            for name, stream in (("stdout", stdout), ("stderr", stderr)):
                patch.setattr(sys, name, stream)
                patch.setattr(sys, f"__{name}__", stream)
            for name, value in self.environment().items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["vapi-sessions", *arguments])
            with pytest.raises(SystemExit) as ended:
                entry.main()
            sys.stdout.flush()  # as the interpreter does at exit
            sys.stderr.flush()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def capture(self, *arguments: str, encoding: str, tmp_path: Path) -> tuple[int, str, str]:
        """Run a command with files as streams: exit code, stdout, stderr."""
        out, err = tmp_path / "out", tmp_path / "err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            code = self.run(*arguments, out=stdout.fileno(), err=stderr.fileno(), encoding=encoding)
        return code, out.read_text(encoding), err.read_text(encoding)

    def listed(self) -> int:
        """How many sessions the source has for the key."""
        return self.source.store.count(self.source.org_id)

    def sessions(self) -> int:
        """How many sessions are published."""
        with vapi_sessions.connect(self.warehouse) as db:
            ((count,),) = db.execute("SELECT count(*) FROM sessions").fetchall()
        return int(count)
