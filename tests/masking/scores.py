"""Counts how many numbers are found in every context and how much other text is kept, and lists every error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vapi_sessions.privacy.masking import CARD, EMAIL, IBAN, PHONE, mask

from . import identities, not_numbers, numbers

Mask = Callable[[str], str]


@dataclass
class Score:
    """The number of texts, and those that were masked wrongly."""

    name: str
    total: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return 1 - len(self.wrong) / self.total if self.total else 1.0

    def __str__(self) -> str:
        return f"{self.name:<58}{self.total - len(self.wrong):>6} of {self.total:>5}{self.share:>9.1%}"


def found_in_grid(
    name: str, formats: Mapping[str, str], contexts: Mapping[str, numbers.Context], masked: Mask = mask
) -> Score:
    """Numbers in every format and context. One is found if its kind replaces all of its digits."""
    score = Score(name)
    for form, number in formats.items():
        for where, context in contexts.items():
            score.total += 1
            clean = masked(context(number))
            if PHONE not in clean or _digits(clean) != _digits(context("")):
                score.wrong.append(f"{form}, {where}: {context(number)!r} -> {clean!r}")
    return score


def found_in(name: str, texts: Iterable[str], kind: str, masked: Mask = mask) -> Score:
    """Texts with a value of one kind. It is found if the kind replaces it, and no part of an address and few digits are left."""
    score = Score(name)
    for text in texts:
        score.total += 1
        clean = masked(text)
        if (
            kind not in clean
            or "@" in clean
            or "example" in clean
            or len(_digits(clean.replace("\\u00a0", ""))) > 7
        ):
            score.wrong.append(f"{text!r} -> {clean!r}")
    return score


def kept(name: str, texts: Iterable[str], masked: Mask = mask) -> Score:
    """Texts that `mask` should not change."""
    score = Score(name)
    for text in texts:
        score.total += 1
        clean = masked(text)
        if clean != text:
            score.wrong.append(f"{text!r} -> {clean!r}")
    return score


def _digits(text: str) -> list[str]:
    return [sign for sign in text if sign.isdecimal()]


def texts_in(corpus: Path) -> list[str]:
    """Every string in the conversations, and in JSON inside them, without repetitions."""
    found: dict[str, None] = {}
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            found |= dict.fromkeys(_texts(json.loads(line)["messages"]))
    return list(found)


def _texts(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield value
        if value[:1] in ("{", "["):
            try:
                yield from _texts(json.loads(value))
            except ValueError:
                return
    elif type(value) in (list, dict):
        for item in value.values() if type(value) is dict else value:
            yield from _texts(item)


def in_corpus(corpus: Path, masked: Mask = mask) -> tuple[Score, Score]:
    """Texts of the corpus in which no number is found, and the addresses found.

    The corpus was read: it has addresses, but no telephone number, complete card number or IBAN. (`credit_card_4421486` and "gift card
    6276644" are the airline's names of payments.)
    """
    numbers_left = Score("corpus: texts without a false number")
    addresses = Score("corpus: addresses found")
    for text in texts_in(corpus):
        clean = masked(text)
        numbers_left.total += 1
        if any(kind in clean for kind in (PHONE, CARD, IBAN)):
            numbers_left.wrong.append(f"{text[:80]!r} -> {clean[:80]!r}")
        if "@" in text:
            addresses.total += 1
            if "@" in clean:
                addresses.wrong.append(clean[:80])
    return numbers_left, addresses


def national(masked: Callable[..., str] = mask) -> Iterator[Score]:
    """With a region: its national numbers, and texts to keep; the totals of all regions."""
    contexts = numbers.CONTEXTS | numbers.HELD_OUT_CONTEXTS | numbers.LATER_CONTEXTS
    found = Score("telephones found: national formats, with the region")
    left = Score("orders, prices, … kept, with a region")
    for region, number in numbers.NATIONAL.items():
        try:
            masked("", region)
        except TypeError:  # an earlier version has no regions
            return

        def masked_there(text: str, region: str = region) -> str:
            return masked(text, region)

        others = (*not_numbers.KEPT, *not_numbers.HELD_OUT_KEPT, *not_numbers.LATER_KEPT)
        for score, part in (
            (found, found_in_grid(region, {region: number}, contexts, masked_there)),
            (left, kept(region, (*others, *not_numbers.generated(20)), masked_there)),
        ):
            score.total += part.total
            score.wrong += part.wrong
    yield from (found, left)


GENERATED: Final = 200


def scores(masked: Mask = mask) -> list[Score]:
    """All scores except those of the corpus."""
    everywhere = numbers.CONTEXTS | numbers.HELD_OUT_CONTEXTS
    all_formats = numbers.FORMATS | numbers.HELD_OUT_FORMATS | numbers.LATER_FORMATS
    both = (
        ("tuned formats × tuned contexts", numbers.FORMATS, numbers.CONTEXTS),
        ("held-out formats × tuned contexts", numbers.HELD_OUT_FORMATS, numbers.CONTEXTS),
        ("tuned formats × held-out contexts", numbers.FORMATS, numbers.HELD_OUT_CONTEXTS),
        ("held-out formats × held-out contexts", numbers.HELD_OUT_FORMATS, numbers.HELD_OUT_CONTEXTS),
        ("later formats × all contexts", numbers.LATER_FORMATS, everywhere),
        ("all formats × later contexts", all_formats, numbers.LATER_CONTEXTS),
    )
    return [
        *(found_in_grid(f"telephones found: {name}", *sets, masked=masked) for name, *sets in both),  # type: ignore[arg-type]  # a name and two mappings
        *national(masked),
        found_in("cards found", identities.CARDS, CARD, masked),
        found_in("cards found, held out", identities.HELD_OUT_CARDS, CARD, masked),
        found_in("IBANs found", identities.IBANS, IBAN, masked),
        found_in("IBANs found, held out", identities.HELD_OUT_IBANS, IBAN, masked),
        found_in("addresses found", identities.ADDRESSES, EMAIL, masked),
        found_in("addresses found, held out", identities.HELD_OUT_ADDRESSES, EMAIL, masked),
        kept("orders, prices, dates, epochs, ids kept", not_numbers.KEPT, masked),
        kept("the same, held out", not_numbers.HELD_OUT_KEPT, masked),
        kept("the same, later", not_numbers.LATER_KEPT, masked),
        kept("the same, generated", not_numbers.generated(GENERATED), masked),
        kept("similar to IBANs, kept", identities.NO_IBANS, masked),
        kept("similar to addresses, kept", identities.NO_ADDRESSES, masked),
    ]
