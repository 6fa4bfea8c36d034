"""What a model is given: padded tensors of B sentences side by side, by name. `data` makes it and `model` reads it, neither of
which knows the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

TEXT = "text"
"""The source that there always is: the sentence to be translated."""


class Padded(NamedTuple):
    """Rows of ids, each with padding behind its own length: ``ids_BL``, and ``mask_BL``, True at real tokens."""

    ids_BL: Tensor
    mask_BL: Tensor

    def to(self, device: torch.device) -> Padded:
        """The same on ``device``."""
        return Padded(self.ids_BL.to(device), self.mask_BL.to(device))


class Target(NamedTuple):
    """What a decoder is made to say: step t reads ``reads_BT`` (``<s>`` and all that comes before) and is to say ``says_BT``.
    Only where ``real_BT`` does it count."""

    reads_BT: Tensor
    says_BT: Tensor
    real_BT: Tensor

    def to(self, device: torch.device) -> Target:
        """The same on ``device``."""
        return Target(*(x_BT.to(device) for x_BT in self))

    def split(self, steps: int) -> list[Target]:
        """The same, so many steps at a time."""
        return [Target(*parts) for parts in zip(*(x_BT.split(steps, 1) for x_BT in self), strict=True)]


@dataclass(frozen=True)
class Inputs:
    """``sources``: what there is to look at, by name, one row a sentence. TEXT is always among them."""

    sources: Mapping[str, Padded]

    @property
    def text(self) -> Padded:
        """The sentences to be translated, each closed by ``</s>``."""
        return self.sources[TEXT]

    def to(self, device: torch.device) -> Inputs:
        """The same on ``device``."""
        return Inputs({name: source.to(device) for name, source in self.sources.items()})


@dataclass(frozen=True)
class Batch(Inputs):
    """Inputs with the ``target`` of each sentence, of ``target_tokens`` real tokens in all.

    ``guide_BTS``: where attention to the text is to lie, one in each row of a target piece with links, of which there are
    ``guided_tokens``; zeros in all other rows. None where training is not guided.
    """

    target: Target
    target_tokens: int
    guide_BTS: Tensor | None = None
    guided_tokens: int = 0

    def to(self, device: torch.device) -> Batch:
        """The same on ``device``."""
        return Batch(
            sources=super().to(device).sources,
            target=self.target.to(device),
            target_tokens=self.target_tokens,
            guide_BTS=None if self.guide_BTS is None else self.guide_BTS.to(device),
            guided_tokens=self.guided_tokens,
        )
