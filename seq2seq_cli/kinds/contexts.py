"""How a model looks back at the sentences before the one that it translates."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

ContextKind = Literal["none", "han-encoder", "han-decoder", "han-both", "concatenation"]


class LooksBack(NamedTuple):
    """Where a kind of context enters: hierarchical attention on the states of the ``encoder`` (at the sentences before) or of
    the ``decoder`` (at their translations), or by putting the sentences before in front of the source (``joins``)."""

    encoder: bool = False
    decoder: bool = False
    joins: bool = False

    @property
    def hierarchical(self) -> bool:
        """Whether there is hierarchical attention anywhere."""
        return self.encoder or self.decoder

    @property
    def anywhere(self) -> bool:
        """Whether sentences before are read at all."""
        return any(self)


CONTEXTS: Mapping[ContextKind, LooksBack] = {
    "none": LooksBack(),
    "han-encoder": LooksBack(encoder=True),
    "han-decoder": LooksBack(decoder=True),
    "han-both": LooksBack(encoder=True, decoder=True),
    "concatenation": LooksBack(joins=True),
}
