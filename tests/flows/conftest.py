"""Fixtures of the flows' tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from constants import KEY


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Path]:
    """An environment with a key, a source that gets no request, and a warehouse; restored at the end."""
    before = dict(os.environ)
    os.environ.update(
        VAPI_API_KEY=KEY, VAPI_BASE_URL="http://127.0.0.1:9", VAPI_WAREHOUSE=str(tmp_path / "warehouse")
    )
    yield tmp_path / "warehouse"
    os.environ.clear()
    os.environ.update(before)
