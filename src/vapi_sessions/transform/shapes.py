"""Types of fields, and shapes: the declared fields of one kind of object. `sessions`, `messages` and `costs` declare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from vapi_sessions.core.json_text import elements

#: Microseconds of the years 1 and 9999: the range that DuckDB, Arrow and Python's datetime have in common.
MIN_TIME: Final = -62_135_596_800_000_000
MAX_TIME: Final = 253_402_300_799_999_999
#: An absent value, where values are JSON text.
ABSENT: Final = Raw()
#: Why a member is in `extra` although it has a column; the suffix of its name in the drift.
RETYPED: Final = ":retyped"
ROUNDED: Final = ":rounded"
_DIGITS: Final = "-0123456789"


# ---------------------------------------------------------------------------------------------------------------------
# Types of fields.


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type that the strict decoder accepts, and how the lenient one reads JSON text that is not null.

    `read` returns the value of the column, and why the original is also kept in `extra`: "" if it is not.
    """

    strict: Any
    read: Callable[[str], tuple[Any, str]]
    absent: Any = None


def _text(text: str) -> tuple[str | None, str]:
    return (msgspec.json.decode(text), "") if text[0] == '"' else (None, RETYPED)


def _double(text: str) -> tuple[float | None, str]:
    """The nearest double, unless the number is too large. Integers that a double may not hold exactly are also kept in `extra`."""
    value = float(text) if text[0] in _DIGITS else float("inf")
    if abs(value) == float("inf"):
        return None, RETYPED
    return value, "" if abs(value) < 2**53 else ROUNDED


def _integer(text: str) -> tuple[int | None, str]:
    """A BIGINT. `12.0` is one, too."""
    if text[0] not in _DIGITS:
        return None, RETYPED
    value = float(text)
    if abs(value) < 2**53 and value.is_integer():
        return int(value), ""
    if len(text) < 21 and text.lstrip("-").isdigit() and -(2**63) <= int(text) < 2**63:
        return int(text), ""
    return None, RETYPED


def _boolean(text: str) -> tuple[bool | None, str]:
    return (text == "true", "") if text[0] in "tf" else (None, RETYPED)


def _millis(text: str) -> tuple[float | None, str]:
    value = float(text) if text[0] in _DIGITS else float("inf")
    return (value, "") if MIN_TIME <= value * 1000 <= MAX_TIME else (None, RETYPED)


def _content(text: str) -> tuple[Any, str]:
    return elements(text) if text[0] == "[" else _text(text)[0] if text[0] == '"' else Raw(text), ""


def _raw(text: str) -> tuple[Raw, str]:
    return Raw(text), ""


_Double = Annotated[float, msgspec.Meta(gt=-(2**53), lt=2**53)]
_BigInt = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Millis = Annotated[float, msgspec.Meta(ge=MIN_TIME // 1000, le=MAX_TIME // 1000)]

TEXT: Final = FieldType(str | None, _text)
DOUBLE: Final = FieldType(_Double | None, _double)
INTEGER: Final = FieldType(_BigInt | None, _integer)
BOOLEAN: Final = FieldType(bool | None, _boolean)
#: Epoch milliseconds.
MILLIS: Final = FieldType(_Millis | None, _millis)
#: A string, or the JSON texts of an array's elements, or the JSON text of anything else.
CONTENT: Final = FieldType(str | list[Raw] | None, _content)
#: Any JSON, as text.
JSON: Final = FieldType(Raw, _raw, ABSENT)


class Field(NamedTuple):
    """A member of an object, its type, and its column if it has one.

    `shape`: the value is an object of this shape, or with `many` a list of such objects.
    """

    name: str
    type: FieldType
    column: str | None = None
    shape: Shape | None = None
    many: bool = False


class Shape:
    """The fields of one kind of object. `drift_prefix` precedes the names of its members in the drift, such as "cost."."""

    def __init__(self, drift_prefix: str, *fields: Field) -> None:
        self.drift_prefix = drift_prefix
        self.fields: Final[Mapping[str, Field]] = {field.name: field for field in fields}
        #: Has the fields under the source's names, and `extra_parts`: the members of `extra`, as JSON text.
        self.struct = self._define(strict=True)
        loose = self._define(strict=False)
        self.one, self.one_loose = (msgspec.json.Decoder(each).decode for each in (self.struct, loose))
        self.all, self.all_loose = (msgspec.json.Decoder(list[each]).decode for each in (self.struct, loose))  # type: ignore[valid-type]  # defined at run time

    def _define(self, *, strict: bool) -> Any:
        # A "$extra" of the source has another type, so the lenient decoder reads it.
        extra = ("extra_parts", None, msgspec.field(default=None, name="$extra"))
        members = [(field.name, self._type(field), field.type.absent) for field in self.fields.values()]
        return msgspec.defstruct("Decoded", [*members, extra], gc=False, forbid_unknown_fields=strict)

    @staticmethod
    def _type(field: Field) -> Any:
        if field.shape is None:
            return field.type.strict
        return (list[field.shape.struct] if field.many else field.shape.struct) | None  # type: ignore[name-defined]  # defined at run time


def nested(name: str, shape: Shape, *, many: bool = False) -> Field:
    """A field whose value is an object of this shape, or with `many` a list of such objects."""
    return Field(name, FieldType(None, _raw), None, shape, many)
