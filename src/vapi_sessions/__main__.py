"""Where the command begins: its streams cannot fail, and Ctrl-C is an interruption, while modules are still being imported."""

from __future__ import annotations

import sys
from typing import NoReturn

from vapi_sessions.cli import streams
from vapi_sessions.core import memory

# Prefect starts the process of a scheduled run by importing this module; it has the streams of `vapi-sessions schedule`.
if "multiprocessing.spawn" in sys.modules:
    streams.secure()


def main() -> NoReturn:
    """`vapi-sessions`; see `cli`."""
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
