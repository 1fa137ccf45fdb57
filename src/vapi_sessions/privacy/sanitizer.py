"""Sanitizes every session before it is written: redacts credentials, then applies the policy. One object for each run.

The warehouse stores the sanitizer's stamp: the footer of each raw file has the one of its rows, `sync.state` the one in force. A run
with a stricter sanitizer finds the difference, and sanitizes the stored sessions again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vapi_sessions.privacy import masking, redaction
from vapi_sessions.privacy.policy import POLICY_VERSION, MessageText, PersonalData, Policy
from vapi_sessions.privacy.policy_json import apply_to_page

#: Keys in `sync.state` and in the footers of raw files. Their values are part of the on-disk format.
STATE: Final = "treatment"
KEY_STATE: Final = "pseudonym_key"
_PERSONAL: Final = list(PersonalData)
_TEXT: Final = list(MessageText)


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """The redactor with the user's own rules, and the policy."""

    extra: redaction.Extra = field(default_factory=redaction.Extra)
    policy: Policy = field(default_factory=Policy)
    _hash_part: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash_part", hash_part(self.stamp))  # used for every session

    def page(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The bodies as they may be stored; the same objects where nothing applies."""
        return apply_to_page(self.policy, redaction.redact_page(bodies, self.extra))

    def hash(self, body: bytes) -> str:
        """The content hash of a sanitized body."""
        return redaction.content_hash(body, self._hash_part)

    @property
    def stamp(self) -> str:
        """Compact JSON: the redactor's version, and every setting that is not the default."""
        facts: dict[str, Any] = {"redactor": redaction.REDACTOR_VERSION}
        if self.extra:
            facts |= {"names": sorted(self.extra.names), "paths": [".".join(p) for p in self.extra.paths]}
        if self.policy:
            facts |= {"personal": str(self.policy.personal), "text": str(self.policy.text)}
            facts |= {"policy": POLICY_VERSION, "masking": masking.MASKING_VERSION}
            if self.policy.region:
                facts["region"] = self.policy.region
        return json.dumps(facts, sort_keys=True, separators=(",", ":"))

    @property
    def state(self) -> dict[str, str]:
        """What the warehouse stores about this sanitizer."""
        key = self.policy.key_check
        return {STATE: self.stamp, **({KEY_STATE: key} if key else {})}

    def same_key(self, state: Mapping[str, str]) -> bool:
        """Whether this sanitizer makes the same pseudonyms as those that are stored."""
        return (
            not self.policy.key_check or state.get(KEY_STATE, self.policy.key_check) == self.policy.key_check
        )

    def is_stricter(self, stored: str | None) -> bool:
        """Whether sessions stored with that stamp must be sanitized again."""
        ours, theirs = _facts(self.stamp), _facts(stored)
        return (
            any(ours[name] > theirs[name] for name in ("redactor", "policy", "masking"))
            or _PERSONAL.index(ours["personal"]) > _PERSONAL.index(theirs["personal"])
            or _TEXT.index(ours["text"]) > _TEXT.index(theirs["text"])
            or any(not ours[name] <= theirs[name] for name in ("names", "paths"))
            or ours["region"] not in ("", theirs["region"])  # with a region, more numbers are found
        )

    def is_looser(self, stored: str | None) -> bool:
        """Whether something removed from sessions with that stamp would be kept by this sanitizer."""
        ours, theirs = _facts(self.stamp), _facts(stored)
        return (
            _PERSONAL.index(ours["personal"]) < _PERSONAL.index(theirs["personal"])
            or _TEXT.index(ours["text"]) < _TEXT.index(theirs["text"])
            or any(not ours[name] >= theirs[name] for name in ("names", "paths"))
        )


def levels(stamp: str | None) -> tuple[PersonalData, MessageText]:
    """The levels at which sessions with that stamp were stored."""
    facts = _facts(stamp)
    return facts["personal"], facts["text"]


def drops_particulars(stamp: str | None) -> bool:
    """Whether sessions stored with that stamp contain no personal data of the customer."""
    return bool(_facts(stamp)["personal"] is PersonalData.DROP)


def hash_part(stamp: str | None) -> str:
    """The part of a stamp that content hashes depend on: "" if everything is the default."""
    facts = json.loads(stamp) if stamp else {}
    facts.pop("redactor", None)
    return json.dumps(facts, sort_keys=True, separators=(",", ":")) if facts else ""


def _facts(stamp: str | None) -> dict[str, Any]:
    found = json.loads(stamp) if stamp else {}
    return {
        "redactor": found.get("redactor", 1),
        "policy": found.get("policy", 0),
        "masking": found.get("masking", 0),
        "region": found.get("region", ""),
        "personal": PersonalData(found.get("personal", "keep")),
        "text": MessageText(found.get("text", "keep")),
        "names": frozenset(found.get("names", ())),
        "paths": frozenset(found.get("paths", ())),
    }
