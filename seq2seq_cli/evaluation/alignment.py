"""Where a mechanism looked, as people read it: subword pieces merged back to words."""

import unicodedata
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.subword import SPACE
from seq2seq_cli.decoding.hypothesis import END, Alignment

UNKNOWN = "<unk>"
SPACELESS = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts, by the names of their characters, that write words without spaces between them."""


@dataclass(frozen=True)
class Grid:
    """What a picture of an alignment shows: a labelled row a target word (or piece), a column a source one.

    ``seen_TS`` is True where a local mechanism's window lay and ``centre_T`` its middle, in columns (real-valued,
    0 the first); both are None for a global one.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights_TS: np.ndarray
    seen_TS: np.ndarray | None = None
    centre_T: np.ndarray | None = None


def pieces(alignment: Alignment) -> Grid:
    """The alignment as it is, piece by piece."""
    return Grid(
        alignment.source_pieces, alignment.target_pieces, alignment.weights_TS, _seen(alignment), alignment.centre_T
    )


def words(alignment: Alignment) -> Grid:
    """The alignment from word to word.

    A word's column is the sum of its pieces' columns, a word's row the mean of its pieces' rows: rows that summed
    to one still do. A row has seen a word that any of its pieces saw a piece of; its centre is the mean of its
    pieces' centres, each moved to the same place within its word. ``</s>`` stays by itself.
    """
    source, target = word_starts(alignment.source_pieces), word_starts(alignment.target_pieces)
    seen_TS, centre_T = _seen(alignment), alignment.centre_T
    if seen_TS is not None:
        seen_TS = np.logical_or.reduceat(np.logical_or.reduceat(seen_TS, source, axis=1), target, axis=0)
    if centre_T is not None:
        piece_edges = np.array([*source, len(alignment.source_pieces)]) - 0.5
        word_edges = np.arange(len(source) + 1) - 0.5
        centre_T = _group_means(np.interp(centre_T, piece_edges, word_edges), target)
    return Grid(
        source=_joined(alignment.source_pieces, source),
        target=_joined(alignment.target_pieces, target),
        weights_TS=_group_means(np.add.reduceat(alignment.weights_TS, source, axis=1), target),
        seen_TS=seen_TS,
        centre_T=centre_T,
    )


def word_starts(tokens: tuple[str, ...]) -> list[int]:
    """The index of each word's first piece.

    ``▁`` begins a word, and so does each piece in a script without spaces. A lone ``▁`` joins what follows. An
    ``<unk>`` continues a word, unless all known pieces are whole words: then it is one, too.
    """
    known = [piece for piece in tokens if piece not in (UNKNOWN, END)]
    whole_words = all(piece.startswith(SPACE) and piece != SPACE for piece in known)
    starts = []
    visible = True
    for i, piece in enumerate(tokens):
        begins = piece.startswith(SPACE) or _is_spaceless(piece) or (whole_words and piece == UNKNOWN)
        if i == 0 or piece == END or (begins and visible):
            starts.append(i)
            visible = False
        visible = visible or piece != SPACE
    return starts


def _is_spaceless(piece: str) -> bool:
    # A combining mark belongs to the letter before it, whatever the script.
    is_letter = unicodedata.category(piece[0]).startswith("L")
    return is_letter and unicodedata.name(piece[0], "").startswith(SPACELESS)


def _joined(tokens: tuple[str, ...], starts: list[int]) -> tuple[str, ...]:
    ends = [*starts[1:], len(tokens)]
    texts = ("".join(tokens[start:end]).replace(SPACE, "") for start, end in zip(starts, ends, strict=True))
    return tuple(text or SPACE for text in texts)


def _group_means(rows_TX: np.ndarray, starts: list[int]) -> np.ndarray:
    sizes = np.diff([*starts, len(rows_TX)]).astype(rows_TX.dtype)
    sums_WX = np.add.reduceat(rows_TX, starts, axis=0)
    return np.asarray((sums_WX.T / sizes).T)


def _seen(alignment: Alignment) -> np.ndarray | None:
    if alignment.centre_T is None or alignment.radius is None:
        return None
    # In the precision of the model, so that a position on the very edge falls on the same side of it.
    positions_S = np.arange(len(alignment.source_pieces), dtype=np.float32)
    distance_TS = np.abs(positions_S - alignment.centre_T.astype(np.float32)[:, None])
    return np.asarray(distance_TS <= alignment.radius)
