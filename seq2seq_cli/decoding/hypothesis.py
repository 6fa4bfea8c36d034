"""What decoding returns: hypotheses, and where the model looked. Plain data, no torch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Alignment:
    """Where a mechanism looked: a row for each target piece, a column for each source piece, both with ``</s>`` last. A
    piece that the vocabulary does not know is spelled as in the line, if the line was given.

    ``weights_TS`` is float32. ``centre_T`` (positions, real-valued) and ``radius`` describe the window of a local
    mechanism: row t may see the columns from centre_T[t] - radius to centre_T[t] + radius. Both are None for a global
    one. ``itself``: whether the source looked at itself; its pieces then stand on both sides.
    """

    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    weights_TS: np.ndarray
    centre_T: np.ndarray | None = None
    radius: int | None = None
    itself: bool = False


@dataclass(frozen=True)
class LayerAttention:
    """Where a layer looked: ``mean``, the mean of its heads, and each of the ``heads``; none where it has no heads."""

    mean: Alignment
    heads: tuple[Alignment, ...] = ()


@dataclass(frozen=True)
class Attentions:
    """Where all layers looked while one sentence was translated, the bottom layer first.

    ``cross``: the decoder's layers, in the source; empty for a model without attention. ``itself``: the encoder's layers,
    in the source as well; empty where these are RNNs. ``back``: where states looked in the sentences before, the encoder's
    (``itself``) before the decoder's, as `looking_back.both_levels` shows it.
    """

    cross: tuple[LayerAttention, ...]
    itself: tuple[LayerAttention, ...]
    back: tuple[Alignment, ...] = ()


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    ``log_prob`` is the natural log-probability of its pieces and ``</s>``; ``score`` is log_prob / length^alpha,
    what the search ranks by. ``alignment`` is None for a model without attention. ``attentions``: what every layer and
    head looked at, where that was asked for; ``alignment`` is the mean of one of the decoder's layers.
    """

    text: str
    pieces: tuple[str, ...]
    log_prob: float
    score: float
    alignment: Alignment | None
    attentions: Attentions | None = None

    @property
    def shown_score(self) -> str:
        """The score to six decimal places, or with a power of ten where these would all be zero (with a large
        alpha)."""
        plain = f"{self.score:.6f}"
        return plain if float(plain) or not self.score else f"{self.score:.6e}"
