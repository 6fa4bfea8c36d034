"""Rows of what a search carries along: of a layer's carry, which is a tensor with one row a sentence, or tuples of such
tensors, nested at any depth, or has ``select``, ``parts`` and ``of`` of its own; and of what is read at every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Kept(NamedTuple):
    """Rows that are kept where they are, but for the last ones, which move to the ``gaps_G`` that others leave: ``rows``
    says where each one was. What they are selected of may be overwritten, so that little is moved."""

    rows: Tensor
    gaps_G: Tensor

    @classmethod
    def of(cls, going_N: Tensor) -> Kept:
        """Those rows that ``going_N`` is True for."""
        going = going_N.nonzero().squeeze(1)
        gaps_G = (~going_N[: len(going)]).nonzero().squeeze(1)
        rows = torch.arange(len(going), device=going.device)
        rows[gaps_G] = going[len(going) - len(gaps_G) :]
        return cls(rows, gaps_G)


Rows = Tensor | Kept
"""Numbers of rows: any, in any order; or those that are kept."""


def numbers(rows: Rows) -> Tensor:
    """The numbers of the rows."""
    return rows if isinstance(rows, Tensor) else rows.rows


def rows_of(x: Tensor, rows: Rows) -> Tensor:
    """The given rows of a tensor, which is overwritten if they are ``Kept`` and it belongs to a search."""
    if isinstance(rows, Tensor):
        return x.index_select(0, rows)
    if not x.is_inference() or not x.stride(0):
        return x.index_select(0, rows.rows)
    kept = x[: len(rows.rows)]
    if len(rows.gaps_G):
        kept[rows.gaps_G] = x.index_select(0, rows.rows[rows.gaps_G])
    return kept


def select(carry: Any, rows: Rows) -> Any:
    """The given rows of all tensors of ``carry``, in the order of ``rows``. A search re-orders its state by this
    alone."""
    if isinstance(carry, Tensor):
        return carry.index_select(0, numbers(rows))
    if hasattr(carry, "select"):
        return carry.select(rows)
    parts = [select(part, rows) for part in carry]
    # A named tuple takes its fields one by one.
    return type(carry)(*parts) if hasattr(carry, "_fields") else tuple(parts)


def leaves(carry: Any) -> list[Tensor]:
    """All tensors of ``carry``, in one order."""
    if isinstance(carry, Tensor):
        return [carry]
    return [leaf for part in getattr(carry, "parts", carry) for leaf in leaves(part)]


def with_leaves(carry: Any, tensors: Iterator[Tensor]) -> Any:
    """A ``carry`` of the same form, with other tensors in the order of `leaves`."""
    if isinstance(carry, Tensor):
        return next(tensors)
    parts = [with_leaves(part, tensors) for part in getattr(carry, "parts", carry)]
    if hasattr(carry, "parts"):
        return carry.of(*parts)
    return type(carry)(*parts) if hasattr(carry, "_fields") else tuple(parts)
