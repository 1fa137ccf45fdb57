"""How many sessions the client asks for, depending on their size."""

from __future__ import annotations

import httpx
from scripted import Client, Scripted, page, session

from vapi_sessions.source.list_query import Query


def test_the_page_size_depends_on_the_size_of_the_sessions() -> None:
    """All that are wanted if they take at most 8 MB, otherwise pages of 2 MB; at least 20, and never more than wanted."""

    def of(size: int, count: int = 3) -> httpx.Response:
        return page(*(session(n, name="x" * size) for n in range(count)))

    answers = of(80_000), *[of(1)] * 12, of(5_000_000, 1), of(5_000_000, 1)
    with Client(Scripted(*answers)) as client:
        source = client.source
        assert source.page_size(1000) == 1000  # no page was read yet
        source.list(Query())
        assert 20 < source.page_size(1000) < 30
        assert source.page_size(95) == 95
        assert source.page_size(3) == 3
        for _ in range(12):
            source.list(Query())
        assert source.page_size(1000) == 1000
        source.list(Query())
        source.list(Query())
        assert source.page_size(1000) == 20
        assert source.page_size(3) == 3


def test_a_single_large_session_hardly_changes_the_average() -> None:
    """A count requests one session, which may be the only large one."""
    small, large = [session(n, name="x" * 5_000) for n in range(1_000)], session(1, name="x" * 300_000)
    with Client(Scripted(page(*small), page(large), page(large))) as client:
        client.source.list(Query(limit=1000))
        client.source.count()
        client.source.count()
        assert client.source.page_size(1000) == 1000
