"""The section ``context``: how far back a model looks that reads the sentences before, and by what."""

from dataclasses import asdict, dataclass
from typing import Annotated, NamedTuple, Self

from pydantic import Field

from seq2seq_cli.config.sections import Positive, Section, Size, settled
from seq2seq_cli.kinds.contexts import LooksBack

OF_HAN = ("heads", "feed_forward_size")
"""Settings of hierarchical attention alone."""


class Context(NamedTuple):
    """At most so many ``sentences`` before are read, each cut off at ``longest`` pieces, and enter as ``back`` says."""

    back: LooksBack
    sentences: int
    longest: int


@dataclass(frozen=True)
class ContextNumbers:
    """The settings, with their defaults."""

    sentences: int = 3
    """Miculicich et al. 2018, 4.1."""
    heads: int = 8
    feed_forward_size: int = 1024


class ContextConfig(Section):
    sentences: Annotated[int, Field(gt=0, le=100)] | None = None
    """Sentences before that are read, of the same document (default: 3)."""
    heads: Positive | None = None
    """Hierarchical attention only: heads of both levels, which share model.hidden_size evenly (default: 8)."""
    feed_forward_size: Size | None = None
    """Hierarchical attention only: hidden size of the network behind it (default: 1024)."""

    @property
    def numbers(self) -> ContextNumbers:
        """The user's settings; where there is none, the default."""
        return settled(ContextNumbers, self)

    def meant(self, back: LooksBack) -> set[str]:
        """The settings that mean something for a model that looks ``back`` in this way."""
        if not back.anywhere:
            return set()
        return {"sentences", *OF_HAN} if back.hierarchical else {"sentences"}

    def resolved(self, back: LooksBack) -> Self:
        """The same with every default written out that means something."""
        meant = self.meant(back)
        return self.filled({name: value for name, value in asdict(self.numbers).items() if name in meant})
