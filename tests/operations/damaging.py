"""Damages to the files of a warehouse, and what the tests of them share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.schema import TABLES
from worlds import World

Damage = Callable[[bytes], bytes]

#: From the bytes of a file to those after the damage.
GARBAGE: Final[dict[str, Damage]] = {
    "garbage": lambda b: random.Random(1).randbytes(len(b)),
    "half of it": lambda b: b[: len(b) // 2],
    "its end": lambda b: b[len(b) // 2 :],
    "nothing": lambda b: b"",
    "zeros": lambda b: bytes(len(b)),
}
OTHER_HALF_ZEROS: Final[Damage] = lambda b: b[: len(b) // 2] + bytes(len(b) - len(b) // 2)  # noqa: E731
ROT: Final[Damage] = lambda b: b[:200] + bytes(300) + b[500:]  # noqa: E731


def damage(path: Path, how: Damage) -> None:
    """Replace the file. A file that is linked elsewhere stays whole there."""
    content = how(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def three_months(world: World) -> Iterator[None]:
    """60 sessions, read in three syncs a month apart, so that there are three raw files. For `synced_world`."""
    for _ in range(3):
        world.clock.forward(days=30)
        beginning = world.ago(hours=6)
        world.insert(20, lambda n, at=beginning: (at + n * SECOND,) * 2)
        yield


def contents(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """The five tables without the times of our own clock."""
    columns = {t: [c.name for c in t.columns if not c.name.endswith("synced_at")] for t in TABLES}
    answers = world.answers(f"SELECT {', '.join(columns[t])} FROM {t.name} ORDER BY ALL" for t in TABLES)
    return dict(zip((table.name for table in TABLES), answers, strict=True))


def raw_files(world: World) -> list[Path]:
    """In the order in which they were written."""
    return sorted((world.warehouse / "raw").glob("*.parquet"))


def change(world: World) -> None:
    """Insert and update sessions at the source, and let time pass until they have settled."""
    world.clock.forward(days=1)
    world.insert(5, lambda n: (world.ago(hours=6) + n * SECOND,) * 2)
    for session_id in world.server.store.ids(world.server.org_id)[:30:3]:
        world.server.store.update(
            world.server.org_id,
            session_id,
            lambda session: session.update(name="Changed"),
            at_us=world.ago(hours=5),
        )
