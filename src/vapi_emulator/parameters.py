"""The query parameters of the list: one table of what is declared, checked by hand, turned into one `Query`.

Messages are those of class-validator, which the source uses: a list of sentences that begin with the parameter's name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from vapi_emulator.store import ListQuery
from vapi_emulator.stored import canonical
from vapi_emulator.switches import EmulatorSettings
from vapi_emulator.times import from_us, iso_ms, parse_iso

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_OPERATORS: Final = ("Gt", "Lt", "Ge", "Le")


class BadRequest(Exception):  # noqa: N818  (named after the answer it becomes)
    """The request breaks the contract; `message` is the body's `message`."""

    def __init__(self, message: str | list[str]) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A checked list request: the query for the store, and what the metadata says about it."""

    query: ListQuery
    page: int
    limit: int
    created_ge_us: int | None = None
    created_le_us: int | None = None
    beyond_retention: ListQuery | None = None


def check_string(name: str, value: str, minimum: int = 0, maximum: int | None = None) -> list[str]:
    """The complaints about a text's length."""
    if len(value) < minimum:
        return [f"{name} must be longer than or equal to {minimum} characters"]
    if maximum is not None and len(value) > maximum:
        return [f"{name} must be shorter than or equal to {maximum} characters"]
    return []


# -- filters: parameter → condition


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


def _number(name: str, text: str, minimum: int, maximum: int | None, complaints: list[str]) -> int:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        complaints.append(f"{name} must be a number conforming to the specified constraints")
        return minimum
    if value < minimum:
        complaints.append(f"{name} must not be less than {minimum}")
    if maximum is not None and value > maximum:
        complaints.append(f"{name} must not be greater than {maximum}")
    if not value.is_integer():
        complaints.append(f"{name} must be an integer number")
    return int(value)


def _name(settings: EmulatorSettings, value: str) -> _Condition:
    if complaints := check_string("name", value, 0, 40):
        raise BadRequest(complaints)
    if settings.name_filter == "either":
        return _Condition("(name = ? OR customer_name = ?)", (value, value))
    return _Condition("name = ?" if settings.name_filter == "session" else "customer_name = ?", (value,))


def parse_list(
    pairs: Iterable[tuple[str, str]], org_id: str, settings: EmulatorSettings, now_us: int
) -> ListRequest:
    """Check the parameters of a list request; raises `BadRequest` with every complaint."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    complaints = [
        f"property {name} should not exist"
        for name in given
        if name not in DECLARED and settings.unknown_parameters == "reject"
    ]
    conditions: list[_Condition] = []
    plain = {"page": "1", "limit": str(DEFAULT_LIMIT), "sortBy": "createdAt", "sortOrder": "DESC"}
    bounds: dict[str, int] = {}
    for name, values in given.items():
        if name not in DECLARED:
            continue
        if name == "phoneNumberIdAny":
            if name not in settings.ignored_parameters:
                conditions.append(_one_of("phone_number_id", values))
            continue
        if len(values) > 1:
            complaints.append(f"{name} must be a string")
            continue
        try:
            condition = _parse_one(name, values[0], settings, plain, bounds)
        except BadRequest as bad:
            complaints.extend(bad.message)
        else:
            if condition is not None and name not in settings.ignored_parameters:
                conditions.append(condition)
    for name, allowed in _CHOICES.items():
        if plain[name] not in allowed:
            complaints.append(f"{name} must be one of the following values: {', '.join(allowed)}")
    page = _number("page", plain["page"], 1, None, complaints)
    limit = _number("limit", plain["limit"], 0, MAX_LIMIT, complaints)
    if limit == 0 and settings.limit0 == "reject":
        complaints.append("limit must not be less than 1")
    if complaints:
        raise BadRequest(complaints)
    return _assemble(conditions, plain, bounds, page, limit, org_id, settings, now_us)


def _parse_one(
    name: str, value: str, settings: EmulatorSettings, plain: dict[str, str], bounds: dict[str, int]
) -> _Condition | None:
    if name == "name":
        return _name(settings, value)
    if name in _FILTERS:
        return _FILTERS[name](name, value)
    if name in _BOUNDS:
        try:
            moment = parse_iso(value)
        except ValueError:
            raise BadRequest([f"{name} must be a valid ISO 8601 date string"]) from None
        if name not in settings.ignored_parameters:
            bounds[name] = moment
    elif name not in settings.ignored_parameters:
        plain[name] = value
    return None


def _assemble(
    conditions: list[_Condition],
    plain: dict[str, str],
    bounds: dict[str, int],
    page: int,
    limit: int,
    org_id: str,
    settings: EmulatorSettings,
    now_us: int,
) -> ListRequest:
    if limit == 0 and settings.limit0 == "default":
        limit = DEFAULT_LIMIT
    if settings.page_cap is not None:
        limit = min(limit, settings.page_cap)
    query = ListQuery(
        org_id,
        created=_range(bounds, "createdAt"),
        updated=_range(bounds, "updatedAt"),
        where="".join(f" AND {condition.sql}" for condition in conditions),
        values=tuple(value for condition in conditions for value in condition.values),
        by_id=any(condition.sql.startswith("id ") for condition in conditions),
        sort_by=plain["sortBy"],  # type: ignore[arg-type]  # checked against the choices above
        ascending=plain["sortOrder"] == "ASC",
        limit=limit,
        offset=(page - 1) * limit,
        shuffle_ties=settings.ties == "shuffled",
    )
    created_ge = max(_given(bounds, "createdAtGe", "createdAtGt"), default=None)
    created_le = min(_given(bounds, "createdAtLe", "createdAtLt"), default=None)
    if settings.retention_us is None:
        return ListRequest(query, page, limit, created_ge, created_le)
    cutoff = now_us - settings.retention_us
    if settings.retention_style == "400" and any(
        us < cutoff
        for us in _given(bounds, *(name for name, field in _BOUNDS.items() if field == "createdAt"))
    ):
        raise BadRequest(retention_message(cutoff, settings))
    since, before = query.created
    beyond = replace(query, created=(since, cutoff if before is None else min(cutoff, before)), limit=0)
    query = replace(query, created=(cutoff if since is None else max(cutoff, since), before))
    if settings.retention_style != "flag":
        return ListRequest(query, page, limit, created_ge, created_le)
    return ListRequest(query, page, limit, query.created[0], created_le, beyond)


def _range(bounds: dict[str, int], field: str) -> tuple[int | None, int | None]:
    """The half-open interval of microseconds that the four operators mean together."""
    low = [*_given(bounds, f"{field}Ge"), *(us + 1 for us in _given(bounds, f"{field}Gt"))]
    high = [*_given(bounds, f"{field}Lt"), *(us + 1 for us in _given(bounds, f"{field}Le"))]
    return max(low, default=None), min(high, default=None)


def retention_message(cutoff_us: int, settings: EmulatorSettings) -> str:
    """What the source says to a request that reaches past the plan's window."""
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
    """The list's `metadata`: three fields always, the others if switched on."""
    answer: dict[str, Any] = {"itemsPerPage": request.limit, "totalItems": total, "currentPage": request.page}
    if settings.retention_us is not None and settings.retention_style == "flag":
        answer["itemsBeyondRetention"] = beyond
        if request.created_ge_us is not None:
            answer["createdAtGe"] = iso_ms(request.created_ge_us)
    if settings.optional_metadata:
        more = request.query.offset + rows < total and rows > 0
        answer["totalPages"] = -(-total // request.limit) if request.limit else 0
        answer["hasNextPage"] = more
        if more:
            answer["nextCursor"] = f"offset:{request.query.offset + rows}"
        answer["sortOrder"] = "ASC" if request.query.ascending else "DESC"
        if request.created_ge_us is not None:
            answer["createdAtGe"] = iso_ms(request.created_ge_us)
        if request.created_le_us is not None:
            answer["createdAtLe"] = iso_ms(request.created_le_us)
    return answer
