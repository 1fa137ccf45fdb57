"""The query parameters of the list: checked, and turned into one `ListQuery`.

The messages are those of class-validator, which the source uses: a list of sentences that begin with the parameter's name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from vapi_emulator.listing import ListQuery
from vapi_emulator.stored import canonical
from vapi_emulator.switches import EmulatorSettings
from vapi_emulator.times import from_us, iso_ms, parse_iso

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_OPERATORS: Final = ("Gt", "Lt", "Ge", "Le")


class BadRequest(Exception):  # noqa: N818  # named after the response it becomes
    """The request breaks the contract; `message` is the body's `message`."""

    def __init__(self, message: str | list[str]) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A checked list request: the query of the store, and the values shown in the metadata."""

    query: ListQuery
    page: int
    limit: int
    created_ge_us: int | None = None
    created_le_us: int | None = None
    beyond_retention: ListQuery | None = None


def check_string(name: str, value: str, minimum: int = 0, maximum: int | None = None) -> list[str]:
    """Complaints about the length of a text."""
    if len(value) < minimum:
        return [f"{name} must be longer than or equal to {minimum} characters"]
    if maximum is not None and len(value) > maximum:
        return [f"{name} must be shorter than or equal to {maximum} characters"]
    return []


# -- the filter of each parameter, as a condition in SQL


class _Condition(NamedTuple):
    sql: str
    values: tuple[Any, ...]


def _equals(column: str, minimum: int = 0, maximum: int | None = None) -> Callable[[str, str], _Condition]:
    def parse(name: str, value: str) -> _Condition:
        if complaints := check_string(name, value, minimum, maximum):
            raise BadRequest(complaints)
        return _Condition(f"{column} = ?", (value,))

    return parse


def _one_of(column: str, values: Iterable[str]) -> _Condition:
    wanted = [value.strip() for value in values if value.strip()]
    if not wanted:
        return _Condition("0", ())
    return _Condition(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(wanted),))


def _comma_separated(column: str) -> Callable[[str, str], _Condition]:
    return lambda _name, value: _one_of(column, value.split(","))


def _boolean(name: str, value: str) -> _Condition:
    if value not in ("true", "false"):
        raise BadRequest([f"{name} must be a boolean value"])
    return _Condition("customer_e164 = ?", (int(value == "true"),))


def _overrides(column: str) -> Callable[[str, str], _Condition]:
    def parse(name: str, value: str) -> _Condition:
        try:
            overrides = json.loads(value)
        except ValueError:
            overrides = None
        if not isinstance(overrides, dict):
            raise BadRequest([f"{name} must be an object"])
        return _Condition(f"{column} = ?", (canonical(overrides),))

    return parse


_FILTERS: Final[dict[str, Callable[[str, str], _Condition]]] = {
    "id": _equals("id"),
    "idAny": _comma_separated("id"),
    "assistantId": _equals("assistant_id"),
    "assistantIdAny": _comma_separated("assistant_id"),
    "squadId": _equals("squad_id"),
    "workflowId": _equals("workflow_id"),
    "phoneNumberId": _equals("phone_number_id"),
    "customerNumberAny": _comma_separated("customer_number"),
    "number": _equals("customer_number", 3, 40),
    "sipUri": _equals("customer_sip_uri"),
    "email": _equals("customer_email", 0, 40),
    "externalId": _equals("customer_external_id", 0, 40),
    "extension": _equals("customer_extension", 0, 10),
    "numberE164CheckEnabled": _boolean,
    "assistantOverrides": _overrides("assistant_overrides"),
    "squadOverrides": _overrides("squad_overrides"),
}
_BOUNDS: Final = {
    f"{field}{operator}": field for field in ("createdAt", "updatedAt") for operator in _OPERATORS
}
_PAGING: Final = ("page", "limit", "sortBy", "sortOrder")
_CHOICES: Final = {"sortBy": ("createdAt", "duration", "cost"), "sortOrder": ("ASC", "DESC")}

#: Every parameter the contract declares for the list.
DECLARED: Final = frozenset({*_FILTERS, *_BOUNDS, *_PAGING, "name", "phoneNumberIdAny"})


class _Parsed:
    """The parameters of one list request, checked one by one. `complaints` are sentences for the 400."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self._settings = settings
        self.conditions: list[_Condition] = []
        self.bounds: dict[str, int] = {}
        self.paging = {"page": "1", "limit": str(DEFAULT_LIMIT), "sortBy": "createdAt", "sortOrder": "DESC"}
        self.complaints: list[str] = []

    def add(self, name: str, values: list[str]) -> None:
        """Check one parameter, with all its values."""
        if name not in DECLARED:
            if self._settings.unknown_parameters == "reject":
                self.complaints.append(f"property {name} should not exist")
        elif name == "phoneNumberIdAny":
            self._apply(name, _one_of("phone_number_id", values))
        elif len(values) > 1:
            self.complaints.append(f"{name} must be a string")
        else:
            try:
                self._add_single(name, values[0])
            except BadRequest as bad:
                self.complaints.extend(bad.message)

    def _add_single(self, name: str, value: str) -> None:
        if name == "name":
            self._apply(name, _name(self._settings, value))
        elif name in _FILTERS:
            self._apply(name, _FILTERS[name](name, value))
        elif name in _BOUNDS:
            try:
                moment = parse_iso(value)
            except ValueError:
                raise BadRequest([f"{name} must be a valid ISO 8601 date string"]) from None
            if name not in self._settings.ignored_parameters:
                self.bounds[name] = moment
        elif name not in self._settings.ignored_parameters:
            self.paging[name] = value

    def _apply(self, name: str, condition: _Condition) -> None:
        if name not in self._settings.ignored_parameters:
            self.conditions.append(condition)

    def number(self, name: str, minimum: int, maximum: int | None = None) -> int:
        """A parameter of the paging as a whole number."""
        text = self.paging[name]
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value):
            self.complaints.append(f"{name} must be a number conforming to the specified constraints")
            return minimum
        if value < minimum:
            self.complaints.append(f"{name} must not be less than {minimum}")
        if maximum is not None and value > maximum:
            self.complaints.append(f"{name} must not be greater than {maximum}")
        if not value.is_integer():
            self.complaints.append(f"{name} must be an integer number")
        return int(value)

    def check_choices(self) -> None:
        """Check the parameters that have a few allowed values."""
        for name, allowed in _CHOICES.items():
            if self.paging[name] not in allowed:
                self.complaints.append(f"{name} must be one of the following values: {', '.join(allowed)}")

    def query(self, org_id: str, page: int, limit: int) -> ListQuery:
        """The query of the store, before retention."""
        return ListQuery(
            org_id,
            created=_range(self.bounds, "createdAt"),
            updated=_range(self.bounds, "updatedAt"),
            where="".join(f" AND {condition.sql}" for condition in self.conditions),
            values=tuple(value for condition in self.conditions for value in condition.values),
            by_id=any(condition.sql.startswith("id ") for condition in self.conditions),
            sort_by=self.paging["sortBy"],  # type: ignore[arg-type]  # checked by `check_choices`
            ascending=self.paging["sortOrder"] == "ASC",
            limit=limit,
            offset=(page - 1) * limit,
            shuffle_ties=self._settings.ties == "shuffled",
        )


def _name(settings: EmulatorSettings, value: str) -> _Condition:
    if complaints := check_string("name", value, 0, 40):
        raise BadRequest(complaints)
    if settings.name_filter == "either":
        return _Condition("(name = ? OR customer_name = ?)", (value, value))
    return _Condition("name = ?" if settings.name_filter == "session" else "customer_name = ?", (value,))


def parse_list(
    pairs: Iterable[tuple[str, str]], org_id: str, settings: EmulatorSettings, now_us: int
) -> ListRequest:
    """Check the parameters of a list request. Raises `BadRequest` with all complaints."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    parsed = _Parsed(settings)
    for name, values in sorted(given.items(), key=lambda item: item[0] in DECLARED):  # undeclared ones first
        parsed.add(name, values)
    parsed.check_choices()
    page = parsed.number("page", 1)
    limit = parsed.number("limit", 0, MAX_LIMIT)
    if limit == 0 and settings.limit0 == "reject":
        parsed.complaints.append("limit must not be less than 1")
    if parsed.complaints:
        raise BadRequest(parsed.complaints)
    if limit == 0 and settings.limit0 == "default":
        limit = DEFAULT_LIMIT
    if settings.page_cap is not None:
        limit = min(limit, settings.page_cap)
    bounds = parsed.bounds
    request = ListRequest(
        parsed.query(org_id, page, limit),
        page,
        limit,
        created_ge_us=max(_given(bounds, "createdAtGe", "createdAtGt"), default=None),
        created_le_us=min(_given(bounds, "createdAtLe", "createdAtLt"), default=None),
    )
    return _within_retention(request, bounds, settings, now_us)


def _within_retention(
    request: ListRequest, bounds: dict[str, int], settings: EmulatorSettings, now_us: int
) -> ListRequest:
    """The request limited to the retention, or `BadRequest`, as `retention_style` says."""
    if settings.retention_us is None:
        return request
    cutoff = now_us - settings.retention_us
    created = _given(bounds, *(name for name, field in _BOUNDS.items() if field == "createdAt"))
    if settings.retention_style == "400" and any(us < cutoff for us in created):
        raise BadRequest(retention_message(cutoff, settings))
    query = request.query
    since, before = query.created
    beyond = replace(query, created=(since, cutoff if before is None else min(cutoff, before)), limit=0)
    query = replace(query, created=(cutoff if since is None else max(cutoff, since), before))
    if settings.retention_style == "flag":
        return replace(request, query=query, created_ge_us=query.created[0], beyond_retention=beyond)
    return replace(request, query=query)


def _range(bounds: dict[str, int], field: str) -> tuple[int | None, int | None]:
    """The half-open interval of microseconds that the four operators give together."""
    low = [*_given(bounds, f"{field}Ge"), *(us + 1 for us in _given(bounds, f"{field}Gt"))]
    high = [*_given(bounds, f"{field}Lt"), *(us + 1 for us in _given(bounds, f"{field}Le"))]
    return max(low, default=None), min(high, default=None)


def retention_message(cutoff_us: int, settings: EmulatorSettings) -> str:
    """The message for a request beyond the retention of the plan."""
    days = settings.retention_days or 0
    return (
        f"Your plan's retention only covers the last {days:g} days. "
        f"Please request sessions from {from_us(cutoff_us).date().isoformat()} on."
    )


def _given(bounds: dict[str, int], *names: str) -> list[int]:
    return [bounds[name] for name in names if name in bounds]


def metadata(
    request: ListRequest, total: int, rows: int, settings: EmulatorSettings, beyond: bool
) -> dict[str, Any]:
    """The `metadata` of the list: always three fields, the others if they are switched on."""
    fields: dict[str, Any] = {"itemsPerPage": request.limit, "totalItems": total, "currentPage": request.page}
    if settings.retention_us is not None and settings.retention_style == "flag":
        fields["itemsBeyondRetention"] = beyond
        if request.created_ge_us is not None:
            fields["createdAtGe"] = iso_ms(request.created_ge_us)
    if settings.optional_metadata:
        more = request.query.offset + rows < total and rows > 0
        fields["totalPages"] = -(-total // request.limit) if request.limit else 0
        fields["hasNextPage"] = more
        if more:
            fields["nextCursor"] = f"offset:{request.query.offset + rows}"
        fields["sortOrder"] = "ASC" if request.query.ascending else "DESC"
        if request.created_ge_us is not None:
            fields["createdAtGe"] = iso_ms(request.created_ge_us)
        if request.created_le_us is not None:
            fields["createdAtLe"] = iso_ms(request.created_le_us)
    return fields
