"""The policy: the level for personal data, the level for text, and the key of pseudonyms. `policy_json` applies it to sessions.

- Personal data (`VAPI_PERSONAL_DATA`): `pseudonymise` replaces each value by an HMAC-SHA-256 under the user's key, so that equal values
  stay equal across sessions and joins still work. `drop` replaces it by null. Personal values of the customer are also replaced
  where they occur in prompts and free fields, in any spelling (`known_values`), but not in a conversation that is kept.
- Text (`VAPI_MESSAGE_TEXT`): messages, tool calls and their results, prompts, extracted outputs. `mask` replaces numbers,
  addresses and the customer's personal values by their kind. `drop` keeps only lengths and counts. Both remove recordings and
  links to them, which contain the same text.

Fields without a class (`fields`) are personal and text: `drop` of personal data removes them; `mask` and `drop` of text treat them as
text, including member names and JSON inside strings. `customerId`, the source's id of a saved customer, is a pseudonym already;
only `drop` removes it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from vapi_sessions.privacy.identity import normalised
from vapi_sessions.privacy.json_edit import change_list, change_object, number_text
from vapi_sessions.privacy.personal import PSEUDONYM_PREFIX, is_pseudonym

#: Part of every content hash. Raise it when a rule changes: stored sessions are then sanitized again.
POLICY_VERSION: Final = 2


class PersonalData(StrEnum):
    """Levels for personal data, from loose to strict."""

    KEEP = "keep"
    PSEUDONYMISE = "pseudonymise"
    DROP = "drop"


class MessageText(StrEnum):
    """Levels for text, from loose to strict."""

    KEEP = "keep"
    MASK = "mask"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Policy:
    """Both levels and their settings. False if everything is kept."""

    personal: PersonalData = PersonalData.KEEP
    text: MessageText = MessageText.KEEP
    key: bytes | None = field(default=None, repr=False)
    #: Country (ISO 3166) of telephone numbers that are written without one.
    region: str | None = None

    def __post_init__(self) -> None:
        if self.personal is PersonalData.PSEUDONYMISE and not self.key:
            raise ValueError("pseudonyms need a key")

    def __bool__(self) -> bool:
        return self.personal is not PersonalData.KEEP or self.text is not MessageText.KEEP

    @property
    def key_check(self) -> str:
        """Differs between keys and reveals neither; "" without pseudonyms."""
        if self.personal is not PersonalData.PSEUDONYMISE:
            return ""
        return self.pseudonym("key check", "vapi-sessions")[4:20]

    def pseudonym(self, kind: str, value: str) -> str:
        """`psn_` and 32 hexadecimal digits, equal for equal values of a kind."""
        if is_pseudonym(value):
            return value
        message = f"{kind}\0{normalised(kind, value, self.region)}".encode("utf-8", "surrogatepass")
        return PSEUDONYM_PREFIX + hmac.new(self.key or b"", message, hashlib.sha256).hexdigest()[:32]

    def replace_personal(self, kind: str, value: Any) -> Any:
        """Personal data as it is stored: the value itself, a pseudonym or null; of lists and objects, each leaf."""
        if self.personal is PersonalData.KEEP or value is None or type(value) is bool:
            return value
        if self.personal is PersonalData.DROP:
            return None
        if type(value) is list:
            return change_list(value, lambda item: self.replace_personal(kind, item))
        if type(value) is dict:
            return change_object(value, lambda _, member: self.replace_personal(kind, member))
        text = value if type(value) is str else number_text(value)
        if not text.strip():
            return value
        clean = self.pseudonym(kind, text)
        return value if clean == value else clean
