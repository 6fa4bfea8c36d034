"""The formats that weights have had, and how those of earlier versions are read."""

import re
from collections.abc import Mapping

from torch import Tensor

FORMAT = 2
"""Of what this version writes. 1: parameters stand where they did when the decoder was one module."""

RENAMED: tuple[tuple[str, str], ...] = (
    (r"decoder\.wiring\.readout\.", "readout.hidden."),
    (r"decoder\.wiring\.", "decoder.layers.0."),
    (r"decoder\.bridge\.", "decoder.layers.0.bridge."),
    (r"output_embedding\.", "readout.embedding."),
    (r"output_bias$", "readout.bias_V"),
)
"""Beginnings of names of the first format, and what has become of them."""


def by_todays_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of any format, each parameter by the name that it has now, in their order."""
    return {_today(name): tensor for name, tensor in weights.items()}


def _today(name: str) -> str:
    for pattern, new in RENAMED:
        name = re.sub(f"^{pattern}", new, name)
    return name
