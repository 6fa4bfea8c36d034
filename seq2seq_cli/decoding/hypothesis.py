"""What decoding returns: hypotheses, and where the model looked. Plain data, no torch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import numpy as np

from seq2seq_cli.decoding.confidence import Confidence

T = TypeVar("T")


class Role(StrEnum):
    """What an attention is for in a model (Vaswani et al. 2017, 3.2.3): ``CROSS``, words of the translation look at the
    source; ``ITSELF``, words of the source look at the source (an encoder's self-attention); ``MASKED``, words of the
    translation look at those before them and at themselves (a decoder's). The values are names in JSON."""

    CROSS = "cross_attention"
    ITSELF = "self_attention"
    MASKED = "masked_self_attention"


@dataclass(frozen=True)
class EachRole(Generic[T]):
    """Something that each role of attention has."""

    cross: T
    itself: T
    masked: T

    def of(self, role: Role) -> T:
        """What this role has."""
        return {Role.CROSS: self.cross, Role.ITSELF: self.itself, Role.MASKED: self.masked}[role]


@dataclass(frozen=True)
class Alignment:
    """Where a mechanism looked: a row for each target piece, a column for each source piece, both with ``</s>`` last. A
    piece that the vocabulary does not know is spelled as in the line, if the line was given.

    ``weights_TS`` is float32. ``centre_T`` (positions, real-valued) and ``radius`` describe the window of a local
    mechanism: row t may see the columns from centre_T[t] - radius to centre_T[t] + radius. Both are None for a global
    one.

    ``role``: in self-attention the pieces of one text stand on both sides, a row for each piece that looks. For the masked
    one these are the pieces that the decoder has read: ``<s>`` first, and no ``</s>`` last. Row t may see no column behind
    its own there, and what is computed from it writes piece t of the translation.
    """

    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    weights_TS: np.ndarray
    centre_T: np.ndarray | None = None
    radius: int | None = None
    role: Role = Role.CROSS


@dataclass(frozen=True)
class LayerAttention:
    """Where a layer looked: ``mean``, the mean of its heads, and each of the ``heads``; none where it has no heads."""

    mean: Alignment
    heads: tuple[Alignment, ...] = ()


@dataclass(frozen=True)
class Attentions(EachRole[tuple[LayerAttention, ...]]):
    """Where all layers looked while one sentence was translated, the bottom layer first.

    ``cross``: the decoder's layers, in the source; empty for a model without attention. ``itself``: the encoder's layers,
    in the source as well; empty where these are RNNs. ``masked``: the decoder's layers, in the translation so far; empty
    where these are recurrent. ``back``: where states looked in the sentences before, the encoder's (of the role ITSELF) before
    the decoder's, as `looking_back.both_levels` shows it.
    """

    back: tuple[Alignment, ...] = ()


@dataclass(frozen=True)
class Example:
    """A sentence pair of a memory, the ``pieces`` of its target (``</s>`` the last), and the number of the one that came next
    where the model had nearly the same in mind: at the squared ``distance``. ``weight``: what it adds to the probability of
    that piece."""

    source: str
    target: str
    pieces: tuple[str, ...]
    position: int
    weight: float
    distance: float

    @property
    def piece(self) -> str:
        """The piece that came next."""
        return self.pieces[self.position]


@dataclass(frozen=True)
class Origin:
    """Where a piece of a translation came from: the ``share`` of its probability that a memory gave, and the nearest examples
    there, those of this piece first, the heaviest first."""

    share: float
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    ``log_prob`` is the natural log-probability of its pieces and ``</s>``; ``score`` is log_prob / length^alpha,
    what the search ranks by. ``alignment`` is None for a model without attention. ``attentions``: what every layer and
    head looked at, where that was asked for; ``alignment`` is the mean of one of the decoder's layers. ``confidence``: how sure
    it is, where that was asked for. ``origins``: where each piece came from, ``</s>`` included, where there is a memory and that
    was asked for.
    """

    text: str
    pieces: tuple[str, ...]
    log_prob: float
    score: float
    alignment: Alignment | None
    attentions: Attentions | None = None
    confidence: Confidence | None = None
    origins: tuple[Origin, ...] | None = None

    @property
    def shown_score(self) -> str:
        """The score to six decimal places, or with a power of ten where these would all be zero (with a large
        alpha)."""
        plain = f"{self.score:.6f}"
        return plain if float(plain) or not self.score else f"{self.score:.6e}"
