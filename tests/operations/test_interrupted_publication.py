"""Ctrl-C during a publication: it is completed, and the run ends afterwards."""

from __future__ import annotations

import signal

import pytest
from sync_sessions import spread

from vapi_sessions.cli import signals
from vapi_sessions.operations.progress import Silent
from vapi_sessions.warehouse.layout import Layout, writer_lock
from worlds import World


class _Pressed(Silent):
    """Presses Ctrl-C when the first part is written."""

    pressed = 0

    def publishing(self, done: int, total: int) -> None:
        if done == 1 and not self.pressed:
            self.pressed += 1
            signal.raise_signal(signal.SIGINT)


def test_a_publication_is_not_cut_short(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """The user is answered at once. The run was complete, and is recorded so; there is one publication."""
    spread(world, 30)
    progress = _Pressed()
    with (
        signals.listening(lambda postponed: signals.STOPPING if postponed else "not this"),
        pytest.raises(KeyboardInterrupt),
    ):
        world.sync(progress=progress)
    assert progress.pressed == 1
    assert capfd.readouterr().err == f"{signals.STOPPING}\n"
    assert world.here() == world.there()
    assert world.rows("SELECT outcome FROM sync.runs") == [("done",)]
    layout = Layout(world.warehouse)
    assert [path.name for path in layout.parquet.iterdir() if not path.is_symlink()] == [
        (layout.parquet / "latest").resolve().name
    ]
    assert not layout.running.exists()
    with writer_lock(layout):
        pass
