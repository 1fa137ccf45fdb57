"""An environment without network settings, and the error of a first request in it."""

from __future__ import annotations

import os

import pytest
from scripted import KEY

from servers import source_of
from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.source.list_query import Query


def clear_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset all variables that name proxies or certificates."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL"):
            monkeypatch.delenv(name)


def first_failure(url: str) -> VapiSessionsError:
    """The error of a first request to this address."""
    with pytest.raises(VapiSessionsError) as caught, source_of(url, KEY) as source:
        source.list(Query())
    return caught.value
