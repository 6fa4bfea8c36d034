"""Tiny models for tests."""

import zlib
from collections.abc import Iterable
from itertools import cycle
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config.whole import Config
from seq2seq_cli.contract import (
    HALVES,
    RECURRENCES,
    SEGMENT_ENDS,
    VOCABULARY,
    Halves,
    Recurrence,
    Sentences,
    assert_same,
    decode,
    tiny_config,
    tiny_model,
    tiny_sentences,
    wirings_between,
    wirings_of,
)
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model.readout import VocabularyReadout
from seq2seq_cli.model.seq2seq import Seq2Seq

__all__ = [
    "HALVES",
    "RECURRENCES",
    "SEGMENT_ENDS",
    "VOCABULARY",
    "Halves",
    "Recurrence",
    "Sentences",
    "assert_same",
    "decode",
    "tiny_config",
    "tiny_model",
    "tiny_sentences",
]

Wiring = tuple[str, dict[str, object]]
"""A kind and its settings under ``[attention]``."""


def layer_of(model: Seq2Seq) -> Any:
    """The only layer of its decoder (Any: its parts are looked at)."""
    [layer] = model.decoder.layers
    return layer


def vocabulary_of(model: Seq2Seq) -> VocabularyReadout:
    """Its readout, whose parts are looked at."""
    assert isinstance(model.readout, VocabularyReadout)
    return model.readout


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
    return model.readout.log_probs(decode(model, sentences).steps, model.new_pass())


def wirings() -> list[Wiring]:
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


REPRESENTATIVES: tuple[Wiring, ...] = (
    ("none", {"summary": "every-step"}),
    ("bahdanau", {"wiring": "before"}),
    ("luong-general", {"wiring": "after", "input_feeding": True}),
    ("local-p", {"radius": 2, "wiring": "after", "input_feeding": False}),
    ("coverage", {"wiring": "before"}),
    ("memory", {"wiring": "after", "input_feeding": True}),
)
"""Wirings that differ in what goes from one step to the next: nothing, the context, the feed, the centre alone, the weights
and the slots."""


class Case(NamedTuple):
    """A wiring with the layers around it."""

    kind: str
    options: dict[str, object]
    around: Recurrence | Halves

    @property
    def config(self) -> Config:
        return tiny_config(self.kind, attention=self.options, **self.around.sections)

    @property
    def name(self) -> str:
        """How it is called in a test's name."""
        return f"{self.around}-{wiring_name((self.kind, self.options))}"


def in_turn(wirings: Iterable[Wiring]) -> list[Case]:
    """Each wiring once, with the next of the recurrences."""
    turns = zip(wirings, cycle(RECURRENCES), strict=False)
    return [Case(kind, options, recurrence) for (kind, options), recurrence in turns]


def cases() -> list[Case]:
    """Every wiring once, the recurrences in turn, and the representatives with each recurrence."""
    chosen = in_turn(wirings())
    every = [Case(*wiring, recurrence) for wiring in REPRESENTATIVES for recurrence in RECURRENCES]
    return [*chosen, *(case for case in every if case not in chosen)]


BY_STEP_AND_WINDOW: tuple[Wiring, ...] = (
    ("coverage", {"window": "local-m", "radius": 1}),
    ("multi-head", {"heads": 2, "window": "local-p", "radius": 2}),
)
"""What must know the number of each step that it is asked for by itself; and heads whose weights a window changes."""


def between(every: bool) -> list[Case]:
    """Every kind with every encoder and every decoder of which one has Transformer layers; beside an RNN, each wiring in turn.
    ``every``: with all pairs of an encoder and a decoder, not half of them in turn."""
    chosen = [Case(*wiring, HALVES[0]) for wiring in BY_STEP_AND_WINDOW]
    for number, kind in enumerate(KINDS):
        for halves in HALVES:
            turn = (halves.encoder == "rnn") ^ (halves.decoder == "ssru")
            if every or halves.decoder == "rnn" or turn == number % 2:
                wirings = wirings_between(kind, halves)
                chosen.append(Case(*wirings[number % len(wirings)], halves))
    return chosen


def wiring_name(case: Wiring) -> str:
    """How a case of ``wirings`` is called in a test's name."""
    kind, options = case
    return "-".join(
        [kind, *(f"{name}={value}" for name, value in options.items() if name not in ("radius", "max_positions"))]
    )
