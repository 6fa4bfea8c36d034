"""What mechanisms are made of: score, window and normaliser, as a configuration chooses them."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.kinds.attentions import Normaliser
from seq2seq_cli.model.attention.normalisers import Entmax15, Softmax, Sparsemax, TopK
from seq2seq_cli.model.attention.scores import AdditiveScore, DotScore, GeneralScore, LocationScore, Score
from seq2seq_cli.model.attention.windows import GlobalWindow, LocalMonotonicWindow, LocalPredictiveWindow


class Parts(NamedTuple):
    """The settings of the attention, the sizes of its queries and of the encoder states, and the ids of the pieces that
    end a segment. Every call of a method makes new modules."""

    config: AttentionConfig
    query_size: int
    encoder_size: int
    segment_ends: Sequence[int] = ()

    @property
    def size(self) -> int:
        """Hidden size of an additive score."""
        return self.config.size_beside(self.query_size)

    def score(self) -> Score:
        """The chosen score."""
        match self.config.choices.score:
            case "dot":
                return DotScore(self.query_size, self.encoder_size)
            case "scaled-dot":
                return DotScore(self.query_size, self.encoder_size, scale=self.query_size**-0.5)
            case "general":
                return GeneralScore(self.query_size, self.encoder_size)
            case "additive":
                return AdditiveScore(self.query_size, self.encoder_size, self.size)
            case "location":
                return LocationScore(self.query_size, self.config.numbers.max_positions)
        raise AssertionError(self.config.kind)

    def window(self) -> nn.Module:
        """The chosen window."""
        radius = self.config.numbers.radius
        match self.config.choices.window:
            case "global":
                return GlobalWindow()
            case "local-m":
                return LocalMonotonicWindow(radius)
            case "local-p":
                return LocalPredictiveWindow(self.query_size, radius)

    def normaliser(self) -> nn.Module:
        """The chosen normaliser."""
        numbers = self.config.numbers
        return normaliser_of(self.config.choices.normaliser, numbers.temperature, numbers.top_k)


def normaliser_of(name: Normaliser, temperature: float, top_k: int) -> nn.Module:
    """The normaliser of this name."""
    match name:
        case "softmax":
            return Softmax(temperature)
        case "sparsemax":
            return Sparsemax()
        case "entmax15":
            return Entmax15()
        case "top-k":
            return TopK(top_k, temperature)
