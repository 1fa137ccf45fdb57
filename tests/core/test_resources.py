"""Where the files beside the code are."""

from __future__ import annotations

from vapi_sessions.core import resources


def test_every_check_is_a_file_by_its_name() -> None:
    """Sorted, so that results have one order."""
    names = [file.name for file in resources.sql_files("checks")]
    assert names == sorted(names)
    assert "messages_of_sessions.sql" in names
