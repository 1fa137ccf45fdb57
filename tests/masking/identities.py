"""Cards, IBANs and e-mail addresses in usual contexts, and texts that only look similar."""

from __future__ import annotations

from typing import Final

_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
_ARABIC: Final = dict(zip(map(ord, "0123456789"), "٠١٢٣٤٥٦٧٨٩", strict=True))

CARDS: Final = (
    "4111111111111111",
    "4111 1111 1111 1111",
    "card 4111-1111-1111-1111, exp 12/27",
    "card: 4111.1111.1111.1111",
    '"cardNumber":"5555555555554444"',
    '{\\"card\\":\\"5555 5555 5555 4444\\"}',
    "first\\n4111 1111 1111 1111",
    "378282246310005",
    "3782 822463 10005",
    "Visa 4111\u00a01111\u00a01111\u00a01111",
    "4111 1111 1111 1111".translate(_FULL_WIDTH),
    "4111 1111 1111 1111".translate(_ARABIC),
    "it is 4111 1111 1111 1111 12/27 123",
    "6011111111111117",
    "3530111333300000",
    "30569309025904",
    "my card number is 4111 1111 1111 1112",
    "4111, 1111, 1111, 1111",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "4111\\u00a01111\\u00a01111\\u00a01111",
)
HELD_OUT_CARDS: Final = (
    "(5105105105105100)",
    "Mastercard 5105 1051 0510 5100.",
    "credit card number: 2223003122003222",
    "Kreditkarte 4012 8888 8888 1881",
    "tarjeta 4012888888881881",
    "the number on the card is 6011 0009 9013 9424",
    "4012\\t8888\\t8888\\t1881",
    "4012 8888\u200b 8888 1881",
    "card=4012888888881881&cvc=123",
    "4012–8888–8888–1881",
    "debit card 6304000000000000",
    "card ends 1881, in full 4012888888881881",
)
IBANS: Final = (
    "IBAN DE89 3704 0044 0532 0130 00 thanks",
    "GB82WEST12345698765432",
    "DE89370400440532013000",
    "iban: fr14 2004 1010 0505 0001 3m02 606",
    "NL91 ABNA 0417 1643 00 and nothing else",
    '{\\"iban\\":\\"DE89370400440532013000\\"}',
    "line\\nDE89 3704 0044 0532 0130 00",
    "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
    "DE89 3704 0044 0532 0130 00".translate(_FULL_WIDTH),
    "NO93 8601 1117 947",
    "my IBAN is DE89 3704 0044 0532 0130 01",
)
HELD_OUT_IBANS: Final = (
    "BE68 5390 0754 7034.",
    "CH93-0076-2011-6238-5295-7",
    "pay to ES91 2100 0418 4502 0005 1332, please",
    "MT84MALT011000012345MTLCAST001S",
    "(AT61 1904 3002 3457 3201)",
    "PL61109010140000071219812874",
    "IT60X0542811101000000123456 / Rossi",
    "SA03 8000 0000 6080 1016 7519",
)
NO_IBANS: Final = (
    "Your reservation DF89BM is a round-trip flight in basic economy",
    "AA10 is late and so is every other flight of the day",
    "DE89 3704 0044 0532 0130",
    "GB82WEST1234569876543",
    "reservation IT60XY of the 15th of May 2024 at the airport",
    "de12 und noch viele andere Worte danach",
    "IS14 hotels and more of everything you like to see",
)
ADDRESSES: Final = (
    "ann@example.com",
    "write to ann.lee+x@mail.example.co.uk, please",
    "Ünal@beispiel.de",
    "<ann@example.com>",
    "mailto:ann@example.com",
    '{\\"email\\":\\"ann@example.com\\"}',
    "first\\nann@example.com",
    "ann＠example.com",
    "ａｎｎ＠ｅｘａｍｐｌｅ．ｃｏｍ",
    "o'brien@example.com",
    '"ann lee"@example.com',
    "ann_lee-9@sub-domain.example.museum",
    "ann%40example.com",
    "ann\\u0040example.com",
    "ann@münchen.de",
    "ann (at) example.com",
)
HELD_OUT_ADDRESSES: Final = (
    "e-mail=ann@example.org&x=1",
    "ann@example.com.",
    "“ann@example.com”",
    "ann@xn--mnchen-3ya.de",
    "用户@例子.广告",
    "ann@例え.jp",
    "ann[at]example[dot]com",
    "a&b@example.com",
    "ann@192-168-1-1.example.net",
    "CC:Ann<ann@example.com>;Bob<bob@example.com>",
    "\\tann@example.com\\t",
    "ann@mail.example.com/home",
    "ann @ example.com",
    "my mail is ann dot lee at example dot com",
)
NO_ADDRESSES: Final = (
    "a @ b",
    "3 apples @ 1.50 each",
    "@ann on Twitter",
    "meet @ noon. Then go",
    "user@host",
    "x@1.2",
    "look at example.com",
    "we are at gate 4 dot",
    "npm i @scope/pkg@1.2.3",
)
