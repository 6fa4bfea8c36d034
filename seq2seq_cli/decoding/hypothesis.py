"""What decoding returns: hypotheses, and where the model looked. Plain data, no torch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Alignment:
    """Where a mechanism looked: a row for each target piece, a column for each source piece, both with ``</s>`` last. A
    piece that the vocabulary does not know is spelled as in the line, if the line was given.

    ``weights_TS`` is float32. ``centre_T`` (positions, real-valued) and ``radius`` describe the window of a local
    mechanism: row t may see the columns from centre_T[t] - radius to centre_T[t] + radius. Both are None for a global
    one.
    """

    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    weights_TS: np.ndarray
    centre_T: np.ndarray | None = None
    radius: int | None = None


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    ``log_prob`` is the natural log-probability of its pieces and ``</s>``; ``score`` is log_prob / length^alpha,
    what the search ranks by. ``alignment`` is None for a model without attention.
    """

    text: str
    pieces: tuple[str, ...]
    log_prob: float
    score: float
    alignment: Alignment | None

    @property
    def shown_score(self) -> str:
        """The score to six decimal places, or with a power of ten where these would all be zero (with a large
        alpha)."""
        plain = f"{self.score:.6f}"
        return plain if float(plain) or not self.score else f"{self.score:.6e}"
