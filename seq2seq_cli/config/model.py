"""The section ``model``: what kinds of layers, how many and how large."""

from typing import Annotated, Literal, Self

from pydantic import Field

from seq2seq_cli.config.sections import Fraction, Section, Size
from seq2seq_cli.kinds.layers import Cell

Layers = Annotated[int, Field(gt=0, le=64)]


Tying = Literal["all", "target", "none"]


class ModelConfig(Section):
    cell: Cell = "lstm"
    """Recurrent cell of encoder and decoder."""
    embedding_size: Size = 256
    """Size of the token embeddings."""
    hidden_size: Annotated[int, Field(gt=0, le=65_536, multiple_of=2)] = 512
    """Size D of the decoder state; each of the encoder's two directions has half of it."""
    encoder_layers: Layers = 1
    """Bidirectional layers of the encoder."""
    decoder_layers: Layers = 1
    """Layers of the decoder."""
    dropout: Fraction = 0.4
    """Dropout on embeddings, encoder states, between layers and before the output."""
    bridge: Literal["linear", "zeros"] = "linear"
    """How the encoder's final states start the decoder: through a learned projection, or not at all."""
    tying: Literal["auto"] | Tying = "auto"
    """Which embeddings share one matrix: source, target and output (all), target and output (target), or
    none. auto: all with a joint vocabulary, target otherwise."""

    def tied(self, joint: bool) -> Tying:
        """The tying that "auto" stands for: everything shared with a ``joint`` vocabulary, target and output
        otherwise."""
        if self.tying != "auto":
            return self.tying
        return "all" if joint else "target"

    def resolved(self, joint: bool) -> Self:
        """The same with the tying named."""
        return self.filled({"tying": self.tied(joint)})
