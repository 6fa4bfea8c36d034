"""The formats that weights have had, and how those of earlier versions are read."""

import re
from collections.abc import Mapping

from torch import Tensor

FORMAT = 2
"""The format of the weights that this version writes. In format 1 parameters have the names from the time when the
decoder was a single module."""

RENAMED: tuple[tuple[str, str], ...] = (
    (r"decoder\.wiring\.readout\.", "readout.hidden."),
    (r"decoder\.wiring\.", "decoder.layers.0."),
    (r"decoder\.bridge\.", "decoder.layers.0.bridge."),
    (r"output_embedding\.", "readout.embedding."),
    (r"output_bias$", "readout.bias_V"),
)
"""Patterns of how parameter names of format 1 begin, and what replaces them."""


def by_todays_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of any format, each parameter under the name that it has now; the order stays."""
    return {_today(name): tensor for name, tensor in weights.items()}


def _today(name: str) -> str:
    for pattern, new in RENAMED:
        name = re.sub(f"^{pattern}", new, name)
    return name
