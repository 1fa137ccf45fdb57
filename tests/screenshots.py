"""Make the pictures of the report for the documentation: `python -m tests.screenshots` (or `make screenshots`).

Needs Chromium. The conversations are those of the emulator, so nobody's.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import Page, browser  # noqa: E402  # beside the tests
from vapi_emulator.generate import History, fill  # noqa: E402
from vapi_emulator.live import LiveTraffic  # noqa: E402
from vapi_emulator.server import EmulatorServer  # noqa: E402
from vapi_sessions.operations import sync  # noqa: E402
from vapi_sessions.report.report_file import write_report  # noqa: E402
from worlds import settings_for  # noqa: E402

IMAGES: Final = ROOT / "docs" / "images"
#: Bytes of a picture at most.
LARGEST: Final = 300_000


def main() -> int:
    """Write all pictures. Returns 1 if one is too large."""
    IMAGES.mkdir(exist_ok=True)
    sizes = {}
    with tempfile.TemporaryDirectory() as scratch, browser() as chromium:
        report = Path(scratch, "report.html")
        write_report(_warehouse(Path(scratch, "warehouse")), report)
        page = chromium.page()
        for name, width, scheme, last in (
            ("light", 1200, "light", "#cost"),
            ("dark", 1200, "dark", "#cost"),
            ("phone", 420, "light", "#cost-over-time-figure"),
        ):
            _show(page, report, width, 900, scheme)
            bottom = page.run(f"document.querySelector('{last}').getBoundingClientRect().bottom")
            page.look(width, int(bottom) + 24, scheme=scheme)
            sizes[name] = _save(page, f"report-{name}.png")
        _show(page, report, 1200, 860, "light")
        page.click("[data-opens]")
        sizes["transcript"] = _save(page, "report-transcript.png")
    print("\n".join(f"docs/images/report-{name}.png: {size / 1000:.0f} kB" for name, size in sizes.items()))
    return int(any(size > LARGEST for size in sizes.values()))


def _warehouse(directory: Path) -> Path:
    """Two thousand conversations of 70 days, and some that are going on."""
    with EmulatorServer() as server:
        until = server.store.now_us()
        fill(server.store, History(org_id=server.org_id, sessions=2_000, days=70, until_us=until, seed=1))
        sync.sync(settings_for(server, directory))
        LiveTraffic(server.store, server.org_id, seed=1).steps(60)
        sync.sync(settings_for(server, directory))
    return directory


def _show(page: Page, report: Path, width: int, height: int, scheme: str) -> None:
    page.look(width, height, scheme=scheme)
    page.open(report, "document.documentElement?.dataset.drawn")
    # A picture of an animated frame would be another one each time.
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _save(page: Page, name: str) -> int:
    """Save what is in the window, and return the size of the file."""
    path = IMAGES / name
    Image.open(io.BytesIO(page.picture())).convert("RGB").save(path, optimize=True)
    return path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
