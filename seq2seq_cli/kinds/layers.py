"""What encoders and decoders can be made of."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

EncoderKind = Literal["rnn", "transformer"]
DecoderKind = Literal["rnn", "transformer", "ssru"]
"""ssru: Transformer layers whose self-attention is replaced by a simple recurrence."""


class Pair(NamedTuple):
    """An encoder and a decoder."""

    encoder: EncoderKind
    decoder: DecoderKind


MODELS: Mapping[str, Pair] = {
    "rnn": Pair("rnn", "rnn"),
    "transformer": Pair("transformer", "transformer"),
    "hybrid": Pair("transformer", "rnn"),
    "ssru": Pair("transformer", "ssru"),
    "rnn-transformer": Pair("rnn", "transformer"),
    "rnn-ssru": Pair("rnn", "ssru"),
}
"""What encoder and decoder are called together."""
Positions = Literal["sinusoidal", "learned", "rotary"]
"""How a Transformer knows where a token stands."""
Cell = Literal["lstm", "gru"]
Wiring = Literal["before", "after"]
"""Before the RNN reads (Bahdanau), or after it has read (Luong)."""
Span = Literal["global", "local"]
"""What a position of a sentence sees of the sentence itself: all of it, or what is near."""
