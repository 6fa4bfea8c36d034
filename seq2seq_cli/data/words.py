"""Which pieces make up which words: the words of the line as it was given or, for people to read, the words that the
pieces alone show."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from seq2seq_cli.data.subword import BEGIN, END, SPACE, UNKNOWN, readable
from seq2seq_cli.data.text import clean

SPACELESS = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts that write words without spaces between them, by the beginnings of their characters' names."""


@dataclass(frozen=True)
class Words:
    """The words of one side of a pair, ``</s>`` last, and the stretch of pieces that each consists of.

    Word w lies between the positions ``edges[w]`` and ``edges[w + 1]``, piece p between p and p + 1. So an edge within
    a piece divides it, and a word between two equal edges has no piece.
    """

    texts: tuple[str, ...]
    edges: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """How many pieces each word consists of."""
        return np.diff(self.edges)

    def shares(self) -> np.ndarray:
        """How much of each piece belongs to each word, P x W. Rows sum to one."""
        begins_P1 = np.arange(int(self.edges[-1]))[:, None]
        overlap_PW = np.minimum(begins_P1 + 1, self.edges[1:]) - np.maximum(begins_P1, self.edges[:-1])
        return np.asarray(np.maximum(overlap_PW, 0))

    def places(self, positions: np.ndarray) -> np.ndarray:
        """Convert positions among the pieces (0: the middle of the first piece) to the same places among the words."""
        from_start = positions.astype(np.float64) + 0.5
        word = np.searchsorted(self.edges, from_start, side="right") - 1
        return np.asarray(word + (from_start - self.edges[word]) / self.sizes[word] - 0.5)


def words_of_line(line: str, written: Sequence[str]) -> Words:
    """The words that white space separates in ``line`` as it is given, which is how links count them.

    ``written`` are the pieces of the line, as ``Subword.written_pieces`` gives them. What the tokenizer makes of the
    line does not change the numbering of words. A word in which the tokenizer sees a space (it reads a zero-width space
    as one) is one word, and so is a line without spaces. A word of which it sees nothing has no piece. An unknown piece
    of several words is divided where they meet, in proportion to their characters.
    """
    texts = line.split()
    cleaned = [clean(text) for text in texts]
    # In characters. Each word has a ▁ before it, the first one included.
    word_edges = np.cumsum([0, *(len(text) + 1 if text else 0 for text in cleaned)])
    piece_edges = np.cumsum([0, *map(len, written)])
    edges = np.interp(word_edges, piece_edges, np.arange(len(written) + 1))
    return Words((*texts, END), np.append(edges, len(written) + 1))


def words_of_pieces(tokens: Sequence[str]) -> Words:
    """The words as the pieces show them, for people to read; ``<s>`` and ``</s>``, where there are such, are words of their
    own."""
    edges = [*word_starts(tokens), len(tokens)]
    texts = (_spelled(tokens[start:end]) for start, end in pairwise(edges))
    return Words(tuple(text or SPACE for text in texts), np.array(edges))


def _spelled(tokens: Sequence[str]) -> str:
    return "".join(readable(token.replace(SPACE, " ")) for token in tokens).strip()


def word_starts(tokens: Sequence[str]) -> list[int]:
    """The index of each word's first piece.

    ``▁`` begins a word, and so does each piece in a script without spaces. A lone ``▁`` belongs to the piece behind it.
    An ``<unk>`` continues a word, unless all known pieces are whole words: then it is a word, too.
    """
    known = [piece for piece in tokens if piece not in (UNKNOWN, BEGIN, END)]
    whole_words = all(piece.startswith(SPACE) and piece != SPACE for piece in known)
    starts = []
    visible = True
    for i, piece in enumerate(tokens):
        begins = piece.startswith(SPACE) or is_spaceless(piece) or (whole_words and piece == UNKNOWN)
        if i == 0 or piece == END or (i == 1 and tokens[0] == BEGIN) or (begins and visible):
            starts.append(i)
            visible = False
        visible = visible or piece != SPACE
    return starts


def is_spaceless(piece: str) -> bool:
    """Whether ``piece`` begins with a letter of a script that writes no spaces."""
    # A combining mark belongs to the letter before it, whatever the script.
    is_letter = unicodedata.category(piece[0]).startswith("L")
    return is_letter and unicodedata.name(piece[0], "").startswith(SPACELESS)
