"""The section ``model``: what kinds of layers, how many and how large."""

import warnings
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seq2seq_cli.config.sections import Fraction, Section, Size, settled
from seq2seq_cli.kinds.contexts import CONTEXTS, ContextKind, LooksBack
from seq2seq_cli.kinds.layers import MODELS, Cell, DecoderKind, EncoderKind, Positions

Layers = Annotated[int, Field(gt=0, le=64)]
RECURRENT_DEPTH, TRANSFORMER_DEPTH = 1, 4
"""Layers of an encoder or decoder where none are set."""
Tying = Literal["all", "target", "none"]


Bridge = Literal["linear", "zeros"]


@dataclass(frozen=True)
class RecurrentNumbers:
    """Settings that only RNNs have, with their defaults."""

    cell: Cell = "lstm"
    bridge: Bridge = "linear"


@dataclass(frozen=True)
class TransformerNumbers:
    """Settings that only Transformer layers have, with their defaults."""

    feed_forward_size: int = 1024
    """Vaswani et al. 2017, 3.3, have four times the size of a state; here that is twice the default size."""
    feed_forward_dropout: float = 0.0
    positions: Positions = "sinusoidal"
    max_positions: int = 512


with warnings.catch_warnings():
    # That this is also the name of a method which models of pydantic had once and which nobody calls.
    warnings.simplefilter("ignore", UserWarning)

    class Copying(Section):
        copy: bool = False  # type: ignore[assignment]
        """Whether each step may copy a piece of the source instead of writing one of its own, names and numbers above all
        (pointer-generator). Needs one vocabulary for both languages, and an attention that gives weights."""


class ModelConfig(Copying):
    encoder: EncoderKind = "rnn"
    """What reads the source: a bidirectional RNN, or self-attention (transformer)."""
    decoder: DecoderKind = "rnn"
    """What writes the translation: an RNN; masked self-attention (transformer); or Transformer layers with a simple
    recurrence in place of their self-attention (ssru), which decode fastest."""
    cell: Cell | None = None
    """RNNs only: recurrent cell of encoder and decoder (default: lstm)."""
    embedding_size: Size = 256
    """Size of the token embeddings."""
    hidden_size: Annotated[int, Field(gt=0, le=65_536, multiple_of=2)] = 512
    """Size D of the decoder state, and of what Transformer layers read and write; each direction of a recurrent encoder has
    half of it."""
    encoder_layers: Layers | None = None
    """Layers of the encoder (default: 1 bidirectional RNN, 4 Transformer layers)."""
    decoder_layers: Layers | None = None
    """Layers of the decoder (default: 1 of an RNN, 4 Transformer layers)."""
    dropout: Fraction = 0.4
    """Dropout on embeddings; in RNNs on encoder states, between layers and before the output; in Transformers on what each
    half of a layer adds."""
    feed_forward_size: Size | None = None
    """Transformer layers only: hidden size of the network behind the attention (default: 1024)."""
    feed_forward_dropout: Fraction | None = None
    """Transformer layers only: dropout within that network (default: 0)."""
    positions: Positions | None = None
    """Transformer layers only: how positions are told, by sines added to the embeddings (the default), by learned vectors
    added to them, or by turning queries and keys of self-attention (rotary)."""
    max_positions: Size | None = None
    """Learned positions only: how many there are (default: 512); all later positions have the last one's vector."""
    bridge: Bridge | None = None
    """RNN decoders only: how the encoder's summary starts the decoder: through a learned projection (default: linear), or not
    at all (zeros)."""
    tying: Literal["auto"] | Tying = "auto"
    """Which embeddings share one matrix: source, target and output (all), target and output (target), or
    none. auto: all with a joint vocabulary, target otherwise."""
    context: ContextKind = "none"
    """How the sentences before are read, of the same document: by hierarchical attention on the encoder's states (han-encoder),
    on the decoder's, at their translations (han-decoder), on both (han-both), in front of the source (concatenation), or not at
    all."""

    def tied(self, joint: bool) -> Tying:
        """The tying that "auto" stands for: everything shared with a ``joint`` vocabulary, target and output
        otherwise."""
        if self.tying != "auto":
            return self.tying
        return "all" if joint else "target"

    @property
    def back(self) -> LooksBack:
        """Where the sentences before enter."""
        return CONTEXTS[self.context]

    @property
    def name(self) -> str:
        """What encoder and decoder are called together."""
        return next(name for name, pair in MODELS.items() if pair == (self.encoder, self.decoder))

    @property
    def encoder_depth(self) -> int:
        """Layers of the encoder."""
        return self.encoder_layers or _depth(self.encoder)

    @property
    def decoder_depth(self) -> int:
        """Layers of the decoder."""
        return self.decoder_layers or _depth(self.decoder)

    @property
    def numbers(self) -> TransformerNumbers:
        """The user's settings of Transformer layers; where there is none, the default."""
        return settled(TransformerNumbers, self)

    @property
    def recurrent(self) -> RecurrentNumbers:
        """The user's settings of RNNs; where there is none, the default."""
        return settled(RecurrentNumbers, self)

    @property
    def has_rnn(self) -> bool:
        """Whether encoder or decoder is an RNN."""
        return "rnn" in (self.encoder, self.decoder)

    @property
    def has_transformer(self) -> bool:
        """Whether encoder or decoder has Transformer layers."""
        return self.encoder != "rnn" or self.decoder != "rnn"

    @property
    def attends_to_itself(self) -> bool:
        """Whether encoder or decoder has self-attention."""
        return "transformer" in (self.encoder, self.decoder)

    def resolved(self, joint: bool) -> Self:
        """The same with every default written out, except those of settings that mean nothing here."""
        depths = {"encoder_layers": self.encoder_depth, "decoder_layers": self.decoder_depth}
        numbers = asdict(self.numbers) if self.has_transformer else {}
        if self.numbers.positions != "learned":
            numbers.pop("max_positions", None)
        numbers |= {name: value for name, value in asdict(self.recurrent).items() if name not in self._idle}
        return self.without(self._idle).filled({"tying": self.tied(joint)} | depths | numbers)

    @property
    def _idle(self) -> dict[str, str]:
        """The settings of RNNs that these layers do not use, and why."""
        idle = {} if self.has_rnn else {"cell": "cell belongs to RNNs; there is none"}
        if self.decoder != "rnn":
            idle["bridge"] = f"bridge belongs to RNN decoders; this one is {self.decoder}"
        return idle

    @model_validator(mode="after")
    def _fits_its_layers(self) -> Self:
        reasons = []
        if not self.has_transformer:
            reasons += [
                f"{name} belongs to Transformer layers; encoder and decoder are RNNs"
                for name in TransformerNumbers.__dataclass_fields__
                if getattr(self, name) is not None
            ]
        elif self.max_positions is not None and self.numbers.positions != "learned":
            reasons.append(f"max_positions belongs to learned positions; these are {self.numbers.positions}")
        if self.positions == "rotary" and self.has_transformer and not self.attends_to_itself:
            reasons.append("rotary positions turn queries and keys of self-attention; an SSRU has none")
        # Their defaults are taken: runs have been begun whose files hold these beside Transformer layers.
        usual = RecurrentNumbers()
        reasons += [why for name, why in self._idle.items() if getattr(self, name) not in (None, getattr(usual, name))]
        if reasons:
            raise ValueError("; ".join(reasons))
        return self


def _depth(kind: EncoderKind | DecoderKind) -> int:
    return RECURRENT_DEPTH if kind == "rnn" else TRANSFORMER_DEPTH
