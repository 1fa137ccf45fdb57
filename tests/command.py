"""The command line, called in this process, because a process of its own takes most of a second to start."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from vapi_sessions.cli import app, streams
from vapi_sessions.core import faultpoints

COMMAND: Final = str(Path(sys.executable).with_name("vapi-sessions"))


@dataclass(frozen=True)
class Ran:
    """The exit code of a command, and its output."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> list[str]:
        """The lines of its error, from `error:` on."""
        lines = self.err.splitlines()
        starts = [n for n, line in enumerate(lines) if line.startswith("error: ")]
        assert len(starts) == 1, self.err
        return lines[starts[0] :]


def run(
    *arguments: str,
    environment: Mapping[str, str],
    directory: Path | None = None,
    stdin: str = "",
    called: str = "vapi-sessions",
) -> Ran:
    """Run `vapi-sessions` to its end, `called` by this name. It sees only the given VAPI_… variables."""
    out, err = _stream(), _stream()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("VAPI_")]:
            patch.delenv(name)
        for name, value in environment.items():
            if name.startswith("VAPI_"):
                patch.setenv(name, value)
        if directory is not None:
            patch.chdir(directory)
        patch.setattr(sys, "argv", [called, *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        faultpoints.arm(environment.get(faultpoints.VARIABLE))
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                pytest.raises(SystemExit) as end,
            ):
                app.main()
        finally:
            faultpoints.arm(None)
    assert isinstance(end.value.code, int)
    return Ran(end.value.code, _text(out), _text(err))


def start(
    *arguments: str,
    environment: Mapping[str, str],
    directory: Path | None = None,
    wrapper: Sequence[str] = (),
) -> Ran:
    """Run it in a process of its own. The code is negative after a signal."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("VAPI_")}
    done = subprocess.run(
        [*wrapper, COMMAND, *arguments],
        env=others | dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def _stream() -> io.TextIOWrapper:
    return streams.Clean(io.BytesIO(), "utf-8", newline="", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    content: bytes = stream.buffer.getvalue()  # type: ignore[attr-defined]
    return content.decode()
