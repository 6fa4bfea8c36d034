"""What a layer carries from step to step, whatever it is: a tensor with a row a sentence, or tuples of such, at any depth."""

from typing import Any

from torch import Tensor


def select(carry: Any, rows: Tensor) -> Any:
    """The given rows of all its tensors, in their order: the only re-ordering that a search does."""
    if isinstance(carry, Tensor):
        return carry.index_select(0, rows)
    parts = [select(part, rows) for part in carry]
    # A named tuple takes its fields one by one.
    return type(carry)(*parts) if hasattr(carry, "_fields") else tuple(parts)
