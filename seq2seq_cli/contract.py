"""The contract of every attention, whatever its kind and wiring and the layers around it: what a package's own tests may ask of its kind.

>>> import pytest
>>> from seq2seq_cli import contract
>>> @pytest.mark.parametrize("promise", contract.promises("cosine"), ids=str)
... def test_it_keeps_the_contract(promise):
...     promise()

Each promise builds a tiny model with the kind in it and raises AssertionError where that does not keep it.
(``pytest.register_assert_rewrite("seq2seq_cli.contract")`` before the import shows the values.)
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple, get_args
from unittest.mock import patch

import torch
from torch import Tensor, nn

from seq2seq_cli.config.attention import WIRED
from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.inputs import TEXT, Batch, Inputs, Padded, Target
from seq2seq_cli.kinds.attentions import Kind, Summary, Window, find
from seq2seq_cli.kinds.clashes import Choices
from seq2seq_cli.kinds.layers import DecoderKind, EncoderKind, Positions, Span
from seq2seq_cli.model.attention.windows import View
from seq2seq_cli.model.build import build
from seq2seq_cli.model.carry import leaves
from seq2seq_cli.model.maps import Map, Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderOutput, DecoderState

VOCABULARY = 13
SEGMENT_ENDS = (1, 4, 6, 11)
"""Tokens that end a segment of the source."""


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


def tiny_config(kind: str, **sections: Mapping[str, object]) -> Config:
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


def assert_same(actual: Tensor | None, expected: Tensor | None) -> None:
    """Equal to 1e-9 (and None to None)."""
    if actual is None or expected is None:
        assert actual is expected
    else:
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


SENTENCES = tiny_sentences()


class Wired(NamedTuple):
    """A model, what it was built from, and what it says of ``SENTENCES``."""

    attends: bool
    choices: Choices
    options: dict[str, Any]
    model: Seq2Seq
    whole: DecoderOutput


def splits(steps: int) -> list[list[int]]:
    """One by one, and twice at random."""
    chance = random.Random(0)
    chosen = [[1] * steps]
    for _ in range(2):
        cuts = sorted(chance.sample(range(1, steps), chance.randint(1, steps - 2)))
        chosen.append([after - before for before, after in zip([0, *cuts], [*cuts, steps], strict=True)])
    return chosen


def assert_same_state(actual: DecoderState, expected: DecoderState) -> None:
    assert actual.step == expected.step
    for a, b in zip(leaves(actual.carries), leaves(expected.carries), strict=True):
        assert_same(a, b)


def joined(parts: list[Tensor | None]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return torch.cat(tensors, 1) if tensors else None


@torch.no_grad()
def all_steps_at_once_are_any_split_of_them(wired: Wired) -> None:
    memory, first = wired.model.start(SENTENCES.inputs, wired.model.new_pass())
    for split in splits(SENTENCES.reads_BT.shape[1]):
        state, parts = first, []
        for reads_BU in torch.split(SENTENCES.reads_BT, split, 1):
            parts.append(wired.model.decoder(wired.model.embed(reads_BU), memory, state, wired.model.new_pass()))
            state = parts[-1].state
        assert_same(torch.cat([part.features_BTF for part in parts], 1), wired.whole.features_BTF)
        assert_same(torch.cat([part.shown.weights_BTS for part in parts], 1), wired.whole.shown.weights_BTS)
        assert_same(joined([part.shown.centre_BT for part in parts]), wired.whole.shown.centre_BT)
        assert_same_state(state, wired.whole.state)


@torch.no_grad()
def padding_changes_nothing_whatever_it_holds(wired: Wired) -> None:
    garbage_BS = torch.randint(VOCABULARY, (4, 10), generator=torch.Generator().manual_seed(1))
    mask_BS = nn.functional.pad(SENTENCES.mask_BS, (0, 3))
    src_BS = torch.where(mask_BS, nn.functional.pad(SENTENCES.src_BS, (0, 3)), garbage_BS)
    padded = decode(wired.model, Sentences(src_BS, mask_BS, SENTENCES.reads_BT))
    assert_same(padded.features_BTF, wired.whole.features_BTF)
    assert_same(padded.shown.centre_BT, wired.whole.shown.centre_BT)
    if wired.attends:
        assert_same(padded.shown.weights_BTS, nn.functional.pad(wired.whole.shown.weights_BTS, (0, 3)))


@torch.no_grad()
def a_sentence_alone_is_the_sentence_among_others(wired: Wired) -> None:
    for row, length in enumerate(SENTENCES.mask_BS.sum(1).tolist()):
        one = slice(row, row + 1)
        alone = Sentences(SENTENCES.src_BS[one, :length], SENTENCES.mask_BS[one, :length], SENTENCES.reads_BT[one])
        assert_same(decode(wired.model, alone).features_BTF, wired.whole.features_BTF[one])


@torch.no_grad()
def a_window_of_a_long_source_is_the_same_by_itself(kind: str, options: Mapping[str, object]) -> None:
    """A single step is shown the window alone; here it is compared with one that is shown all."""
    model = tiny_model(tiny_config(kind, attention={"radius": 1, **options}))
    sentences = tiny_sentences((30, 5, 1, 24), steps=4)
    alone = decode(model, sentences)
    with patch.object(View, "near", lambda view: None):
        amid_all = decode(model, sentences)
    assert_same(alone.features_BTF, amid_all.features_BTF)
    assert_same(alone.shown.weights_BTS, amid_all.shown.weights_BTS)
    assert_same(alone.shown.centre_BT, amid_all.shown.centre_BT)


@torch.no_grad()
def reordering_commutes_with_stepping(wired: Wired) -> None:
    rows = torch.tensor([2, 0, 0, 3, 2])
    memory, state = wired.model.start(SENTENCES.inputs, wired.model.new_pass())
    embedded_BTI = wired.model.embed(SENTENCES.reads_BT)
    state = wired.model.decoder(embedded_BTI[:, :3], memory, state, wired.model.new_pass()).state
    moved: DecoderOutput = wired.model.decoder(
        embedded_BTI[rows, 3:], memory.select(rows), state.select(rows), wired.model.new_pass()
    )
    centre_BT = wired.whole.shown.centre_BT
    assert_same(moved.features_BTF, wired.whole.features_BTF[rows, 3:])
    assert_same(moved.shown.weights_BTS, wired.whole.shown.weights_BTS[rows, 3:])
    assert_same(moved.shown.centre_BT, None if centre_BT is None else centre_BT[rows, 3:])
    assert_same_state(moved.state, wired.whole.state.select(rows))


def no_step_reads_a_later_token(wired: Wired) -> None:
    """Its gradient is exactly zero."""
    embedded_BTI, step = wired.model.embed(SENTENCES.reads_BT).detach().requires_grad_(), 2
    memory, state = wired.model.start(SENTENCES.inputs, wired.model.new_pass())
    features_BTF = wired.model.decoder(embedded_BTI, memory, state, wired.model.new_pass()).features_BTF
    (features_BTF[:, step] * torch.arange(1, 1 + features_BTF.shape[-1])).sum().backward(inputs=[embedded_BTI])
    assert embedded_BTI.grad is not None
    assert (embedded_BTI.grad[:, : step + 1] != 0).any(-1).all()
    assert not embedded_BTI.grad[:, step + 1 :].any()


def every_parameter_learns(wired: Wired) -> None:
    real_BT = torch.ones_like(SENTENCES.reads_BT, dtype=torch.bool)
    target_BT = SENTENCES.reads_BT.flip(1)
    wired.model.zero_grad()
    torch.manual_seed(0)  # some draw where to look
    wired.model.train()
    wired.model.loss(SENTENCES.batch(target_BT, real_BT), 0.1).smoothed.backward()
    wired.model.eval()
    for name, parameter in wired.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 1e-9, name


@torch.no_grad()
def one_pass_for_many_forwards_changes_nothing(wired: Wired) -> None:
    """Nor do single steps, where all might be taken at once."""
    for stepping in (False, True):
        model, run = wired.model, wired.model.new_pass(stepping)
        for _ in range(2):
            memory, state = model.start(SENTENCES.inputs, run)
            features_BTF = model.decoder(model.embed(SENTENCES.reads_BT), memory, state, run).features_BTF
            assert_same(features_BTF, wired.whole.features_BTF)


@torch.no_grad()
def who_asks_where_it_looked_changes_nothing(wired: Wired) -> None:
    """In the source, or in the sentences themselves."""
    for asked in ({"looking": False}, {"inward": True}):
        run = wired.model.new_pass(**asked)
        memory, state = wired.model.start(SENTENCES.inputs, run)
        output = wired.model.decoder(wired.model.embed(SENTENCES.reads_BT), memory, state, run)
        assert_same(output.features_BTF, wired.whole.features_BTF)
        if run.looking:
            assert_same(output.shown.weights_BTS, wired.whole.shown.weights_BTS)


class WatchedMap(NamedTuple):
    """A map that sees to it that its inputs lie in [-1, 1]."""

    watched: Map

    def product(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        assert x.abs().max() <= 1, "an input of a map that is said to be bounded is not"
        return self.watched.product(x, addend)


class Watching(Pass):
    """A pass that takes steps one by one, as a search in 8-bit integers does, and watches maps said to be ``bounded``."""

    def make(self, matrix: Tensor, bias_O: Tensor | None = None, *, bounded: bool = False, exact: bool = False) -> Map:
        made = super().make(matrix, bias_O, bounded=bounded, exact=exact)
        return WatchedMap(made) if bounded and not exact else made


@torch.no_grad()
def what_is_said_to_be_bounded_is(wired: Wired) -> None:
    """Or 8-bit integers would cut it off."""
    run = Watching(torch.float64, stepping=True)
    memory, state = wired.model.start(SENTENCES.inputs, run)
    for embedded_B1I in wired.model.embed(SENTENCES.reads_BT).split(1, 1):
        output = wired.model.decoder(embedded_B1I, memory, state, run)
        wired.model.readout.logits(output.steps, run)
        state = output.state


def padding_gets_exactly_no_gradient(wired: Wired) -> None:
    model = wired.model
    embedded_BSI = model.source_embedding(SENTENCES.src_BS).detach().requires_grad_()
    run = model.new_pass()
    encoded = model.encoder(embedded_BSI, SENTENCES.mask_BS, run)._replace(tokens_BS=SENTENCES.src_BS)
    encoded.states_BSE.retain_grad()
    memories = model.decoder.prepare({TEXT: encoded}, run)
    state = model.decoder.begin({TEXT: encoded}, memories, run)
    output = model.decoder(model.embed(SENTENCES.reads_BT), memories, state, run)
    model.readout.log_probs(output.steps, run)[..., 3].sum().backward()
    gradients = [embedded_BSI.grad]
    if wired.attends:
        gradients.append(encoded.states_BSE.grad)
    for gradient in gradients:
        assert gradient is not None
        assert not gradient[~SENTENCES.mask_BS].any()
        assert gradient[SENTENCES.mask_BS].any()


def weights_lie_inside_mask_and_window_and_sum_to_one(wired: Wired) -> None:
    choices, options, weights_BTS = wired.choices, wired.options, wired.whole.shown.weights_BTS
    if not wired.attends:
        assert weights_BTS.shape == (*SENTENCES.reads_BT.shape, 0)
        return
    positions_S = torch.arange(SENTENCES.src_BS.shape[1])
    seen_BTS = SENTENCES.mask_BS[:, None].expand_as(weights_BTS)
    if choices.score == "location":
        seen_BTS = seen_BTS & (positions_S < options["max_positions"])
    if choices.window != "global":
        assert wired.whole.shown.centre_BT is not None
        distance_BTS = (positions_S - wired.whole.shown.centre_BT[..., None]).abs()
        seen_BTS = seen_BTS & (distance_BTS <= options["radius"])
    assert (weights_BTS >= 0).all()
    if choices.estimator is not None:
        assert (weights_BTS.amax(-1) == 1).all()
    elif choices.normaliser == "softmax":
        assert (weights_BTS[seen_BTS] > 0).all()
    if choices.normaliser == "top-k":
        assert ((weights_BTS > 0).sum(-1) <= options["top_k"]).all()
    assert (weights_BTS[~seen_BTS] == 0).all()
    total_BT = weights_BTS.sum(-1)
    if choices.window == "local-p":
        assert (total_BT < 1 - 1e-6).any()
        assert (total_BT < 1 + 1e-9).all()
    else:
        assert_same(total_BT, torch.ones_like(total_BT))


def wirings_of(kind: Kind) -> list[tuple[str, dict[str, object]]]:
    """The kind with every wiring that changes how steps follow each other.

    Windows and position tables are smaller than the longest of ``tiny_sentences``.
    """
    if not kind.attends:
        summaries = get_args(Summary) if "summary" in kind.options else ()
        return [(kind.name, {"summary": summary}) for summary in summaries] or [(kind.name, {})]
    small: dict[str, object] = {} if kind.window == "global" else {"radius": 2}
    if kind.score == "location":
        small["max_positions"] = 4
    if "heads" in kind.options:
        small["heads"] = 2
    after = [(kind.name, {**small, "wiring": "after", "input_feeding": feeding}) for feeding in (True, False)]
    return [(kind.name, {**small, "wiring": "before"}), *after]


CHECKS: tuple[Callable[[Wired], None], ...] = (
    all_steps_at_once_are_any_split_of_them,
    padding_changes_nothing_whatever_it_holds,
    a_sentence_alone_is_the_sentence_among_others,
    reordering_commutes_with_stepping,
    no_step_reads_a_later_token,
    every_parameter_learns,
    one_pass_for_many_forwards_changes_nothing,
    who_asks_where_it_looked_changes_nothing,
    what_is_said_to_be_bounded_is,
    padding_gets_exactly_no_gradient,
    weights_lie_inside_mask_and_window_and_sum_to_one,
)
"""What a model of any kind and wiring keeps."""


Sections = Mapping[str, Mapping[str, object]]
"""Settings by section."""


class Recurrence(NamedTuple):
    """The cells of encoder and decoder, and how many layers each has."""

    cell: str
    layers: int

    def __str__(self) -> str:
        return f"{self.cell}{self.layers}"

    @property
    def sizes(self) -> dict[str, object]:
        """Settings under ``[model]``."""
        return {"cell": self.cell, "encoder_layers": self.layers, "decoder_layers": self.layers}

    @property
    def sections(self) -> Sections:
        """All settings."""
        return {"model": self.sizes}


RECURRENCES = (Recurrence("lstm", 1), Recurrence("gru", 1), Recurrence("lstm", 2), Recurrence("gru", 2))


class Halves(NamedTuple):
    """An encoder and a decoder, one of which at least has Transformer layers (two; RNNs have one): how they tell positions, and
    what their self-attention sees."""

    encoder: EncoderKind
    decoder: DecoderKind
    positions: Positions
    window: Span | None

    def __str__(self) -> str:
        return f"{self.encoder}-{self.decoder}-{self.positions}"

    @property
    def sections(self) -> Sections:
        """All settings."""
        model: dict[str, object] = {"encoder": self.encoder, "decoder": self.decoder, "positions": self.positions}
        depths = {
            "encoder_layers": 1 if self.encoder == "rnn" else 2,
            "decoder_layers": 1 if self.decoder == "rnn" else 2,
        }
        itself: dict[str, object] = {"heads": 2, "window": self.window, "radius": 1 if self.window == "local" else None}
        return {
            "model": {**model, **depths, "feed_forward_size": 12},
            "self_attention": {} if self.window is None else itself,
        }


HALVES = (
    Halves("transformer", "transformer", "sinusoidal", "global"),
    Halves("rnn", "ssru", "sinusoidal", None),
    Halves("transformer", "rnn", "learned", "local"),
    Halves("rnn", "transformer", "rotary", "local"),
    Halves("transformer", "ssru", "rotary", "global"),
)
"""Every encoder with every decoder, but for two RNNs."""


def wirings_between(kind: Kind, halves: Halves) -> list[tuple[str, dict[str, object]]]:
    """The kind with every wiring that there is between these halves: beside an RNN as ever; in a Transformer there is one."""
    if halves.decoder == "rnn":
        return wirings_of(kind)
    options = {name: value for name, value in wirings_of(kind)[-1][1].items() if name not in WIRED}
    return [(kind.name, options)]


@dataclass(frozen=True)
class Promise:
    """Something that a kind is to keep, called ``name``. Raises AssertionError where it does not."""

    name: str
    check: Callable[[], None]

    def __call__(self) -> None:
        self.check()

    def __str__(self) -> str:
        return self.name


def promises(kind: str, **options: object) -> list[Promise]:
    """All that ``kind`` is to keep, in every wiring, cell and depth, between every encoder and decoder, and of a long source
    within a local window. ``options`` are set under ``[attention]``, as ``own={"sharpness": 2.0}``. Raises ConfigError where
    there is no such kind."""
    row, found = find(kind), list[Promise]()
    cases: list[tuple[tuple[str, dict[str, object]], Recurrence | Halves]] = [
        *product(wirings_of(row), RECURRENCES),
        *((wiring, halves) for halves in HALVES for wiring in wirings_between(row, halves)),
    ]
    for (name, own), around in cases:
        told = "-".join([name, *(f"{key}={value}" for key, value in own.items()), str(around)])
        wired = partial(wired_by, tiny_config(name, attention={**own, **options}, **around.sections))
        for check in CHECKS:
            found.append(Promise(f"{told}: {check.__name__}", partial(_keep, check, wired)))
    for window in get_args(Window) if row.attends else ():
        chosen = {**options, "window": window}
        if window != "global" and _is_allowed(kind, {"radius": 1, **chosen}):
            check_window = partial(a_window_of_a_long_source_is_the_same_by_itself, kind, chosen)
            found.append(Promise(f"{kind}-window={window}: {check_window.func.__name__}", check_window))
    return found


def wired_by(config: Config) -> Wired:
    """A tiny model of ``config``, and what it says."""
    model = tiny_model(config)
    with torch.no_grad():
        whole = decode(model, SENTENCES)
    options = asdict(config.attention.numbers)
    return Wired(config.attention.row.attends, config.attention.choices, options, model, whole)


def _keep(check: Callable[[Wired], None], wired: Callable[[], Wired]) -> None:
    check(wired())


def _is_allowed(kind: str, options: Mapping[str, object]) -> bool:
    """Whether these choices go together: some kinds take no window."""
    try:
        tiny_config(kind, attention=dict(options))
    except ConfigError:
        return False
    return True
