"""What a number is introduced as: the words beside it. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Introduced(Enum):
    """As what: nothing in particular, a telephone, a card, or something that is neither."""

    AS_NOTHING = 0
    AS_PHONE = 1
    AS_CARD = 2
    AS_OTHER = 3


#: So many characters before a number are read.
REACH: Final = 48
#: A word that is this close stands with the number itself: "order 415…", "order no. 415…".
_CLOSE: Final = 6

#: A word begins after a non-letter, or as in `orderNumber`.
_BEGIN: Final = r"(?:(?<![^\W\d_])|(?<=[a-z])(?=[A-Z]))"
_END: Final = r"(?:(?![a-z])|(?<=[a-z])(?=[A-Z]))"
_NUMBER: Final = r"(?:[\s_-]*(?:(?i:numbers?|nummer|no|nr|num)(?![a-z])\.?|\#))?"
_OR_CODE: Final = r"(?:[\s_-]*(?:(?i:numbers?|nummer|no|nr|num|id|code|reference|ref)(?![a-z])\.?|\#))?"

_PHONE: Final = (
    r"(?:tele|smart|cell)?phon(?:es?|ed|ing)|ph|tel|tél|téléphone|telefon\w*|teléfono|telefone|mobiles?|mobil\w*|móvil|movil|"
    r"cell|celular|cellulare|handy\w*|fax|landline|caller[\s_-]*id|callback|msisdn|call|calls|called|caller|calling|dial\w*|"
    r"ring|rufnummer|whatsapp|wa\.me|sms|text|reach\w*|contact\w*|llam\w+|appele\w+|erreich\w+|anrufen|"
    r"numbers?|nummer|número|numéro|numero"
)
_OTHER_SCRIPTS: Final = "नंबर|मोबाइल|फ़ोन|फोन|电话|電話|手机|手機|هاتف|جوال|رقم|โทร|전화|телефон|номер"
_CARD: Final = r"(?:credit|debit|bank|kredit|charge)?[\s_-]?(?:cards?|karte)|visa|master[\s_-]?card|amex|tarjeta|carte|karte|pan"
_OTHER: Final = (
    r"gift[\s_-]*(?:cards?|certificates?)|certificates?|vouchers?|coupons?|promo\w*|gutschein\w*|"
    r"(?:purchase[\s_-]*)?orders?|bestell\w*|pedidos?|commandes?|invoices?|rechnung\w*|factur\w+|"
    r"kundennummer|customer[\s_-]*(?:id|no)|members?(?:hip)?|loyalty|flyer|account|konto\w*|policy|claim|contract|"
    r"(?:e-?)?tickets?|cases?|incident|references?|ref|reservations?|bookings?|buchung\w*|confirmations?|pnr|itinerary|"
    r"flights?|flug\w*|vuelo|boarding|gate|seat|passenger|passport|licen[cs]e|tracking|track|parcels?|shipments?|packages?|"
    r"sku|part|items?|products?|articles?|models?|serial|vin|imei|isbn|ean|upc|lot|batch|po|zip|postal|postcode|"
    r"ids?|uuid|guid|key|hash|commit|seed|version|build|rev|trace|span|process|pid|port|request|req|run|job|row|line|page|"
    r"transactions?|payments?|receipts?|epoch|time\w*|ts|dates?|datetime|created|updated|start\w*|end(?:s|ed)?|expir\w+|exp|iat|"
    r"at(?=[A-Z\"':=])|since|until|duration|latency|took|seconds?|ms|"
    r"total|sum|amount|balance|prices?|costs?|refund|revenue|budget|salary|usd|eur|gbp|population|size|width|height|"
    r"lat|lng|lon|latitude|longitude|scores?|points|miles|bytes|rfc|iso|doi|ssn"
)
_WORDS: Final = re.compile(
    rf"{_BEGIN}(?:(?P<neutral>(?i:customer|client|user|caller)[\s_-]*(?i:numbers?)(?![a-z]))"
    rf"|(?P<other>(?i:{_OTHER}){_END}{_OR_CODE})|(?P<card>(?i:{_CARD}){_END}{_NUMBER})|(?P<phone>(?i:{_PHONE}){_END}{_NUMBER}))"
    rf"|(?P<script>{_OTHER_SCRIPTS})|(?P<money>[$€£¥#])"
)
#: What stands before a colon or an equals sign, and nothing else, says what follows: `units: 415…`.
_LABEL: Final = re.compile(r"([\w .()'/-]{1,40})[\"']{0,2}\s{0,3}[:=]\s{0,3}[\"'(\[<*]{0,4}\Z")
#: A part of an id, or of an address: `ORD-415…`, `orders/415…`.
_ATTACHED: Final = re.compile(r"[A-Za-z0-9][\w.]*[-_/#]+\Z")
_UNITS: Final = re.compile(
    r"[ ]?(?:[€$£¥%]|(?i:usd|eur|gbp|dollars?|euros?|pounds|yen|[mnµu]?s|secs?|seconds|minutes|hours|bytes|[kmg]i?b|km|miles|points|people|"
    r"tokens|times)(?!\w))"
)
_SAID_AFTER: Final = re.compile(
    r"[ ,]{0,2}(?:\(?(?i:mobile|cell|phone|tel|fax|home|work)(?!\w)|is[ ](?:\w+[ ]){1,3}(?i:number|phone|mobile|cell)(?!\w))"
)


def introduced(before: str, after: str) -> tuple[Introduced, bool]:
    """As what the words before and after say, and whether they stand with the number itself. The nearest word decides."""
    if _UNITS.match(after):
        return Introduced.AS_OTHER, True
    line = (
        before.rstrip("\n\r\t ").rpartition("\n")[2] if before[-1:] in "\n\r" else before.rpartition("\n")[2]
    )
    attached = _ATTACHED.search(line)
    if attached:
        line = attached[0]
    elif label := _LABEL.search(line):
        line = label[1]
    found = None
    for found in _WORDS.finditer(line):  # noqa: B007  # the last one counts
        pass
    if found is None or found.lastgroup == "neutral":
        if attached:
            return Introduced.AS_OTHER, True
        return (Introduced.AS_PHONE if _SAID_AFTER.match(after) else Introduced.AS_NOTHING), False
    kind = {
        "phone": Introduced.AS_PHONE,
        "script": Introduced.AS_PHONE,
        "card": Introduced.AS_CARD,
    }.get(found.lastgroup or "", Introduced.AS_OTHER)
    return kind, len(line) - found.end() <= _CLOSE
