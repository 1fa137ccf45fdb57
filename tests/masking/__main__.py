"""Print how many numbers, cards, accounts and addresses `mask` finds, and how much else it leaves alone.

python -m tests.masking                 the figures
python -m tests.masking --wrong         and every text that counts against one
python -m tests.masking --with FILE     of another masking.py, of an earlier version say
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import cast

from tests.beside import CORPUS

from vapi_sessions import masking

from .figures import Mask, figures, in_corpus


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.masking", description=__doc__.split("\n")[0])
    parser.add_argument("--wrong", action="store_true", help="name every text that counts against a figure")
    parser.add_argument("--with", type=Path, dest="other", metavar="FILE", help="another masking.py")
    given = parser.parse_args()
    masked = _of(given.other) if given.other else masking.mask
    found = figures(masked)
    if CORPUS.is_file():
        found += in_corpus(CORPUS, masked)
    for figure in found:
        print(figure)
        if given.wrong:
            print(*(f"    {text}" for text in figure.wrong), sep="\n")


def _of(file: Path) -> Mask:
    spec = importlib.util.spec_from_file_location("other_masking", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Mask", module.mask)


if __name__ == "__main__":
    main()
