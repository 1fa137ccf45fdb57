"""Which fields hold personal data of the customer: those of the contract, and those with usual names that users add."""

from __future__ import annotations

import re
from typing import Any, Final

from vapi_sessions.privacy.json_edit import number_text

#: What pseudonyms begin with.
PSEUDONYM_PREFIX: Final = "psn_"
_PSEUDONYM: Final = re.compile(f"{PSEUDONYM_PREFIX}[0-9a-f]{{32}}")

#: Members of a customer object that hold personal data. Each has a kind of its own, with the same name.
_CUSTOMER_FIELDS: Final = frozenset({"number", "extension", "email", "name", "sipUri", "externalId"})
_WHO: Final = "(?:customer|caller|user|contact|client|patient|guest|lead)?"
#: Usual names in `metadata` and `variableValues`, in lower case and without separators, and the kind of each.
_USUAL_NAMES: Final = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (rf"{_WHO}(?:e?mail)(?:address)?", "email"),
        (rf"{_WHO}(?:(?:tele)?phone|mobile|cell|whatsapp)?(?:number|phone|mobile|cell)", "number"),
        (rf"{_WHO}(?:first|last|full|given|family|sur|middle)?name", "name"),
        (r"(?:customer)?externalid", "externalId"),
        (r"sip(?:uri)?", "sipUri"),
        (
            r"(?:street|postal|home|billing|shipping)?address|dateofbirth|birth(?:date|day)|dob|ssn|iban",
            "other",
        ),
    )
)


def is_pseudonym(value: str) -> bool:
    """Whether a value has been replaced by a pseudonym already."""
    return _PSEUDONYM.fullmatch(value) is not None


def kind_of(name: str) -> str | None:
    """The kind of personal data that a member with this name usually holds; None if it usually holds none."""
    bare = re.sub("[-_. ]", "", name).lower()
    return next((kind for pattern, kind in _USUAL_NAMES if pattern.fullmatch(bare)), None)


def personal_values(customer: Any) -> list[tuple[str, str]]:
    """Kind and value of the personal data in a session's `customer`, without pseudonyms."""
    found = [
        (kind, number_text(value) if type(value) is int else value)
        for name, value in (customer.items() if type(customer) is dict else ())
        if (kind := name if name in _CUSTOMER_FIELDS else kind_of(name)) is not None
    ]
    return [
        (kind, value)
        for kind, value in found
        if type(value) is str and value.strip() and not is_pseudonym(value)
    ]
