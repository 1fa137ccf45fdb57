"""What the words next to a number say about it: that it is a telephone number, a card, or something else, such as an order."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Introduced(Enum):
    """What the words introduce a number as: nothing in particular, a kind that is masked, or something else."""

    AS_NOTHING = 0
    AS_PHONE = 1
    AS_CARD = 2
    AS_SOCIAL = 3
    AS_OTHER = 4


#: Number of characters before a number that are examined.
REACH: Final = 48
#: Within this distance, a word belongs to the number: "order 415…", "order no. 415…".
_CLOSE: Final = 6

#: The parts of `orderNumber` count as words.
_WORD: Final = re.compile(r"[A-Z]?[a-zß-ÿ]+|[A-Z]+(?![a-z])|[^\W\d_]+|[$€£¥#]")
#: Beginnings of words with many endings, and whole words. The nearest one before a number decides.
_STEMS: Final = {
    Introduced.AS_PHONE: "phon telephon telefon téléphon teléfon smartphon mobil handy dial reach contact llam appel erreich",
    Introduced.AS_OTHER: "order bestell pedido commande invoice rechnung factur konto certificat voucher coupon gutschein promo "
    "ticket reference reservation booking buchung confirmation flight flug member shipment parcel package product "
    "transaction payment receipt time start expir creat updat",
}
_WORDS: Final = {
    Introduced.AS_PHONE: "ph tel tél móvil movil cell cellphone celular cellulare fax landline callback msisdn call calls called "
    "caller calling ring rufnummer whatsapp wa sms text anrufen número numéro numero नंबर मोबाइल फ़ोन फोन 电话 電話 手机 "
    "手機 هاتف جوال رقم โทร 전화 телефон номер",
    Introduced.AS_CARD: "card cards karte kreditkarte carte tarjeta visa mastercard amex pan",
    Introduced.AS_SOCIAL: "ssn social security",
    Introduced.AS_OTHER: "kundennummer loyalty flyer account policy claim contract case cases incident ref pnr itinerary vuelo "
    "boarding gate seat passenger passport license licence tracking track sku part item items article articles model models serial "
    "vin imei isbn ean upc lot batch po zip postal postcode id ids uuid guid key hash code commit seed version build rev trace "
    "span process pid port request req run job row line page epoch ts date dates datetime ended ends end exp iat since until "
    "duration latency took second seconds ms total sum amount balance price prices cost costs refund revenue budget salary usd "
    "eur gbp population size width height lat lng lon latitude longitude score scores points miles bytes rfc iso doi "
    "$ € £ ¥",
}
_KINDS: Final = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_BEGINNINGS: Final = {stem: kind for kind, stems in _STEMS.items() for stem in stems.split()}
_STEM: Final = re.compile("|".join(_BEGINNINGS))
#: Words that announce a number; the word before them says which: "order number", "phone #".
_NUMBER: Final = frozenset({"number", "numbers", "nummer", "no", "nr", "num", "#"})
#: Their meaning without a word before.
_ALONE: Final = {
    "number": Introduced.AS_PHONE,
    "numbers": Introduced.AS_PHONE,
    "nummer": Introduced.AS_PHONE,
    "#": Introduced.AS_OTHER,
}
#: "Customer number" may be a telephone number or an id.
_AMBIGUOUS: Final = frozenset({"customer", "client", "user"})

#: If a colon or an equals sign precedes the number, only the label before it counts: `units: 415…`.
_LABEL: Final = re.compile(r"[\"']{0,2}\s{0,3}[:=]\s{0,3}[\"'(\[<*]{0,4}\Z")
_NO_LABEL: Final = re.compile(r"[^\w .()'/-]")
#: The number is part of an id or a path: `ORD-415…`, `orders/415…`.
_ATTACHED: Final = re.compile(r"[A-Za-z0-9][\w.]*[-_/#]{1,3}\Z")
_UNITS: Final = re.compile(
    r"[ ]?(?:[€$£¥%]|(?i:usd|eur|gbp|dollars?|euros?|pounds|yen|[mnµu]?s|secs?|seconds|minutes|hours|bytes|[kmg]i?b|km|miles|"
    r"points|people|tokens|times)(?!\w))"
)
_AFTER: Final = re.compile(
    r"[ ,]{0,2}(?:\(?(?i:mobile|cell|phone|tel|fax|home|work)(?!\w)|is[ ](?:\w{1,20}[ ]){1,3}(?i:number|phone|mobile|cell)(?!\w))"
)


def introduced(before: str) -> tuple[Introduced, bool]:
    """What the words before a number introduce it as, and whether the deciding word is close to it."""
    line = before.rstrip("\n\r\t ") if before[-1:] in "\n\r" else before
    line = line[line.rfind("\n") + 1 :]
    attached = _ATTACHED.search(line)
    if attached:
        line = attached[0]
    elif label := _LABEL.search(line):
        line = line[: label.start()]
        for sign in _NO_LABEL.finditer(line):
            line = " " * sign.end() + line[sign.end() :]
    words = list(_WORD.finditer(line))
    for index in reversed(range(len(words))):
        kind = _kind([word[0].lower() for word in words[max(0, index - 1) : index + 1]])
        if kind is Introduced.AS_NOTHING:
            break
        if kind is not None:
            return kind, len(line) - words[index].end() <= _CLOSE
    return (Introduced.AS_OTHER, True) if attached else (Introduced.AS_NOTHING, False)


def explained(text: str, end: int) -> Introduced:
    """What the words after a number say about it: `415 555 0132 (mobile)`, `1234567 dollars`. `end`: of the number."""
    if _UNITS.match(text, end):
        return Introduced.AS_OTHER
    return Introduced.AS_PHONE if _AFTER.match(text, end) else Introduced.AS_NOTHING


def _kind(words: list[str]) -> Introduced | None:
    """The meaning of the last of one or two words: None if it has none; `AS_NOTHING` if it is ambiguous and ends the search."""
    word, former = words[-1], words[0] if len(words) > 1 else ""
    if word in _NUMBER:
        if former in _AMBIGUOUS:
            return Introduced.AS_NOTHING
        return _kind([former]) or _ALONE.get(word)
    if word == "id" and former == "caller":
        return Introduced.AS_PHONE
    kind = _KINDS.get(word)
    if kind is None and (stem := _STEM.match(word)):
        kind = _BEGINNINGS[stem[0]]
    return Introduced.AS_OTHER if kind is Introduced.AS_CARD and former == "gift" else kind
