"""How many numbers are found in every context, and how much else is left alone. Counted, and every miss named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vapi_sessions.privacy.masking import CARD, EMAIL, IBAN, PHONE, mask

from . import identities, numbers, others

Mask = Callable[[str], str]


@dataclass
class Figure:
    """So many of so many, and the texts that count against it."""

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
) -> Figure:
    """A number counts as found if it is called one, and none of its digits is left."""
    figure = Figure(name)
    for form, number in formats.items():
        for place, context in contexts.items():
            figure.total += 1
            clean = masked(context(number))
            if PHONE not in clean or _digits(clean) != _digits(context("")):
                figure.wrong.append(f"{form}, {place}: {context(number)!r} -> {clean!r}")
    return figure


def found_in(name: str, texts: Iterable[str], kind: str, masked: Mask = mask) -> Figure:
    """A text counts if the kind stands in it afterwards, no part of an address, and at most an expiry date and a code of digits."""
    figure = Figure(name)
    for text in texts:
        figure.total += 1
        clean = masked(text)
        if (
            kind not in clean
            or "@" in clean
            or "example" in clean
            or len(_digits(clean.replace("\\u00a0", ""))) > 7
        ):
            figure.wrong.append(f"{text!r} -> {clean!r}")
    return figure


def left_alone(name: str, texts: Iterable[str], masked: Mask = mask) -> Figure:
    """A text counts if it is the same afterwards."""
    figure = Figure(name)
    for text in texts:
        figure.total += 1
        clean = masked(text)
        if clean != text:
            figure.wrong.append(f"{text!r} -> {clean!r}")
    return figure


def _digits(text: str) -> list[str]:
    return [sign for sign in text if sign.isdecimal()]


def texts_in(corpus: Path) -> list[str]:
    """Every text of the conversations, and what stands in the JSON within them; each once."""
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


#: Every sign of a person in the corpus that these kinds cover is an address; by reading: no text of it has a telephone
#: number, a whole card number or an IBAN. (`credit_card_4421486` and "gift card 6276644" are the airline's own names of payments.)
def in_corpus(corpus: Path, masked: Mask = mask) -> tuple[Figure, Figure]:
    """Texts in which something is taken for a telephone, a card or an account; and addresses found."""
    numbers_left = Figure("corpus: texts without a number taken for one")
    addresses = Figure("corpus: addresses found")
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


def national(masked: Callable[..., str] = mask) -> Iterator[Figure]:
    """With the region: numbers as its people write them, and what else is left alone; all regions together."""
    contexts = numbers.CONTEXTS | numbers.HELD_OUT_CONTEXTS | numbers.LATER_CONTEXTS
    found = Figure("telephones found: national formats, with the region")
    left = Figure("orders, prices, … left alone, with a region")
    for region, number in numbers.NATIONAL.items():
        try:
            masked("", region)
        except TypeError:  # an earlier version knows no region
            return

        def masked_there(text: str, region: str = region) -> str:
            return masked(text, region)

        others_there = (*others.LEFT_ALONE, *others.HELD_OUT_LEFT_ALONE, *others.LATER_LEFT_ALONE)
        for figure, part in (
            (found, found_in_grid(region, {region: number}, contexts, masked_there)),
            (left, left_alone(region, (*others_there, *others.generated(20)), masked_there)),
        ):
            figure.total += part.total
            figure.wrong += part.wrong
    yield from (found, left)


GENERATED: Final = 200


def figures(masked: Mask = mask) -> list[Figure]:
    """All but those of the corpus."""
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
        *(found_in_grid(f"telephones found: {name}", *sets, masked=masked) for name, *sets in both),  # type: ignore[arg-type]
        *national(masked),
        found_in("cards found", identities.CARDS, CARD, masked),
        found_in("cards found, held out", identities.HELD_OUT_CARDS, CARD, masked),
        found_in("accounts found", identities.ACCOUNTS, IBAN, masked),
        found_in("accounts found, held out", identities.HELD_OUT_ACCOUNTS, IBAN, masked),
        found_in("addresses found", identities.ADDRESSES, EMAIL, masked),
        found_in("addresses found, held out", identities.HELD_OUT_ADDRESSES, EMAIL, masked),
        left_alone("orders, prices, dates, epochs, ids left alone", others.LEFT_ALONE, masked),
        left_alone("the same, held out", others.HELD_OUT_LEFT_ALONE, masked),
        left_alone("the same, later", others.LATER_LEFT_ALONE, masked),
        left_alone("the same, generated", others.generated(GENERATED), masked),
        left_alone("what is no account left alone", identities.NO_ACCOUNTS, masked),
        left_alone("what is no address left alone", identities.NO_ADDRESSES, masked),
    ]
