"""Which pieces make up which words, guessed from the pieces alone, for people to read."""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from seq2seq_cli.data.subword import END, SPACE, UNKNOWN, readable
from seq2seq_cli.data.words import Words

SPACELESS = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts, by the names of their characters, that write words without spaces between them."""


def words_of_pieces(tokens: Sequence[str]) -> Words:
    """The words as the pieces show them, for people to read; the last of ``tokens`` is ``</s>``."""
    edges = [*word_starts(tokens), len(tokens)]
    texts = (_spelled(tokens[start:end]) for start, end in pairwise(edges))
    return Words(tuple(text or SPACE for text in texts), np.array(edges))


def _spelled(tokens: Sequence[str]) -> str:
    return "".join(readable(token.replace(SPACE, " ")) for token in tokens).strip()


def word_starts(tokens: Sequence[str]) -> list[int]:
    """The index of each word's first piece.

    ``▁`` begins a word, and so does each piece in a script without spaces. A lone ``▁`` joins what follows. An
    ``<unk>`` continues a word, unless all known pieces are whole words: then it is one, too.
    """
    known = [piece for piece in tokens if piece not in (UNKNOWN, END)]
    whole_words = all(piece.startswith(SPACE) and piece != SPACE for piece in known)
    starts = []
    visible = True
    for i, piece in enumerate(tokens):
        begins = piece.startswith(SPACE) or is_spaceless(piece) or (whole_words and piece == UNKNOWN)
        if i == 0 or piece == END or (begins and visible):
            starts.append(i)
            visible = False
        visible = visible or piece != SPACE
    return starts


def is_spaceless(piece: str) -> bool:
    """Whether it begins with a letter of a script that writes no spaces."""
    # A combining mark belongs to the letter before it, whatever the script.
    is_letter = unicodedata.category(piece[0]).startswith("L")
    return is_letter and unicodedata.name(piece[0], "").startswith(SPACELESS)
