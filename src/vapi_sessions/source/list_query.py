"""One list request. The source's comparison operators appear here and nowhere else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vapi_sessions.core import timestamps
from vapi_sessions.core.intervals import BEGINNING, Window

Order: TypeAlias = Literal["ASC", "DESC"]


@dataclass(frozen=True, slots=True)
class Query:
    """The filters, order and size of a page. `updated` and `created` are half-open, in microseconds."""

    updated: Window | None = None
    created: Window | None = None
    ids: Sequence[str] = ()
    limit: int = 1000
    page: int = 1
    order: Order = "ASC"

    def params(self) -> list[tuple[str, str]]:
        """The query string as pairs. Turns half-open intervals into `Ge` and `Lt`."""
        pairs: list[tuple[str, str]] = []
        for name, window in (("updatedAt", self.updated), ("createdAt", self.created)):
            if window is not None:
                if window.lower != BEGINNING:
                    pairs.append((f"{name}Ge", timestamps.show(window.lower)))
                if window.upper is not None:
                    pairs.append((f"{name}Lt", timestamps.show(window.upper)))
        if self.ids:
            pairs.append(("idAny", ",".join(self.ids)))
        pairs += [("sortBy", "createdAt"), ("sortOrder", self.order), ("limit", str(self.limit))]
        if self.page != 1:
            pairs.append(("page", str(self.page)))
        return pairs
