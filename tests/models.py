"""Tiny models for tests."""

import zlib
from collections.abc import Iterable
from itertools import cycle
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.whole import Config
from seq2seq_cli.inputs import TEXT, Batch, Inputs, Padded, Target
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model.build import build
from seq2seq_cli.model.readout import VocabularyReadout
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderOutput

Wiring = tuple[str, dict[str, object]]
"""A kind and its settings under ``[attention]``."""
VOCABULARY = 13
SEGMENT_ENDS = (1, 4, 6, 11)
"""Tokens that end a segment of the source."""


class Recurrence(NamedTuple):
    """The cells of encoder and decoder, and how many layers each has."""

    cell: str
    layers: int

    @property
    def sizes(self) -> dict[str, object]:
        """Settings under ``[model]``."""
        return {"cell": self.cell, "encoder_layers": self.layers, "decoder_layers": self.layers}


RECURRENCES = (Recurrence("lstm", 1), Recurrence("gru", 1), Recurrence("lstm", 2), Recurrence("gru", 2))


class Sentences(NamedTuple):
    """A batch: sources of several lengths, the padding full of other tokens, and what each target step reads."""

    src_BS: Tensor
    mask_BS: Tensor
    reads_BT: Tensor

    @property
    def inputs(self) -> Inputs:
        """The sources alone."""
        return Inputs({TEXT: Padded(self.src_BS, self.mask_BS)})

    def batch(self, says_BT: Tensor, real_BT: Tensor, guide_BTS: Tensor | None = None) -> Batch:
        """With what each step is to say."""
        target = Target(self.reads_BT, says_BT, real_BT)
        return Batch(self.inputs.sources, target, int(real_BT.sum()), guide_BTS)


def tiny_config(kind: str, **sections: dict[str, object]) -> Config:
    """A configuration small enough for hand checks; ``sections`` are laid over it."""
    values: dict[str, dict[str, object]] = {
        "attention": {"kind": kind},
        "model": {"embedding_size": 6, "hidden_size": 8, "dropout": 0.0},
    }
    for name, section in sections.items():
        values.setdefault(name, {}).update(section)
    return from_dict(values)


def tiny_model(config: Config, seed: int = 0, dtype: torch.dtype = torch.float64) -> Seq2Seq:
    """The model of ``config``, in eval mode, with weights large enough that every part of it matters."""
    torch.manual_seed(seed)
    model = build(config, VOCABULARY, VOCABULARY, SEGMENT_ENDS).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


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


def tiny_sentences(lengths: tuple[int, ...] = (5, 2, 7, 1), steps: int = 5, seed: int = 0) -> Sentences:
    """As many random sentences as there are source ``lengths``."""
    generator = torch.Generator().manual_seed(seed)
    src_BS = torch.randint(VOCABULARY, (len(lengths), max(lengths)), generator=generator)
    mask_BS = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Sentences(src_BS, mask_BS, torch.randint(VOCABULARY, (len(lengths), steps), generator=generator))


def decode(model: Seq2Seq, sentences: Sentences) -> DecoderOutput:
    """All target steps in one call."""
    memory, state = model.start(sentences.inputs, model.new_pass())
    output: DecoderOutput = model.decoder(model.embed(sentences.reads_BT), memory, state, model.new_pass())
    return output


def log_probs(model: Seq2Seq, sentences: Sentences) -> Tensor:
    """log p(y_t | y_<t, x) of every next token, B x T x V."""
    return model.readout.log_probs(decode(model, sentences).features_BTF, model.new_pass())


def assert_same(actual: Tensor | None, expected: Tensor | None) -> None:
    """Equal to 1e-9 (and None to None)."""
    if actual is None or expected is None:
        assert actual is expected
    else:
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


def wirings() -> list[Wiring]:
    """Every kind with every wiring and option that changes how steps follow each other.

    Windows and position tables are smaller than the longest of ``tiny_sentences``.
    """
    cells: list[Wiring] = []
    for kind in KINDS:
        if not kind.attends:
            cells += [(kind.name, {"summary": summary}) for summary in ("start", "every-step")]
            continue
        small: dict[str, object] = {} if kind.window == "global" else {"radius": 2}
        if kind.score == "location":
            small["max_positions"] = 4
        if "heads" in kind.options:
            small["heads"] = 2
        cells.append((kind.name, {**small, "wiring": "before"}))
        cells += [(kind.name, {**small, "wiring": "after", "input_feeding": feeding}) for feeding in (True, False)]
    return [
        *cells,
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
    """A wiring with a recurrence."""

    kind: str
    options: dict[str, object]
    recurrence: Recurrence

    @property
    def config(self) -> Config:
        return tiny_config(self.kind, attention=self.options, model=self.recurrence.sizes)

    @property
    def name(self) -> str:
        """How it is called in a test's name."""
        return f"{self.recurrence.cell}{self.recurrence.layers}-{wiring_name((self.kind, self.options))}"


def in_turn(wirings: Iterable[Wiring]) -> list[Case]:
    """Each wiring once, with the next of the recurrences."""
    turns = zip(wirings, cycle(RECURRENCES), strict=False)
    return [Case(kind, options, recurrence) for (kind, options), recurrence in turns]


def cases() -> list[Case]:
    """Every wiring once, the recurrences in turn, and the representatives with each recurrence."""
    chosen = in_turn(wirings())
    every = [Case(*wiring, recurrence) for wiring in REPRESENTATIVES for recurrence in RECURRENCES]
    return [*chosen, *(case for case in every if case not in chosen)]


def wiring_name(case: Wiring) -> str:
    """How a case of ``wirings`` is called in a test's name."""
    kind, options = case
    return "-".join(
        [kind, *(f"{name}={value}" for name, value in options.items() if name not in ("radius", "max_positions"))]
    )
