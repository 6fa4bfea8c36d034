"""Keys and values of the positions that a decoder has been through."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from seq2seq_cli.model.carry import Rows, rows_of

GROWTH = 8
"""A buffer grows by room for so many positions."""


@dataclass
class _Filled:
    """How many positions of a buffer hold something, whoever wrote it."""

    positions: int


@dataclass(frozen=True)
class Past:
    """Keys and values of ``length`` positions, of each head: the first ones of buffers that have room for more. So a step of a
    search copies them once, when it puts its rows in order, and not a second time to add to them.

    A state is never changed: what comes next is written behind its own positions, and only where nobody else has written.
    """

    keys_BHCI: Tensor
    values_BHCI: Tensor
    length: int
    filled: _Filled = field(default_factory=lambda: _Filled(0))

    @classmethod
    def empty(cls, rows: int, heads: int, size: int, like: Tensor) -> Past:
        """The past before the first position."""
        nothing = like.new_empty(rows, heads, 0, size)
        return cls(nothing, nothing, 0)

    @classmethod
    def of(cls, keys_BHPI: Tensor, values_BHPI: Tensor) -> Past:
        """The past of these keys and values."""
        return cls(keys_BHPI, values_BHPI, keys_BHPI.shape[2], _Filled(keys_BHPI.shape[2]))

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        """Keys and values."""
        return self.keys_BHPI, self.values_BHPI

    @property
    def keys_BHPI(self) -> Tensor:
        return self.keys_BHCI[:, :, : self.length]

    @property
    def values_BHPI(self) -> Tensor:
        return self.values_BHCI[:, :, : self.length]

    def select(self, rows: Rows) -> Past:
        """The past of the given rows, in their order."""
        keys, values = (rows_of(x_BHCI, rows) for x_BHCI in (self.keys_BHCI, self.values_BHCI))
        return Past(keys, values, self.length, _Filled(self.length))

    def last(self, positions: int) -> Past:
        """The last positions alone."""
        if self.length <= positions:
            return self
        first = self.length - positions
        return Past(self.keys_BHPI[:, :, first:], self.values_BHPI[:, :, first:], positions, _Filled(self.length))

    def then(self, keys_BHTI: Tensor, values_BHTI: Tensor) -> Past:
        """The past after T more positions."""
        steps, after = keys_BHTI.shape[2], self.length + keys_BHTI.shape[2]
        if not self.length and steps > 1:  # all of a known target at once
            return Past(keys_BHTI, values_BHTI, steps, _Filled(steps))
        if not torch.is_inference_mode_enabled():  # which is a search
            keys = torch.cat([self.keys_BHPI, keys_BHTI.to(self.keys_BHCI.dtype)], 2)
            values = torch.cat([self.values_BHPI, values_BHTI.to(self.values_BHCI.dtype)], 2)
            return Past(keys, values, after, _Filled(after))
        past = self
        if self.filled.positions != self.length or after > self.keys_BHCI.shape[2]:
            past = self._with_room(-(-after // GROWTH) * GROWTH)
        for buffer_BHCI, new in ((past.keys_BHCI, keys_BHTI), (past.values_BHCI, values_BHTI)):
            buffer_BHCI[:, :, self.length : after] = new
        past.filled.positions = after
        return Past(past.keys_BHCI, past.values_BHCI, after, past.filled)

    def _with_room(self, positions: int) -> Past:
        """The same in buffers of its own, for so many positions."""
        batch, heads, _, size = self.keys_BHCI.shape
        room_BHCI = self.keys_BHCI.new_empty(batch, heads, positions - self.length, size)
        keys, values = (torch.cat([x_BHPI, room_BHCI], 2) for x_BHPI in (self.keys_BHPI, self.values_BHPI))
        return Past(keys, values, self.length, _Filled(self.length))
