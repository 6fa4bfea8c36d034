"""Words that a subword tokenizer has cut and that were never joined again."""

import re

_BPE = re.compile(r"(?<=[^\s@])@@(?: |$)")
_PIECE = re.compile(r"(?:^|(?<=\s))\u2581(?![\u2580-\u259f])")


def may_be_segmented(text: str) -> bool:
    """A quick check; False only where nothing is cut."""
    return "@@" in text or "\u2581" in text


def joined(line: str) -> str:
    """``line`` with whole words: "Hau@@ s" and "▁Hau s" are "Haus". A U+2581 within a word is no such mark, and
    stays."""
    if "@@" in line:
        line = _BPE.sub("", line)
    while _PIECE.search(line):
        line = line.replace(" ", "").replace("\u2581", " ").strip()
    return line
