"""Tiny models for tests."""

import zlib
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq_cli.contract import (
    SEGMENT_ENDS,
    VOCABULARY,
    Sentences,
    assert_same,
    decode,
    tiny_config,
    tiny_model,
    tiny_sentences,
    wirings_of,
)
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model.readout import Vocabulary
from seq2seq_cli.model.seq2seq import Seq2Seq

__all__ = [
    "SEGMENT_ENDS",
    "VOCABULARY",
    "Sentences",
    "assert_same",
    "decode",
    "tiny_config",
    "tiny_model",
    "tiny_sentences",
]


def vocabulary(model: Seq2Seq) -> Vocabulary:
    """The readout of a model that knows no other than its vocabulary."""
    assert isinstance(model.readout, Vocabulary)
    return model.readout


def layer_of(model: Seq2Seq) -> Any:
    """The only layer of its decoder (Any: its parts are looked at)."""
    [layer] = model.decoder.layers
    return layer


def set_by_name(model: nn.Module) -> None:
    """Weights that depend on a parameter's name and on the place in it alone.

    Two configurations then have the same weights wherever they have the same parameters, so that what differs
    between their outputs is what the configuration does and not how the weights were drawn.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            drawn = torch.randn(128, 64, generator=generator, dtype=parameter.dtype)
            matrix = parameter.reshape(len(parameter), -1)
            parameter.copy_(0.5 * drawn[: matrix.shape[0], : matrix.shape[1]].reshape(parameter.shape))


def log_probs(model: Seq2Seq, sentences: Sentences) -> Tensor:
    """log p(y_t | y_<t, x) of every next token, B x T x V."""
    return model.readout.log_probs(decode(model, sentences).features_BTF, model.new_pass())


def wirings() -> list[tuple[str, dict[str, object]]]:
    """Every kind with every wiring and option that changes how steps follow each other.

    Windows and position tables are smaller than the longest of ``tiny_sentences``.
    """
    return [
        *(case for kind in KINDS for case in wirings_of(kind)),
        ("luong-general", {"normaliser": "sparsemax"}),
        ("luong-general", {"normaliser": "top-k", "top_k": 2, "temperature": 0.5}),
        ("bahdanau", {"temperature": 2.0}),
        ("local-p", {"normaliser": "entmax15", "radius": 2}),
        ("scaled-dot", {"normaliser": "sparsemax", "window": "local-m", "radius": 2}),
        ("multi-head", {"heads": 4, "normaliser": "entmax15", "window": "local-p", "radius": 2}),
        ("coverage", {"window": "local-m", "radius": 2}),
        ("temporal", {"score": "location", "max_positions": 4}),
        ("temporal", {"score": "additive", "window": "local-p", "radius": 2}),
        ("memory", {"slots": 3, "window": "local-m", "radius": 2}),
        ("channel", {"size": 5, "normaliser": "sparsemax", "window": "local-p", "radius": 2}),
        ("hierarchical", {"score": "additive", "split": "length", "segment_length": 2}),
        ("hierarchical", {"score": "dot", "window": "local-p", "radius": 1}),
        ("hard", {"estimator": "marginal"}),
        ("hard", {"estimator": "reinforce"}),
        ("hard", {"estimator": "reinforce", "wiring": "before", "normaliser": "sparsemax"}),
    ]


def wiring_name(case: tuple[str, dict[str, object]]) -> str:
    """How a case of ``wirings`` is called in a test's name."""
    kind, options = case
    return "-".join(
        [kind, *(f"{name}={value}" for name, value in options.items() if name not in ("radius", "max_positions"))]
    )
