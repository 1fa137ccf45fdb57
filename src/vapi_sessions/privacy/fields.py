"""The class of every field of a session: the table by which the policy decides.

`fields.tsv` beside this file has a line for each member of each schema of the vendor's contract. Lines that end with `seen` are for
members that occur in practice although the contract does not declare them. Columns: schema and member, class, schemas of the value.

| class        | meaning                                                        | personal=drop | text=mask    | text=drop    |
|--------------|----------------------------------------------------------------|---------------|--------------|--------------|
| structure    | kinds, switches, times; names of assistants, tools and models  | stays         | stays        | stays        |
| number       | amounts, counts, seconds                                       | stays         | stays        | stays        |
| identifier   | ids made by the source or a provider                           | stays         | stays        | stays        |
| credential   | already replaced by the redactor                               | stays         | stays        | stays        |
| personal     | personal data; the second word is its kind                     | null          | stays        | stays        |
| spoken       | messages, tool calls and their results                         | stays         | masked       | x's          |
| words        | text in lists of single words, where no mask sees a number     | stays         | x's          | x's          |
| extracted    | output of a model; numbers of up to six digits stay            | stays         | masked       | x's          |
| prompt       | written by the organisation, with values inserted              | known values  | masked       | x's          |
|              |                                                                | replaced      |              |              |
| recording    | links to audio, video and logs, or their bytes                 | stays         | null         | null         |
| free         | any content                                                    | null          | masked       | x's          |

A field without a line is `free`. So is a value of another type than its class allows, such as an object where a number belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final


class FieldClass(StrEnum):
    """The classes, from the least to the most sensitive."""

    NUMBER = "number"
    STRUCTURE = "structure"
    IDENTIFIER = "identifier"
    CREDENTIAL = "credential"
    PROMPT = "prompt"
    EXTRACTED = "extracted"
    SPOKEN = "spoken"
    WORDS = "words"
    RECORDING = "recording"
    PERSONAL = "personal"
    FREE = "free"


#: Stored under every policy.
HARMLESS: Final = frozenset(
    {FieldClass.NUMBER, FieldClass.STRUCTURE, FieldClass.IDENTIFIER, FieldClass.CREDENTIAL}
)
#: Text, which the policy for text decides about.
TEXT: Final = frozenset({FieldClass.SPOKEN, FieldClass.EXTRACTED, FieldClass.PROMPT})
_SENSITIVITY: Final = {each: rank for rank, each in enumerate(FieldClass)}
#: Stands for any other name, in an object whose member names are not fixed.
ANY_NAME: Final = "*"


@dataclass(frozen=True, slots=True)
class FieldLine:
    """A line of the table. `leads_to`: the schemas that an object here may have."""

    schema: str
    member: str
    field_class: FieldClass
    kind: str
    leads_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """The class of a member, and the schemas that an object here may have.

    `harmless`: stored under every policy. `may_be_text`: harmless, and a string is allowed. `is_text`: one of the classes in `TEXT`.
    """

    field_class: FieldClass
    kind: str
    leads_to: frozenset[str]
    harmless: bool
    may_be_text: bool
    is_text: bool

    @classmethod
    def of(cls, field_class: FieldClass, kind: str, leads_to: frozenset[str]) -> FieldRule:
        """A rule with the flags that follow from its class."""
        harmless = field_class in HARMLESS
        may_be_text = harmless and field_class is not FieldClass.NUMBER
        return cls(field_class, kind, leads_to, harmless, may_be_text, field_class in TEXT)


@cache
def lines() -> tuple[FieldLine, ...]:
    """The lines of the table. Raises ValueError for an unknown class."""
    text = resources.files(__package__).joinpath("fields.tsv").read_text("utf-8")
    return tuple(map(_line, text.splitlines()))


def _line(text: str) -> FieldLine:
    path, class_and_kind, leads_to, *_ = (*text.split("\t"), "")
    schema, _, member = path.partition(".")
    field_class, _, kind = class_and_kind.partition(" ")
    return FieldLine(schema, member, FieldClass(field_class), kind, tuple(leads_to.split()))


@cache
def _lines_by_schema() -> dict[str, list[FieldLine]]:
    found: dict[str, list[FieldLine]] = {}
    for line in lines():
        found.setdefault(line.schema, []).append(line)
    return found


@cache
def rules_of(schemas: frozenset[str]) -> dict[str, FieldRule]:
    """The rule for each member of an object that may have any of these schemas. Where schemas differ, the most sensitive class wins.

    The member `*` stands for any other name.
    """
    rules: dict[str, FieldRule] = {}
    for line in (line for schema in sorted(schemas) for line in _lines_by_schema().get(schema, ())):
        field_class, kind, leads_to = line.field_class, line.kind, frozenset(line.leads_to)
        other = rules.get(line.member)
        if other is not None:
            leads_to |= other.leads_to
            if _SENSITIVITY[other.field_class] >= _SENSITIVITY[field_class]:
                field_class, kind = other.field_class, other.kind
        rules[line.member] = FieldRule.of(field_class, kind, leads_to)
    values = frozenset(schema[1:] for schema in schemas if schema.startswith(ANY_NAME))
    if values:
        rules[ANY_NAME] = FieldRule.of(FieldClass.STRUCTURE, "", values)
    return rules
