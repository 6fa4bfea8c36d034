"""What a layer carries from step to step: a tensor with one row a sentence, or tuples of such tensors, nested at any
depth."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor


def select(carry: Any, rows: Tensor) -> Any:
    """The given rows of all tensors of ``carry``, in the order of ``rows``. A search re-orders its state by this
    alone."""
    if isinstance(carry, Tensor):
        return carry.index_select(0, rows)
    parts = [select(part, rows) for part in carry]
    # A named tuple takes its fields one by one.
    return type(carry)(*parts) if hasattr(carry, "_fields") else tuple(parts)


def leaves(carry: Any) -> list[Tensor]:
    """All tensors of ``carry``, in one order."""
    return [carry] if isinstance(carry, Tensor) else [leaf for part in carry for leaf in leaves(part)]


def with_leaves(carry: Any, tensors: Iterator[Tensor]) -> Any:
    """A ``carry`` of the same form, with other tensors in the order of `leaves`."""
    if isinstance(carry, Tensor):
        return next(tensors)
    parts = [with_leaves(part, tensors) for part in carry]
    return type(carry)(*parts) if hasattr(carry, "_fields") else tuple(parts)
