"""Formats of telephone numbers and contexts in which they occur: the grid that recall is measured with.

There are three sets of each. The rules were tuned with the first. The second, `HELD_OUT_…`, was written at the same time, before any
rule; the third, `LATER_…`, when the rules found everything in the first two. Recall in the first run on each: tuned grid 91 %,
held-out formats 98 %, held-out contexts 92 % (one error in tuned formats), both 100 %; later formats 95.7 %, later contexts
93.0 %. The errors that these showed were fixed (a bracket or an underscore around a number, `#`, the exit code 011), so the rules
are now tuned with all three. Numbers are reserved for fiction if the country has such. No entry was removed because it is
missed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

Context = Callable[[str], str]

#: Thirteen usual formats.
FORMATS: Final = {
    "E.164": "+14155550132",
    "international, blanks": "+1 415 555 0132",
    "international, brackets": "+1 (415) 555-0132",
    "brackets": "(415) 555-0132",
    "hyphens": "415-555-0132",
    "dots": "415.555.0132",
    "bare, ten digits": "4155550132",
    "trunk 1": "1-415-555-0132",
    "00": "0049 30 23125123",
    "zero in brackets": "+49 (0)30 23125 123",
    "German mobile": "0171 3920018",
    "London": "020 7946 0958",
    "French pairs": "06 39 98 12 34",
}

HELD_OUT_FORMATS: Final = {
    "British, international": "+44 7700 900123",
    "British, national": "07700 900123",
    "British, bare": "07700900123",
    "1 and ten digits": "14155550132",
    "Indian, international": "+91 98765 43210",
    "Indian, national": "98765 43210",
    "slash": "0171/392 00 18",
    "slash and blanks": "0171 / 392 00 18",
    "international, dots": "+1.415.555.0132",
    "French, international": "+33 6 39 98 12 34",
    "French, bare": "0639981234",
    "00, short groups": "00 44 20 7946 0958",
    "00, bare": "00442079460958",
    "Brazilian, E.164": "+5511987654321",
    "WhatsApp": "4915123920018",
    "digit by digit": "4 1 5 5 5 5 0 1 3 2",
    "read back": "4-1-5, 5-5-5, 0-1-3-2",
    "Chinese": "+86 138 0013 8000",
    "Berlin, brackets": "(030) 23125-123",
    "blanks": "415 555 0132",
    "1 and brackets": "1 (415) 555 0132",
    "Australian": "(02) 5550 1234",
    "Japanese": "090-1234-5678",
    "Korean": "010-1234-5678",
    "Russian": "8 (916) 123-45-67",
    "Brazilian": "(11) 98765-4321",
    "Swiss": "079 123 45 67",
    "unassigned area": "(555) 010-4477",
}

#: Written after the rules.
LATER_FORMATS: Final = {
    "international, hyphens": "+1-415-555-0132",
    "code in brackets": "(+1) 415-555-0132",
    "zero in brackets, tight": "+44(0)20 7946 0958",
    "001": "001 415 555 0132",
    "American exit code": "011 44 20 7946 0958",
    "tight brackets": "(415)555-0132",
    "brackets and seven": "(415)5550132",
    "1 and dots": "1.415.555.0132",
    "London, hyphens": "020-7946-0958",
    "London, brackets": "(020) 7946 0958",
    "three and seven": "415 5550132",
    "blanks and hyphens": "415 - 555 - 0132",
    "dash": "+1 (415) 555 – 0132",
    "Swedish": "0701-74 06 05",
    "Swedish, international": "+46 70 174 06 05",
    "Singapore": "+65 6123 4567",
    "Dubai": "+971 50 123 4567",
    "Italian": "+39 312 345 6789",
    "Ukrainian": "+380 44 123 4567",
    "German, long": "+49 89 23125-1234",
    "Spanish, international": "+34 612 345 678",
    "code without plus": "44 7911 123456",
    "unassigned, international": "+1 555 010 4477",
    "too short, international": "+1 415 555 013",
}

_ARABIC: Final = dict(zip(map(ord, "0123456789"), "٠١٢٣٤٥٦٧٨٩", strict=True))
_DEVANAGARI: Final = dict(zip(map(ord, "0123456789"), "०१२३४५६७८९", strict=True))
_BENGALI: Final = dict(zip(map(ord, "0123456789"), "০১২৩৪৫৬৭৮৯", strict=True))
_THAI: Final = dict(zip(map(ord, "0123456789"), "๐๑๒๓๔๕๖๗๘๙", strict=True))
_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def _in_json(text: str, depth: int) -> str:
    for _ in range(depth):
        text = json.dumps({"phone": text})
    return text


#: Eighteen usual contexts.
CONTEXTS: Final[dict[str, Context]] = {
    "alone": lambda n: n,
    "in a sentence": lambda n: f"My number is {n}.",
    "after a colon": lambda n: f"phone:{n}",
    "after a colon and a blank": lambda n: f"Mobile: {n}, thanks",
    "between commas": lambda n: f"Ann,{n},Berlin",
    "in a request": lambda n: f"Please call {n} or write to me",
    "in quotes": lambda n: f'"{n}"',
    "in JSON": lambda n: f'{{"phone": "{n}"}}',
    "in JSON in JSON": lambda n: _in_json(n, 3),
    "after an escaped line break": lambda n: f"Here it is\\n{n}\\nAnn",
    "with no-break spaces": lambda n: f"Phone\u00a0{n.replace(' ', chr(0xA0))}\u00a0(Ann)",
    "in brackets": lambda n: f"Ann ({n})",
    "after tel:": lambda n: f"tel:{n}",
    "in a list": lambda n: f"[{n}, {n}]",
    "with an extension": lambda n: f"{n} ext. {n[-2:].lstrip('-')}",
    "in Arabic digits": lambda n: n.translate(_ARABIC),
    "in full-width digits": lambda n: f"電話番号は{n.translate(_FULL_WIDTH)}です",
    "in Devanagari digits": lambda n: f"मेरा नंबर {n.translate(_DEVANAGARI)} है",
}

HELD_OUT_CONTEXTS: Final[dict[str, Context]] = {
    "shouted": lambda n: f"Ring me on {n}!",
    "confirmed": lambda n: f"it's {n}, okay?",
    "semicolons": lambda n: f"{n}; {n}",
    "in a query": lambda n: f"https://x.test/?contact={quote(n)}&lang=en",
    "in HTML": lambda n: f"<b>{n}</b>",
    "German": lambda n: f"Telefon {n}",
    "bold": lambda n: f"**{n}**",
    "directional marks": lambda n: f"\u2066{n}\u2069",
    "escaped no-break space": lambda n: f"call\\u00a0{n.replace(' ', chr(92) + 'u00a0')}",
    "escaped tab": lambda n: f"\\t{n}\\tAnn",
    "itemised": lambda n: f"- Ann\n- {n}\n- Berlin",
    "in a table": lambda n: f"|Ann|{n}|Berlin|",
    "typographic quotes": lambda n: f"“{n}” ‘{n}’",
    "with a date": lambda n: f"Reached Ann at {n} on the 4th",
    "Chinese": lambda n: f"我的电话{n}。",
    "question": lambda n: f"Did you say {n}?",
    "single quotes": lambda n: f"{{'to': '{n}'}}",
    "escaped twice": lambda n: f"Ann\\\\n{n}\\\\nBob",
    "said afterwards": lambda n: f"{n} is the best number to reach me",
    "embedding marks": lambda n: f"\u202d{n}\u202c",
    "Bengali": lambda n: n.translate(_BENGALI),
    "Thai": lambda n: f"โทร {n.translate(_THAI)}",
    "entity": lambda n: f"Tel.:&nbsp;{n.replace(' ', '&nbsp;')}",
    "narrow spaces and dashes": lambda n: n.replace(" ", "\u202f").replace("-", "\u2011"),
    "assigned": lambda n: f"caller={n}",
    "escaped quotes": lambda n: f'{{\\"to\\":\\"{n}\\"}}',
    "soft breaks": lambda n: n.replace("-", "-\u200b").replace(" ", " \u200b"),
    "two with or": lambda n: f"{n} or {n}",
    "two with a slash": lambda n: f"{n} / {n}",
    "fax and all": lambda n: f"T {n} F {n}",
}

LATER_CONTEXTS: Final[dict[str, Context]] = {
    "XML": lambda n: f"<Phone>{n}</Phone>",
    "SSML": lambda n: f'<say-as interpret-as="telephone">{n}</say-as>',
    "Markdown link": lambda n: f"[{n}](tel:{n})",
    "abbreviated": lambda n: f"P: {n} | E: ann",
    "number sign": lambda n: f"Ph# {n}",
    "carriage returns": lambda n: f"Ann\r\n{n}\r\nBerlin",
    "tabs": lambda n: f"Ann\t{n}\tBerlin",
    "semicolons, CSV": lambda n: f"Ann;{n};Berlin",
    "apposition": lambda n: f"Your callback number, {n}, is saved",
    "booking for": lambda n: f"I booked a table under {n} for Ann",
    "ordered yesterday": lambda n: f"I ordered yesterday, my phone is {n}, order a b c",
    "underscores": lambda n: f"_{n}_",
    "backticks": lambda n: f"`{n}`",
    "braces": lambda n: f"{{{n}}}",
    "tuple": lambda n: f"('{n}',)",
    "ellipsis": lambda n: f"…{n}…",
    "Korean": lambda n: f"전화번호: {n}",
    "Russian": lambda n: f"Мой номер {n}, спасибо",
    "Spanish": lambda n: f"¿Su número es {n}?",
    "French": lambda n: f"Téléphone : {n}",
    "Japanese": lambda n: f"「{n}」に電話してください",
    "JSON number key": lambda n: f'{{"customer":{{"number":"{n}"}}}}',
    "YAML": lambda n: f"contact:\n  phone: {n}\n  name: Ann",
    "from and to": lambda n: f"from {n} to {n}",
    "Persian": lambda n: "تلفن " + n.translate({48 + digit: 0x6F0 + digit for digit in range(10)}),
    "mathematical digits": lambda n: n.translate({48 + digit: 0x1D7CE + digit for digit in range(10)}),
    "escaped letters": lambda n: "".join(f"\\u{ord(sign):04x}" for sign in n),
    "a list in words": lambda n: f"Call either {n}, or {n}, and then {n}.",
}

#: National formats that can be recognised only with the region.
NATIONAL: Final = {
    "ES": "612 345 678",
    "DK": "20 12 34 56",
    "SG": "6123 4567",
    "IN": "9876543210",
    "PL": "512 345 678",
    "MX": "55 1234 5678",
    "NO": "912 34 567",
    "HK": "5123 4567",
    "BE": "0470 12 34 56",
    "IT": "312 345 6789",
    "BR": "11 98765-4321",
    "CN": "138 0013 8000",
    "DE": "030/23125-12",
    "US": "4155550132",
}
