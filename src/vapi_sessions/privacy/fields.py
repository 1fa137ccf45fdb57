"""What each place of a session is: the one table by which the policy decides. Pure.

`fields.tsv` beside this file has a line for each member of each schema of the vendor's contract, and for what the contract leaves open
and practice fills (marked `seen`). A class says what stands there:

| class        | what it is                                                     | personal=drop | text=mask    | text=drop    |
|--------------|----------------------------------------------------------------|---------------|--------------|--------------|
| structure    | kinds, switches, times; the names of assistants, tools, models | stays         | stays        | stays        |
| number       | amounts, counts, seconds                                       | stays         | stays        | stays        |
| identifier   | ids that the source or a provider made                         | stays         | stays        | stays        |
| credential   | what the redactor has replaced                                 | stays         | stays        | stays        |
| personal     | what a person is known by; the second word is the kind         | null          | stays        | stays        |
| spoken       | what was said, called and answered                             | stays         | masked       | x's          |
| words        | what was said, word by word, where no mask can see a number    | stays         | x's          | x's          |
| extracted    | what a model read out of it; numbers of up to six digits stay  | stays         | masked       | x's          |
| prompt       | what the organisation wrote, with values put in                | without them  | masked       | x's          |
| recording    | links to and bytes of audio, video, logs                       | stays         | null         | null         |
| free         | whatever anybody put there                                     | null          | masked       | x's          |

What has no line is `free`. So is a value of another kind than its place says: an object where a number belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final


class Class(StrEnum):
    """What stands at a place, from harmless to whatever."""

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


#: What stays under every policy.
KEPT: Final = frozenset({Class.NUMBER, Class.STRUCTURE, Class.IDENTIFIER, Class.CREDENTIAL})
#: What becomes of it is decided by the policy for text.
SAID: Final = frozenset({Class.SPOKEN, Class.EXTRACTED, Class.PROMPT})
_STRICTNESS: Final = {each: rank for rank, each in enumerate(Class)}
#: What any other name leads to, in an object whose names are somebody's choice.
ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """A line of the table: a member of a schema, its class and kind, and the schemas that it leads to."""

    schema: str
    member: str
    place: Class
    kind: str
    leads_to: tuple[str, ...]
    seen: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A member of an object: what a value there is, and what an object there consists of.

    `kept`: what belongs here stays under every policy. `text`: and may be a text. `said`: a text here was said, or written to be.
    """

    place: Class
    kind: str
    leads_to: frozenset[str]
    kept: bool
    text: bool
    said: bool

    @classmethod
    def of(cls, place: Class, kind: str, leads_to: frozenset[str]) -> Place:
        """A place with what follows from its class."""
        return cls(
            place, kind, leads_to, place in KEPT, place in KEPT and place is not Class.NUMBER, place in SAID
        )


@cache
def lines() -> tuple[FieldRule, ...]:
    """The table. Raises ValueError for a class that there is not."""
    text = resources.files(__package__).joinpath("fields.tsv").read_text("utf-8")
    return tuple(map(_line, text.splitlines()))


def _line(text: str) -> FieldRule:
    where, what, leads_to, seen, *_ = (*text.split("\t"), "", "", "")
    schema, _, member = where.partition(".")
    place, _, kind = what.partition(" ")
    return FieldRule(schema, member, Class(place), kind, tuple(leads_to.split()), seen == "seen")


@cache
def _schemas() -> dict[str, dict[str, FieldRule]]:
    found: dict[str, dict[str, FieldRule]] = {}
    for line in lines():
        found.setdefault(line.schema, {})[line.member] = line
    return found


@cache
def members(schemas: frozenset[str]) -> dict[str, Place]:
    """The members of an object that may be of any of these schemas. Where they differ, the strictest class counts.

    The member `*` stands for any name.
    """
    found: dict[str, Place] = {}
    for line in (line for schema in sorted(schemas) for line in _schemas().get(schema, {}).values()):
        leads_to = frozenset(line.leads_to)
        known = found.get(line.member)
        place, kind = line.place, line.kind
        if known is not None:
            leads_to |= known.leads_to
            if _STRICTNESS[known.place] >= _STRICTNESS[place]:
                place, kind = known.place, known.kind
        found[line.member] = Place.of(place, kind, leads_to)
    values = frozenset(schema[1:] for schema in schemas if schema.startswith(ANY))
    if values:
        found[ANY] = Place.of(Class.STRUCTURE, "", values)
    return found
