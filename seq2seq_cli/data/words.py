"""Which pieces make up which words of a line, the words being those of the line as it was given."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.subword import END
from seq2seq_cli.data.text import clean


@dataclass(frozen=True)
class Words:
    """The words of one side of a pair, ``</s>`` the last, and the stretch of pieces that each consists of.

    Word w lies between the positions ``edges[w]`` and ``edges[w + 1]``, piece p between p and p + 1. So an edge
    within a piece divides it, and a word between two equal edges has no piece.
    """

    texts: tuple[str, ...]
    edges: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """How many pieces each word consists of."""
        return np.diff(self.edges)

    def shares(self) -> np.ndarray:
        """How much of each piece belongs to each word, P x W: rows sum to one."""
        begins_P1 = np.arange(int(self.edges[-1]))[:, None]
        overlap_PW = np.minimum(begins_P1 + 1, self.edges[1:]) - np.maximum(begins_P1, self.edges[:-1])
        return np.asarray(np.maximum(overlap_PW, 0))

    def places(self, positions: np.ndarray) -> np.ndarray:
        """From positions among the pieces (0 the middle of the first) to the same places among the words."""
        from_start = positions.astype(np.float64) + 0.5
        word = np.searchsorted(self.edges, from_start, side="right") - 1
        return np.asarray(word + (from_start - self.edges[word]) / self.sizes[word] - 0.5)


def words_of_line(line: str, written: Sequence[str]) -> Words:
    """The words that white space separates in ``line`` as it is given, which is how links count them.

    ``written`` are its pieces, as ``Subword.written_pieces`` gives them. What the tokenizer makes of the line
    changes no number: a word in which it sees a space (it reads a zero-width one so) is one word, a line without
    spaces too, one of which it sees nothing has no piece, and an unknown piece of several words is divided where they
    meet, in proportion to their characters.
    """
    texts = line.split()
    cleaned = [clean(text) for text in texts]
    # In characters. Each word has a ▁ before it, the first one included.
    word_edges = np.cumsum([0, *(len(text) + 1 if text else 0 for text in cleaned)])
    piece_edges = np.cumsum([0, *map(len, written)])
    edges = np.interp(word_edges, piece_edges, np.arange(len(written) + 1))
    return Words((*texts, END), np.append(edges, len(written) + 1))
