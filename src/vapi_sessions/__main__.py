"""The entry point: makes the streams safe and handles Ctrl-C before the slow imports."""

from __future__ import annotations

import sys
from typing import NoReturn

from vapi_sessions.cli import streams
from vapi_sessions.core import memory

# Prefect starts the process of a scheduled run by importing this module; it inherits the streams of `schedule`.
if "multiprocessing.spawn" in sys.modules:
    streams.secure()


def main() -> NoReturn:
    """Run `vapi-sessions`; see `cli.app`."""
    streams.secure()  # before any other file is opened
    memory.stay_flat()  # before pyarrow is imported
    try:
        with memory.fewer_collections():
            from vapi_sessions.cli.app import main as run
    except KeyboardInterrupt:
        print("error: Interrupted.", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
