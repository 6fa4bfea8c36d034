"""What every mechanism keeps, whatever its kind, wiring, cell and depth. A new row of the table of kinds is
covered by standing there.

Cells and depths are no business of a mechanism: each wiring is tried with one of them in turn, and those that stand for the
ways in which steps follow each other with all. Of encoders and decoders with Transformer layers each kind meets every one, and few pairs
(SEQ2SEQ_COMBINATIONS=all: every pair)."""

import os
from typing import Any

import pytest
import torch
from models import (
    REPRESENTATIVES,
    SEGMENT_ENDS,
    VOCABULARY,
    Case,
    between,
    cases,
    decode,
    log_probs,
    set_by_name,
    tiny_config,
    tiny_model,
    tiny_sentences,
    wirings,
)

from seq2seq_cli import contract
from seq2seq_cli.contract import Wired
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model.build import build

SENTENCES = tiny_sentences()


EVERY = os.environ.get("SEQ2SEQ_COMBINATIONS") == "all"


@pytest.fixture(scope="module", params=[*cases(), *between(EVERY)], ids=lambda case: case.name)
def wired(request: pytest.FixtureRequest) -> Wired:
    case: Case = request.param
    return contract.wired_by(case.config)


def test_the_representatives_are_wirings() -> None:
    assert [wiring for wiring in REPRESENTATIVES if wiring not in wirings()] == []


WINDOWLESS = {("luong-location", "local-m"), ("luong-location", "local-p"), ("hard", "local-p")}
"""Refused, with the reason: see CLASHES."""


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        (kind.name, window)
        for kind in KINDS
        for window in ("local-m", "local-p")
        if kind.attends and (kind.name, window) not in WINDOWLESS
    ],
)
def test_a_window_of_a_long_source_is_the_same_by_itself(kind: str, window: str) -> None:
    contract.a_window_of_a_long_source_is_the_same_by_itself(kind, {"window": window})


def test_all_steps_at_once_are_any_split_of_them(wired: Wired) -> None:
    contract.all_steps_at_once_are_any_split_of_them(wired)


def test_padding_changes_nothing_whatever_it_holds(wired: Wired) -> None:
    contract.padding_changes_nothing_whatever_it_holds(wired)


def test_a_sentence_alone_is_the_sentence_among_others(wired: Wired) -> None:
    contract.a_sentence_alone_is_the_sentence_among_others(wired)


def test_reordering_commutes_with_stepping(wired: Wired) -> None:
    contract.reordering_commutes_with_stepping(wired)


def test_no_step_reads_a_later_token(wired: Wired) -> None:
    contract.no_step_reads_a_later_token(wired)


def test_every_parameter_learns(wired: Wired) -> None:
    contract.every_parameter_learns(wired)


def test_one_pass_for_many_forwards_changes_nothing(wired: Wired) -> None:
    contract.one_pass_for_many_forwards_changes_nothing(wired)


def test_who_asks_where_it_looked_changes_nothing(wired: Wired) -> None:
    contract.who_asks_where_it_looked_changes_nothing(wired)


def test_what_is_said_to_be_bounded_is(wired: Wired) -> None:
    contract.what_is_said_to_be_bounded_is(wired)


def test_padding_gets_exactly_no_gradient(wired: Wired) -> None:
    contract.padding_gets_exactly_no_gradient(wired)


def test_weights_lie_inside_mask_and_window_and_sum_to_one(wired: Wired) -> None:
    contract.weights_lie_inside_mask_and_window_and_sum_to_one(wired)


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
