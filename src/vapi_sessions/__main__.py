"""Where the command begins: Ctrl-C is an interruption from its first moment on, while modules are still being imported."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """`vapi-sessions`; see `cli`."""
    try:
        from vapi_sessions.cli import main as run
    except KeyboardInterrupt:
        print("error: Interrupted.", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
