"""Random sentences and ids, always from a given generator."""

from __future__ import annotations

import json
import random
from functools import lru_cache
from typing import Final

_TEXT: Final = (
    "the order delivery parcel driver afternoon morning address street invoice payment refund account number "
    "appointment technician kitchen table chair shelf lamp colour blue oak walnut size medium large warehouse stock "
    "please could would should maybe really already still never always tomorrow yesterday Monday Friday before after "
    "between within minutes hours days weeks call message email letter confirm change cancel return exchange repair "
    "damaged missing wrong broken late early free charge discount voucher code store branch manager colleague help "
    "thank sorry understand check look find send receive wait reserve book move keep bring carry open close "
    "größer Straße prüfen bestätigen café señor mañana envío pedido reçu livraison déjà être 配送 确认 ありがとう"
)
_WORDS: Final = _TEXT.split()
_ENDS: Final = (".", ".", ".", "?", "!", " 👋", ", \"exactly\".", ":\n- one\n- two", " (about €19.90).")  # fmt: skip

#: A power of two, so that the low bits of a number choose one; and many, so that compression finds few repetitions.
SENTENCES: Final = 1 << 15


@lru_cache(maxsize=4)
def sentences(seed: int) -> tuple[str, ...]:
    """`SENTENCES` sentences, escaped for a JSON string."""
    rng = random.Random(f"sentences/{seed}")
    said = []
    for _ in range(SENTENCES):
        words = rng.choices(_WORDS, k=rng.randrange(6, 20))
        text = " ".join(words).capitalize() + rng.choice(_ENDS)
        said.append(json.dumps(text, ensure_ascii=False)[1:-1])
    return tuple(said)


def new_id(rng: random.Random) -> str:
    """A random UUID of version 4."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
