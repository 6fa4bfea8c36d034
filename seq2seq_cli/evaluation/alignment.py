"""Where a mechanism looked, in a form for people: subword pieces merged into words."""

from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.subword import readable
from seq2seq_cli.data.words import Words, words_of_pieces
from seq2seq_cli.decoding.hypothesis import Alignment, Role


@dataclass(frozen=True)
class Grid:
    """What a picture of an alignment shows: a labelled row for each target word (or piece), a labelled column for each
    source word (or piece).

    ``seen_TS`` is True where a row may look: within the window of a local mechanism, up to its own column in masked
    self-attention; None: everywhere. ``centre_T`` is the middle of a local mechanism's window in columns (real-valued, 0 the
    first), None for a global one.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights_TS: np.ndarray
    seen_TS: np.ndarray | None = None
    centre_T: np.ndarray | None = None


def by_pieces(alignment: Alignment) -> Grid:
    """The alignment unchanged, piece by piece."""
    source, target = (tuple(map(readable, side)) for side in (alignment.source_pieces, alignment.target_pieces))
    return Grid(source, target, alignment.weights_TS, _seen(alignment), alignment.centre_T)


def by_words(alignment: Alignment) -> Grid:
    """The alignment from word to word. Words are found from the pieces alone."""
    return merged(alignment, words_of_pieces(alignment.source_pieces), words_of_pieces(alignment.target_pieces))


def merged(alignment: Alignment, source: Words, target: Words) -> Grid:
    """The alignment from word to word.

    A word's column is the sum of its pieces' columns, a word's row the mean of its pieces' rows: rows that summed to
    one still do. A target word has seen a source word if any piece of the one saw a piece of the other. A word's centre
    is the mean of its pieces' centres, each moved to the same place within its word. ``</s>`` stays by itself. A word
    without a piece has a column of zeros; as it was never produced, its row and its centre are NaN.
    """
    assert (len(alignment.target_pieces), len(alignment.source_pieces)) == (target.edges[-1], source.edges[-1])
    source_PW, target_PW = source.shares(), target.shares()
    with np.errstate(invalid="ignore"):  # 0 / 0 for a word without a piece
        means_WP = (target_PW / target.sizes).T
    seen_TS, centre_T = _seen(alignment), alignment.centre_T
    if seen_TS is not None:
        seen_TS = (target_PW.T > 0) @ seen_TS @ (source_PW > 0)
    if centre_T is not None:
        centre_T = means_WP @ source.places(centre_T)
    with np.errstate(invalid="ignore"):  # weights that are NaN stay NaN
        weights_TS = (means_WP @ alignment.weights_TS @ source_PW).astype(np.float32)
    return Grid(source.texts, target.texts, weights_TS, seen_TS, centre_T)


def _seen(alignment: Alignment) -> np.ndarray | None:
    past_TS = np.tri(*alignment.weights_TS.shape) > 0 if alignment.role is Role.MASKED else None
    if alignment.centre_T is None or alignment.radius is None:
        return past_TS
    # In the precision of the model, so that a position on the very edge is in or out of the window as it was for the model.
    positions_S = np.arange(len(alignment.source_pieces), dtype=np.float32)
    distance_TS = np.abs(positions_S - alignment.centre_T.astype(np.float32)[:, None])
    near_TS = np.asarray(distance_TS <= alignment.radius)
    return near_TS if past_TS is None else near_TS & past_TS
