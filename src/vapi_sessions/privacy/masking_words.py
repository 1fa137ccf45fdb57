"""What a number is introduced as, by the words beside it. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Introduced(Enum):
    """As nothing in particular, as one of what is masked, or as something else."""

    AS_NOTHING = 0
    AS_PHONE = 1
    AS_CARD = 2
    AS_SOCIAL = 3
    AS_OTHER = 4


#: So many characters before a number are read.
REACH: Final = 48
#: A word that is this close stands with the number itself: "order 415…", "order no. 415…".
_CLOSE: Final = 6

#: Parts of `orderNumber` count as words.
_WORD: Final = re.compile(r"[A-Z]?[a-zß-ÿ]+|[A-Z]+(?![a-z])|[^\W\d_]+|[$€£¥#]")
#: The beginnings of words, where they have many endings; and whole words. The nearest before a number decides.
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
#: They say that a number follows; the word before says of what: "order number", "phone #".
_NUMBER: Final = frozenset({"number", "numbers", "nummer", "no", "nr", "num", "#"})
_ALONE: Final = {
    "number": Introduced.AS_PHONE,
    "numbers": Introduced.AS_PHONE,
    "nummer": Introduced.AS_PHONE,
    "#": Introduced.AS_OTHER,
}
#: "Customer number" may be either.
_EITHER: Final = frozenset({"customer", "client", "user"})

#: What stands before a colon or an equals sign, and nothing else, says what follows: `units: 415…`.
_LABEL: Final = re.compile(r"[\"']{0,2}\s{0,3}[:=]\s{0,3}[\"'(\[<*]{0,4}\Z")
_NO_LABEL: Final = re.compile(r"[^\w .()'/-]")
#: A part of an id, or of an address: `ORD-415…`, `orders/415…`.
_ATTACHED: Final = re.compile(r"[A-Za-z0-9][\w.]*[-_/#]{1,3}\Z")
_UNITS: Final = re.compile(
    r"[ ]?(?:[€$£¥%]|(?i:usd|eur|gbp|dollars?|euros?|pounds|yen|[mnµu]?s|secs?|seconds|minutes|hours|bytes|[kmg]i?b|km|miles|"
    r"points|people|tokens|times)(?!\w))"
)
_SAID_AFTER: Final = re.compile(
    r"[ ,]{0,2}(?:\(?(?i:mobile|cell|phone|tel|fax|home|work)(?!\w)|is[ ](?:\w{1,20}[ ]){1,3}(?i:number|phone|mobile|cell)(?!\w))"
)


def introduced(before: str) -> tuple[Introduced, bool]:
    """As what the words before a number introduce it, and whether they stand with the number itself."""
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
    for place in reversed(range(len(words))):
        kind = _kind([word[0].lower() for word in words[max(0, place - 1) : place + 1]])
        if kind is Introduced.AS_NOTHING:
            break
        if kind is not None:
            return kind, len(line) - words[place].end() <= _CLOSE
    return (Introduced.AS_OTHER, True) if attached else (Introduced.AS_NOTHING, False)


def said_after(text: str, end: int) -> Introduced:
    """As what the words that follow a number, which ends there, explain it: `415 555 0132 (mobile)`, `1234567 dollars`."""
    if _UNITS.match(text, end):
        return Introduced.AS_OTHER
    return Introduced.AS_PHONE if _SAID_AFTER.match(text, end) else Introduced.AS_NOTHING


def _kind(words: list[str]) -> Introduced | None:
    """Of the last of one or two words; `AS_NOTHING` if it says that it is open; None if it says nothing."""
    word, former = words[-1], words[0] if len(words) > 1 else ""
    if word in _NUMBER:
        if former in _EITHER:
            return Introduced.AS_NOTHING
        return _kind([former]) or _ALONE.get(word)
    if word == "id" and former == "caller":
        return Introduced.AS_PHONE
    kind = _KINDS.get(word)
    if kind is None and (stem := _STEM.match(word)):
        kind = _BEGINNINGS[stem[0]]
    return Introduced.AS_OTHER if kind is Introduced.AS_CARD and former == "gift" else kind
