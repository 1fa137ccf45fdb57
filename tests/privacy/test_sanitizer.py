"""Sanitizers can be compared, and content hashes depend on them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy
from vapi_sessions.privacy.redaction import Extra
from vapi_sessions.privacy.sanitizer import Sanitizer, hash_part

KEY = b"k" * 32
PSEUDONYMISE = Policy(PersonalData.PSEUDONYMISE, key=KEY)
DROP = Policy(PersonalData.DROP)
MASK = Policy(text=MessageText.MASK)
DROP_TEXT = Policy(text=MessageText.DROP)


def test_the_key_is_not_shown() -> None:
    """Neither in a repr, nor in what the warehouse stores."""
    sanitizer = Sanitizer(policy=PSEUDONYMISE)
    assert "kkkk" not in repr(sanitizer) + json.dumps(sanitizer.state)


@pytest.mark.parametrize(
    ("ours", "theirs", "stricter", "looser"),
    [
        (Sanitizer(), Sanitizer(), False, False),
        (Sanitizer(policy=PSEUDONYMISE), Sanitizer(), True, False),
        (Sanitizer(policy=DROP), Sanitizer(policy=PSEUDONYMISE), True, False),
        (Sanitizer(), Sanitizer(policy=MASK), False, True),
        (Sanitizer(policy=DROP), Sanitizer(policy=DROP_TEXT), True, True),
        (Sanitizer(Extra.of(["a"], [])), Sanitizer(), True, False),
        (Sanitizer(), Sanitizer(Extra.of([], ["a.b"])), False, True),
        (Sanitizer(Extra.of(["a", "b"], ["x"])), Sanitizer(Extra.of(["b"], ["x"])), True, False),
        (Sanitizer(policy=replace(MASK, region="US")), Sanitizer(policy=MASK), True, False),
        (Sanitizer(policy=MASK), Sanitizer(policy=replace(MASK, region="US")), False, False),
    ],
)
def test_sanitizers_compare_by_strictness(
    ours: Sanitizer, theirs: Sanitizer, stricter: bool, looser: bool
) -> None:
    """By level and by the user's own rules. A sanitizer can be both stricter and looser."""
    assert (ours.is_stricter(theirs.stamp), ours.is_looser(theirs.stamp)) == (stricter, looser)
    assert Sanitizer().is_stricter(None)  # stored by an older redactor


def test_the_content_hash_depends_on_the_policy() -> None:
    """So that sessions are stored again under another policy. The default adds nothing to the hash."""
    hashes = {
        Sanitizer(policy=policy).hash(b"{}") for policy in (Policy(), PSEUDONYMISE, DROP, MASK, DROP_TEXT)
    }
    assert len(hashes) == 5
    assert hash_part(Sanitizer().stamp) == hash_part(None) == ""
