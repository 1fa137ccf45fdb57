"""The lower bound: download every page once with httpx over one connection, and do nothing else.

`python -m tests.benchmarks.download URL SESSIONS` prints the number of bytes received.
"""

from __future__ import annotations

import sys

import httpx


def main() -> None:
    """Download all pages."""
    url, sessions = sys.argv[1], int(sys.argv[2])
    received = 0
    with httpx.Client(base_url=url, timeout=60) as client:
        for page in range(1, -(-sessions // 1000) + 1):
            asked = {"sortBy": "createdAt", "sortOrder": "ASC", "limit": "1000", "page": str(page)}
            received += len(client.get("/session", params=asked).raise_for_status().content)
    print(received)


if __name__ == "__main__":
    main()
