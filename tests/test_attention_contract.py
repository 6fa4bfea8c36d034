"""What every mechanism keeps, whatever its kind, wiring, cell and depth. A new row of the table of kinds is
covered by standing there.

Cells and depths are no business of a mechanism: each wiring is tried with one of them in turn, and those that stand for the
ways in which steps follow each other with all."""

import random
from typing import Any, NamedTuple

import pytest
import torch
from models import (
    REPRESENTATIVES,
    SEGMENT_ENDS,
    VOCABULARY,
    Case,
    Sentences,
    assert_same,
    cases,
    decode,
    log_probs,
    set_by_name,
    tiny_config,
    tiny_model,
    tiny_sentences,
    wirings,
)
from torch import Tensor, nn

from seq2seq_cli.inputs import TEXT
from seq2seq_cli.kinds.attentions import KINDS, find
from seq2seq_cli.kinds.clashes import Choices
from seq2seq_cli.model.attention.windows import View
from seq2seq_cli.model.build import build
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderOutput, DecoderState

SENTENCES = tiny_sentences()


class Wired(NamedTuple):
    """A model, what it was built from, and what it says of ``SENTENCES``."""

    attends: bool
    choices: Choices
    options: dict[str, Any]
    model: Seq2Seq
    whole: DecoderOutput


@pytest.fixture(scope="module", params=cases(), ids=lambda case: case.name)
def wired(request: pytest.FixtureRequest) -> Wired:
    case: Case = request.param
    model = tiny_model(case.config)
    with torch.no_grad():
        whole = decode(model, SENTENCES)
    return Wired(find(case.kind).attends, case.config.attention.choices, case.options, model, whole)


def test_the_representatives_are_wirings() -> None:
    assert [wiring for wiring in REPRESENTATIVES if wiring not in wirings()] == []


def splits(steps: int) -> list[list[int]]:
    """One by one, and twice at random."""
    chance = random.Random(0)
    chosen = [[1] * steps]
    for _ in range(2):
        cuts = sorted(chance.sample(range(1, steps), chance.randint(1, steps - 2)))
        chosen.append([after - before for before, after in zip([0, *cuts], [*cuts, steps], strict=True)])
    return chosen


def tensors_of(carry: Any) -> list[Tensor]:
    """All that is carried, one after another."""
    return [carry] if isinstance(carry, Tensor) else [tensor for part in carry for tensor in tensors_of(part)]


def assert_same_state(actual: DecoderState, expected: DecoderState) -> None:
    assert actual.step == expected.step
    for a, b in zip(tensors_of(actual.carries), tensors_of(expected.carries), strict=True):
        assert_same(a, b)


def joined(parts: list[Tensor | None]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return torch.cat(tensors, 1) if tensors else None


@torch.no_grad()
def test_all_steps_at_once_are_any_split_of_them(wired: Wired) -> None:
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
def test_padding_changes_nothing_whatever_it_holds(wired: Wired) -> None:
    garbage_BS = torch.randint(VOCABULARY, (4, 10), generator=torch.Generator().manual_seed(1))
    mask_BS = nn.functional.pad(SENTENCES.mask_BS, (0, 3))
    src_BS = torch.where(mask_BS, nn.functional.pad(SENTENCES.src_BS, (0, 3)), garbage_BS)
    padded = decode(wired.model, Sentences(src_BS, mask_BS, SENTENCES.reads_BT))
    assert_same(padded.features_BTF, wired.whole.features_BTF)
    assert_same(padded.shown.centre_BT, wired.whole.shown.centre_BT)
    if wired.attends:
        assert_same(padded.shown.weights_BTS, nn.functional.pad(wired.whole.shown.weights_BTS, (0, 3)))


@torch.no_grad()
def test_a_sentence_alone_is_the_sentence_among_others(wired: Wired) -> None:
    for row, length in enumerate(SENTENCES.mask_BS.sum(1).tolist()):
        one = slice(row, row + 1)
        alone = Sentences(SENTENCES.src_BS[one, :length], SENTENCES.mask_BS[one, :length], SENTENCES.reads_BT[one])
        assert_same(decode(wired.model, alone).features_BTF, wired.whole.features_BTF[one])


WINDOWLESS = {("luong-location", "local-m"), ("luong-location", "local-p"), ("hard", "local-p")}
"""Refused, with the reason: see CLASHES."""


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "window"),
    [
        (kind.name, window)
        for kind in KINDS
        for window in ("local-m", "local-p")
        if kind.attends and (kind.name, window) not in WINDOWLESS
    ],
)
def test_a_window_of_a_long_source_is_the_same_by_itself(
    kind: str, window: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single step is shown the window alone; here it is compared with one that is shown all."""
    model = tiny_model(tiny_config(kind, attention={"window": window, "radius": 1}))
    sentences = tiny_sentences((30, 5, 1, 24), steps=4)
    alone = decode(model, sentences)
    monkeypatch.setattr(View, "near", lambda view: None)
    amid_all = decode(model, sentences)
    assert_same(alone.features_BTF, amid_all.features_BTF)
    assert_same(alone.shown.weights_BTS, amid_all.shown.weights_BTS)
    assert_same(alone.shown.centre_BT, amid_all.shown.centre_BT)


@torch.no_grad()
def test_reordering_commutes_with_stepping(wired: Wired) -> None:
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


def test_every_parameter_learns(wired: Wired) -> None:
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
def test_one_pass_for_many_forwards_changes_nothing(wired: Wired) -> None:
    """Nor do single steps, where all might be taken at once."""
    for stepping in (False, True):
        model, run = wired.model, wired.model.new_pass(stepping)
        for _ in range(2):
            memory, state = model.start(SENTENCES.inputs, run)
            features_BTF = model.decoder(model.embed(SENTENCES.reads_BT), memory, state, run).features_BTF
            assert_same(features_BTF, wired.whole.features_BTF)


def test_padding_gets_exactly_no_gradient(wired: Wired) -> None:
    model = wired.model
    embedded_BSI = model.source_embedding(SENTENCES.src_BS).detach().requires_grad_()
    run = model.new_pass()
    encoded = model.encoder(embedded_BSI, SENTENCES.mask_BS, run)._replace(tokens_BS=SENTENCES.src_BS)
    encoded.states_BSE.retain_grad()
    memories = model.decoder.prepare({TEXT: encoded}, run)
    state = model.decoder.begin({TEXT: encoded}, memories, run)
    features_BTF = model.decoder(model.embed(SENTENCES.reads_BT), memories, state, run).features_BTF
    model.readout.log_probs(features_BTF, run)[..., 3].sum().backward()
    gradients = [embedded_BSI.grad]
    if wired.attends:
        gradients.append(encoded.states_BSE.grad)
    for gradient in gradients:
        assert gradient is not None
        assert not gradient[~SENTENCES.mask_BS].any()
        assert gradient[SENTENCES.mask_BS].any()


def test_weights_lie_inside_mask_and_window_and_sum_to_one(wired: Wired) -> None:
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


@torch.no_grad()
def test_centres_of_the_windows() -> None:
    last_B1 = SENTENCES.mask_BS.sum(1, keepdim=True) - 1
    monotonic = decode(tiny_model(tiny_config("local-m", attention={"radius": 2})), SENTENCES).shown.centre_BT
    assert monotonic is not None
    assert torch.equal(monotonic, torch.minimum(torch.arange(SENTENCES.reads_BT.shape[1]), last_B1))
    predicted = decode(tiny_model(tiny_config("local-p", attention={"radius": 2})), SENTENCES).shown.centre_BT
    assert predicted is not None
    assert ((predicted > 0) & (predicted < last_B1) | (last_B1 == 0)).all()


OTHERWISE: list[tuple[str, dict[str, dict[str, Any]], dict[str, dict[str, Any]]]] = [
    *(("luong-general", {}, {"attention": {"score": s}}) for s in ("dot", "additive", "location", "scaled-dot")),
    ("luong-dot", {}, {"attention": {"score": "scaled-dot"}}),
    ("luong-general", {}, {"attention": {"wiring": "before"}}),
    ("bahdanau", {}, {"attention": {"wiring": "after"}}),
    ("luong-general", {}, {"attention": {"input_feeding": False}}),
    ("local-m", {"attention": {"radius": 2}}, {"attention": {"radius": 1}}),
    ("local-p", {"attention": {"radius": 2}}, {"attention": {"radius": 1}}),
    *(("luong-general", {}, {"attention": {"normaliser": n}}) for n in ("sparsemax", "entmax15", "top-k")),
    *(("luong-general", {}, {"attention": {"window": w, "radius": 2}}) for w in ("local-m", "local-p")),
    ("luong-general", {}, {"attention": {"temperature": 0.5}}),
    ("luong-general", {"attention": {"normaliser": "top-k"}}, {"attention": {"top_k": 2}}),
    ("luong-general", {"attention": {"normaliser": "top-k"}}, {"attention": {"temperature": 2.0}}),
    ("bahdanau", {"attention": {"size": 8}}, {"attention": {"size": 5}}),
    ("luong-location", {"attention": {"max_positions": 6}}, {"attention": {"max_positions": 5}}),
    ("multi-head", {"attention": {"heads": 2}}, {"attention": {"heads": 4}}),
    ("memory", {}, {"attention": {"slots": 3}}),
    ("channel", {"attention": {"size": 8}}, {"attention": {"size": 5}}),
    *(("hierarchical", {}, {"attention": {"split": "length", "segment_length": n}}) for n in (1, 2)),
    ("none", {"attention": {"summary": "start"}}, {"attention": {"summary": "every-step"}}),
    *(
        ("bahdanau", {"model": {"tying": "all"}}, {"model": change})
        for change in (
            {"tying": "target"},
            {"tying": "none"},
            {"bridge": "zeros"},
            {"cell": "gru"},
            {"hidden_size": 10},
            {"embedding_size": 5},
            {"encoder_layers": 2},
            {"decoder_layers": 2},
        )
    ),
    ("bahdanau", {"model": {"tying": "target"}}, {"model": {"tying": "none"}}),
]


@pytest.mark.parametrize(("kind", "base", "change"), OTHERWISE, ids=[f"{k}-{change}" for k, _, change in OTHERWISE])
@torch.no_grad()
def test_every_option_changes_the_output(
    kind: str, base: dict[str, dict[str, Any]], change: dict[str, dict[str, Any]]
) -> None:
    changed = {name: {**base.get(name, {}), **change.get(name, {})} for name in base | change}
    outputs = []
    for sections in (base, changed):
        model = build(tiny_config(kind, **sections), VOCABULARY, VOCABULARY, SEGMENT_ENDS).double().eval()
        set_by_name(model)
        outputs.append(log_probs(model, SENTENCES))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-6


@torch.no_grad()
def test_every_kind_is_another_one() -> None:
    outputs = {}
    for kind in KINDS:
        options: dict[str, object] = {} if kind.window == "global" else {"radius": 2}
        if "size" in kind.options and kind.score == "additive":
            options["size"] = 8
        model = build(tiny_config(kind.name, attention=options), VOCABULARY, VOCABULARY, SEGMENT_ENDS).double().eval()
        set_by_name(model)
        outputs[kind.name] = log_probs(model, SENTENCES)
    for one in outputs:
        for other in outputs:
            assert one == other or (outputs[one] - outputs[other]).abs().max() > 1e-6, (one, other)


def test_weights_set_by_name_are_the_same_for_the_same_configuration() -> None:
    """Without which the two tests above could not fail."""
    outputs = []
    for seed in range(2):
        torch.manual_seed(seed)
        model = build(tiny_config("local-p"), VOCABULARY, VOCABULARY).double().eval()
        set_by_name(model)
        outputs.append(log_probs(model, SENTENCES))
    assert torch.equal(*outputs)
