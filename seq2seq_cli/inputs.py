"""What a model is given: padded tensors of B sentences side by side, by name. `data` makes it and `model` reads it, and
neither knows the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

TEXT = "text"
"""The name of the source that is always there: the sentence to be translated."""
BEFORE = "before"
"""The name of the sentences before it, of the same document."""


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


class Before(NamedTuple):
    """The sentences before those of a batch, N different ones, each of them once: ``text``, N rows, each closed by ``</s>``, and
    where the decoder looks back as well what they have been translated to, ``said``.

    ``index_BK``: the rows that stand before sentence b, the nearest first; -1 where there is none.
    """

    text: Padded
    said: Target | None
    index_BK: Tensor

    def to(self, device: torch.device) -> Before:
        """The same on ``device``."""
        said = None if self.said is None else self.said.to(device)
        return Before(self.text.to(device), said, self.index_BK.to(device))


@dataclass(frozen=True)
class Inputs:
    """``sources``: what there is to look at, by name, in tensors that can be moved ``to`` a device. TEXT is always among them,
    with one row a sentence; BEFORE may be."""

    sources: Mapping[str, Any]

    @property
    def text(self) -> Padded:
        """The sentences to be translated, each closed by ``</s>``."""
        text: Padded = self.sources[TEXT]
        return text

    @property
    def before(self) -> Before | None:
        """The sentences before them, if there are any."""
        before: Before | None = self.sources.get(BEFORE)
        return before

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
