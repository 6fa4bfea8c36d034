"""What a layer carries from step to step: a tensor with one row a sentence, or tuples of such tensors, nested at any
depth; or what has a ``select`` of its own."""

from typing import Any

from torch import Tensor


def select(carry: Any, rows: Tensor) -> Any:
    """The given rows of all tensors of ``carry``, in the order of ``rows``. A search re-orders its state by this
    alone."""
    if isinstance(carry, Tensor):
        return carry.index_select(0, rows)
    if hasattr(carry, "select"):
        return carry.select(rows)
    parts = [select(part, rows) for part in carry]
    # A named tuple takes its fields one by one.
    return type(carry)(*parts) if hasattr(carry, "_fields") else tuple(parts)
