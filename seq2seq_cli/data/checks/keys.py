"""64-bit hashes of lines: of the exact text, and of its letters and digits alone."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from xxhash import xxh3_64_intdigest

from seq2seq_cli.data.checks.characters import CLASSES, Character, Codes, codes_of

NOTHING = 0
"""The key of a line without anything to compare."""

MIX = np.uint64(0x9E3779B97F4A7C15)
"""An odd number of well-spread bits, by which (a, b) and (b, a) get different keys."""

_WORD = np.arange(CLASSES) >= Character.DIGIT


def exact_keys(codes: Codes) -> np.ndarray:
    """A key for each line, uint64."""
    size = codes.values.itemsize
    buffer, ends = codes.values.tobytes(), (codes.ends * size).tolist()
    begins = [0, *ends[:-1]]
    keys = [
        xxh3_64_intdigest(buffer[begin:end]) if end > begin else NOTHING
        for begin, end in zip(begins, ends, strict=True)
    ]
    return np.array(keys, dtype=np.uint64)


def normalised_keys(lines: Sequence[str]) -> np.ndarray:
    """A key for each line from its letters and digits alone, with case and compatibility forms (NFKC) folded:
    uint64."""
    text = "\n".join(lines)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return exact_keys(codes_of(text.casefold().split("\n")).of_class(_WORD))


def of_pairs(src: np.ndarray, tgt: np.ndarray) -> np.ndarray:
    """One key for each pair of keys."""
    mixed: np.ndarray = (src * MIX) ^ (tgt + (src >> np.uint64(29)))
    return mixed
