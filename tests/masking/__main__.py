"""Print how many numbers, cards, IBANs and addresses `mask` finds, and how much other text it keeps.

python -m tests.masking                 the scores
python -m tests.masking --wrong         also every text that was masked wrongly
python -m tests.masking --with FILE     the scores of another masking.py, and the time of this one relative to it
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any, cast

from tests.beside import CORPUS

from vapi_emulator.generate import History, generate
from vapi_emulator.switches import DEFAULT_ORG
from vapi_sessions.privacy import masking

from .scores import Mask, in_corpus, scores, texts_in


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.masking", description=__doc__.split("\n")[0])
    parser.add_argument("--wrong", action="store_true", help="also print every text that was masked wrongly")
    parser.add_argument("--with", type=Path, dest="other", metavar="FILE", help="another masking.py")
    given = parser.parse_args()
    masked = _of(given.other) if given.other else masking.mask
    found = scores(masked)
    if CORPUS.is_file():
        found += in_corpus(CORPUS, masked)
    for score in found:
        print(score)
        if given.wrong:
            print(*(f"    {text}" for text in score.wrong), sep="\n")
    if given.other:
        sets = {"generated sessions": _generated()}
        if CORPUS.is_file():
            sets["corpus"] = texts_in(CORPUS)
        for name, texts in sets.items():
            print(f"processor time relative to it, {name}: {_ratio(masking.mask, masked, texts):.2f}")


def _of(file: Path) -> Mask:
    spec = importlib.util.spec_from_file_location("other_masking", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Mask", module.mask)


def _generated() -> list[str]:
    """The texts in messages, artifacts and metadata of the emulator's sessions, which also have ids and times."""
    history = History(org_id=DEFAULT_ORG, sessions=1_000, days=20, until_us=1_770_000_000_000_000, seed=1)
    bodies = [json.loads(row.body) for rows in generate(history) for row in rows]
    return [
        text
        for body in bodies
        for name in ("messages", "artifact", "metadata")
        for text in _strings(body.get(name))
    ]


def _strings(value: Any) -> list[str]:
    if type(value) is str:
        return [value]
    if type(value) not in (list, dict):
        return []
    return [text for item in (value.values() if type(value) is dict else value) for text in _strings(item)]


def _ratio(ours: Mask, other: Mask, texts: list[str]) -> float:
    """The ratio of the medians of five runs each, in turns, after one run that loads the libraries."""
    spent: dict[Mask, list[float]] = {ours: [], other: []}
    for _ in range(6):
        for masked, times in spent.items():
            begin = time.process_time()
            for text in texts:
                masked(text)
            times.append(time.process_time() - begin)
    return sorted(spent[ours][1:])[2] / sorted(spent[other][1:])[2]


if __name__ == "__main__":
    main()
