"""`python -m tests.month`: 30 days with a run every 15 minutes, or another rhythm."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from .life import Rhythm, lived
from .table import HEADINGS, line

parser = argparse.ArgumentParser(prog="python -m tests.month", description=__doc__)
parser.add_argument("--days", type=int, default=30)
parser.add_argument("--minutes", type=int, default=15, help="between two runs (15)")
parser.add_argument(
    "--changes", type=float, default=8, help="changes at the source before each run, by day (8)"
)
parser.add_argument("--sessions", type=int, default=500, help="history before the first run (500)")
parser.add_argument("--keep-hours", default="24", help="VAPI_KEEP_HOURS (24)")
parser.add_argument("--hours", default="0-24", help="of the day, in which runs start (0-24)")
parser.add_argument("--every", type=int, default=1, help="print every n-th day (1)")
given = parser.parse_args()
rhythm = Rhythm(
    given.minutes, given.changes, given.sessions, given.keep_hours, range(*map(int, given.hours.split("-")))
)
with tempfile.TemporaryDirectory(prefix="month-") as place:
    print(HEADINGS, flush=True)
    for day in lived(Path(place) / "warehouse", rhythm, given.days):
        if day.number % given.every == 0 or day.number in (1, given.days):
            print(line(day), flush=True)
