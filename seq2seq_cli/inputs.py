"""What a model is given: padded tensors of B sentences side by side, by name. `data` makes it and `model` reads it, and
neither knows the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

TEXT = "text"
"""The name of the source that is always there: the sentence to be translated."""


class Padded(NamedTuple):
    """Rows of ids, padded behind their own length: ``ids_BL``, and ``mask_BL``, True at real tokens."""

    ids_BL: Tensor
    mask_BL: Tensor

    def to(self, device: torch.device) -> Padded:
        """The same on ``device``."""
        return Padded(self.ids_BL.to(device), self.mask_BL.to(device))


class Target(NamedTuple):
    """Target sentences as a decoder needs them: step t reads ``reads_BT`` (``<s>``, then the token before) and is to
    predict ``says_BT``. Only steps where ``real_BT`` is True count."""

    reads_BT: Tensor
    says_BT: Tensor
    real_BT: Tensor

    def to(self, device: torch.device) -> Target:
        """The same on ``device``."""
        return Target(*(x_BT.to(device) for x_BT in self))

    def split(self, steps: int) -> list[Target]:
        """The same in parts of at most ``steps`` steps."""
        return [Target(*parts) for parts in zip(*(x_BT.split(steps, 1) for x_BT in self), strict=True)]


@dataclass(frozen=True)
class Inputs:
    """``sources``: what there is to look at, by name, with one row a sentence. TEXT is always among them."""

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
    """Inputs with their ``target``, which has ``target_tokens`` real tokens.

    ``guide_BTS`` says where attention to the text should lie: the row of a target piece with links sums to one, and
    there are ``guided_tokens`` such pieces; all other rows are zero. None where training is not guided.
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
