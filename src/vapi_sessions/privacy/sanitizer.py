"""What is done to every session before it is written: redaction, then the policy. One object a run. Pure.

The treatment in force is part of the warehouse: each raw file's footer says what its rows went through, and `sync.state`
says it for the whole. So a stricter one is noticed, and what is stored goes through it as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vapi_sessions.privacy import masking, redaction
from vapi_sessions.privacy.policy import POLICY_VERSION, MessageText, PersonalData, Policy

#: Keys of the warehouse's state.
STATE: Final = "treatment"
KEY_STATE: Final = "pseudonym_key"
_PERSONAL: Final = list(PersonalData)
_TEXT: Final = list(MessageText)


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """Redaction with what the user adds, and the policy."""

    extra: redaction.Extra = field(default_factory=redaction.Extra)
    policy: Policy = field(default_factory=Policy)
    _hash_part: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash_part", hash_part(self.stamp))  # asked for with every session

    def page(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The bodies as they may be stored; the same objects where nothing applies."""
        return self.policy.page(redaction.redact_page(bodies, self.extra))

    def hash(self, body: bytes) -> str:
        """The content hash of a treated body."""
        return redaction.content_hash(body, self._hash_part)

    @property
    def stamp(self) -> str:
        """Compact JSON: the redactor's version, and whatever is not the default."""
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
        """What the warehouse remembers of it."""
        key = self.policy.key_check
        return {STATE: self.stamp, **({KEY_STATE: key} if key else {})}

    def same_key(self, state: Mapping[str, str]) -> bool:
        """Whether pseudonyms made now equal those that are stored."""
        return (
            not self.policy.key_check or state.get(KEY_STATE, self.policy.key_check) == self.policy.key_check
        )

    def is_stricter(self, stored: str | None) -> bool:
        """Whether what was stored under that stamp must go through this treatment as well."""
        ours, theirs = _facts(self.stamp), _facts(stored)
        return (
            any(ours[name] > theirs[name] for name in ("redactor", "policy", "masking"))
            or _PERSONAL.index(ours["personal"]) > _PERSONAL.index(theirs["personal"])
            or _TEXT.index(ours["text"]) > _TEXT.index(theirs["text"])
            or any(not ours[name] <= theirs[name] for name in ("names", "paths"))
            or ours["region"] not in ("", theirs["region"])  # more numbers are known for such
        )

    def is_looser(self, stored: str | None) -> bool:
        """Whether something stored under that stamp lacks what this treatment would keep."""
        ours, theirs = _facts(self.stamp), _facts(stored)
        return (
            _PERSONAL.index(ours["personal"]) < _PERSONAL.index(theirs["personal"])
            or _TEXT.index(ours["text"]) < _TEXT.index(theirs["text"])
            or any(not ours[name] >= theirs[name] for name in ("names", "paths"))
        )


def drops_particulars(stamp: str | None) -> bool:
    """Whether what was stored under that stamp says of nobody who the customer was."""
    return bool(_facts(stamp)["personal"] is PersonalData.DROP)


def hash_part(stamp: str | None) -> str:
    """What of a stamp goes into content hashes: nothing as long as everything is the default."""
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
