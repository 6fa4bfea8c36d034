"""What encoders and decoders can be made of."""

from typing import Literal

EncoderKind = Literal["rnn", "transformer"]
DecoderKind = Literal["rnn", "transformer", "ssru"]
"""ssru: Transformer layers whose self-attention is replaced by a simple recurrence."""
Positions = Literal["sinusoidal", "learned", "rotary"]
"""How a Transformer knows where a token stands."""
Cell = Literal["lstm", "gru"]
Wiring = Literal["before", "after"]
"""Before the RNN reads (Bahdanau), or after it has read (Luong)."""
Span = Literal["global", "local"]
"""What a position of a sentence sees of the sentence itself: all of it, or what is near."""
