"""The section ``self_attention``: how Transformer layers attend to their own sentence."""

from dataclasses import asdict, dataclass
from typing import Self

from pydantic import model_validator

from seq2seq_cli.config.attention import Temperature
from seq2seq_cli.config.sections import Fraction, Positive, Section, settled
from seq2seq_cli.kinds.attentions import Normaliser
from seq2seq_cli.kinds.clashes import CONDITIONS
from seq2seq_cli.kinds.layers import Span


@dataclass(frozen=True)
class SelfNumbers:
    """The settings of self-attention, with their defaults."""

    heads: int = 8
    """Vaswani et al. 2017, 3.2.2."""
    window: Span = "global"
    radius: int = 10
    normaliser: Normaliser = "softmax"
    temperature: float = 1.0
    top_k: int = 5
    dropout: float = 0.0


class SelfAttentionConfig(Section):
    heads: Positive | None = None
    """Heads, which share model.hidden_size evenly (default: 8)."""
    window: Span | None = None
    """What a position sees of its own sentence: everything (global, the default) or what is at most `radius` away
    (local). A decoder never sees what comes later."""
    radius: Positive | None = None
    """Local windows only: positions seen on either side (default: 10)."""
    normaliser: Normaliser | None = None
    """How scores become weights (default: softmax)."""
    temperature: Temperature | None = None
    """Normalisers softmax and top-k only: T in exp(e/T) (default: 1)."""
    top_k: Positive | None = None
    """Normaliser top-k only: the largest scores that get a weight (default: 5)."""
    dropout: Fraction | None = None
    """Dropout on the weights (default: 0)."""

    @property
    def numbers(self) -> SelfNumbers:
        """The user's settings; where there is none, the default."""
        return settled(SelfNumbers, self)

    def resolved(self) -> Self:
        """The same with every default written out, except those that mean nothing with the choices made."""
        unmet = set(self._unmet())
        return self.filled({name: value for name, value in asdict(self.numbers).items() if name not in unmet})

    def _unmet(self) -> dict[str, str]:
        """The settings that mean nothing with the choices made, and why."""
        chosen = self.numbers
        unmet = (it for it in CONDITIONS if it.option in type(self).model_fields and not it.met(chosen))
        return {it.option: it.unmet("this one", chosen) for it in unmet}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        reasons = [reason for name, reason in self._unmet().items() if getattr(self, name) is not None]
        if reasons:
            raise ValueError("; ".join(reasons))
        return self
