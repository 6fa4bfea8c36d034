"""Every combination of mechanism, window, normaliser, score and wiring obeys the contract, or is refused with its reason."""

import os
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import torch
from combinations import MECHANISMS, Cell, cells, few_between, few_cells, few_wirings, in_their_turn, sound
from models import HALVES, VOCABULARY, Halves, assert_same, decode, tiny_model, tiny_sentences
from torch import nn

from seq2seq_cli.errors import ConfigError
from seq2seq_cli.kinds.attentions import KINDS, Normaliser, Score, Window
from seq2seq_cli.model.seq2seq import Seq2Seq

SENTENCES = tiny_sentences((4, 1, 3), steps=3)


@cache
def refused() -> dict[str, str]:
    """What is said of every combination that the configuration refuses, by the combination."""
    said = {}
    for cell in cells():
        try:
            cell.config()
        except ConfigError as error:
            said[repr(cell)] = str(error)
    return said


@pytest.mark.parametrize("mechanism", dict.fromkeys(cell.mechanism for cell in cells()))
def test_a_combination_makes_sense_or_is_refused_with_the_reason(mechanism: str) -> None:
    for cell in cells():
        if cell.mechanism == mechanism:
            told = refused().get(repr(cell))
            assert (told is not None) == bool(cell.refusals()), cell
            for reason in cell.refusals():
                assert reason in str(told), cell


TRIED = in_their_turn(sound()) if os.environ.get("SEQ2SEQ_COMBINATIONS") == "all" else few_cells()


@pytest.mark.parametrize("cell", TRIED, ids=lambda cell: cell.name)
def test_a_combination_obeys_the_contract(cell: Cell) -> None:
    assert_contract(tiny_model(cell.config()), cell)


def test_any_two_choices_that_go_together_are_tried_together() -> None:
    """Counted out by what the configuration allows."""
    together = {pair for cell in cells() if repr(cell) not in refused() for pair in cell.pairs}
    assert {pair for cell in TRIED for pair in cell.pairs} == together
    assert (("normaliser", "sparsemax"), ("score", "additive")) in together
    assert (("mechanism", "channel"), ("score", "dot")) not in together


def test_few_wirings_have_every_mechanism_in_every_wiring_and_window() -> None:
    tried = few_wirings()
    for kind, options in MECHANISMS[1:]:
        if options.get("heads") in (None, 2):
            alike = [chosen for name, chosen in tried if name == kind and options.items() <= chosen.items()]
            hard, marginal = kind == "hard", options.get("estimator") == "marginal"
            feeds = {(chosen["wiring"], chosen.get("input_feeding")) for chosen in alike}
            assert len(feeds) == (1 if marginal else 3), (kind, options)
            assert len({chosen.get("window", "global") for chosen in alike}) == (2 if hard else 3), (kind, options)


def test_few_between_have_every_mechanism_window_and_normaliser_between_all_halves() -> None:
    tried = few_between()
    assert {case.around for case in tried} == set(HALVES)
    between = {case.kind for case in tried if isinstance(case.around, Halves) and case.around.decoder != "rnn"}
    assert between == {kind for kind, _ in MECHANISMS}
    for name, all_of_it in (("window", Window), ("normaliser", Normaliser), ("score", Score)):
        assert {case.options.get(name) for case in tried} >= {*get_args(all_of_it)}, name


def test_every_mechanism_is_among_them() -> None:
    """Kinds of the file `scored` differ by what is combined here."""
    apart = {kind.name for kind in KINDS if kind.module != "scored"}
    assert apart - {kind for kind, _ in MECHANISMS} == set(), "to be added to MECHANISMS"


def test_the_documentation_says_how_many_there_are() -> None:
    page = (Path(__file__).parents[1] / "docs" / "attention.md").read_text(encoding="utf-8")
    every, told = len(list(cells())), list(refused().values())
    said = f"Of {every:,} combinations, [^.]* {every - len(told):,} obey the contract"
    assert re.search(said, " ".join(page.split()))
    assert f"and {len(told):,} are refused" in page
    # In the order of the table there.
    reasons = (
        "score is not an option of (?!none)",
        "is not an option of none",
        "which a local window may leave",
        "those of local-p do not",
        "over all their histories",
        "the segments of a source have none",
    )
    counts = [sum(bool(re.search(reason, text)) for text in told) for reason in reasons]
    table = page.partition("| refused | why |")[2].partition("\n\n")[0]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == counts


def assert_contract(model: Seq2Seq, cell: Cell) -> None:
    """What `test_attention_contract` asks of the kinds, in short."""
    with torch.no_grad():
        whole = decode(model, SENTENCES)
        assert_steps(model, cell)
        garbage_BS = torch.randint(VOCABULARY, (3, 6), generator=torch.Generator().manual_seed(1))
        mask_BS = nn.functional.pad(SENTENCES.mask_BS, (0, 2))
        src_BS = torch.where(mask_BS, nn.functional.pad(SENTENCES.src_BS, (0, 2)), garbage_BS)
        padded = decode(model, SENTENCES._replace(src_BS=src_BS, mask_BS=mask_BS))
        assert_same(padded.features_BTF, whole.features_BTF)
        assert_same(padded.shown.weights_BTS, nn.functional.pad(whole.shown.weights_BTS, (0, 2)))
    assert (whole.shown.weights_BTS >= 0).all(), cell
    assert not whole.shown.weights_BTS.masked_select(~SENTENCES.mask_BS[:, None]).any(), cell
    total_BT = whole.shown.weights_BTS.sum(-1)
    assert (total_BT < 1 + 1e-9).all(), cell
    if cell.window != "local-p":
        assert_same(total_BT, torch.ones_like(total_BT))
    torch.manual_seed(0)
    real_BT = torch.ones_like(SENTENCES.reads_BT, dtype=torch.bool)
    loss = model.train().loss(SENTENCES.batch(SENTENCES.reads_BT.flip(1), real_BT), 0.1).smoothed
    for gradient in torch.autograd.grad(loss, list(model.parameters())):
        assert gradient.isfinite().all(), cell


def assert_steps(model: Seq2Seq, cell: Cell) -> None:
    """One by one, with the sentences re-ordered after the first step, is all at once."""
    whole, rows = decode(model, SENTENCES), torch.tensor([2, 0, 0])
    memory, state = model.start(SENTENCES.inputs, model.new_pass())
    embedded_BTI = model.embed(SENTENCES.reads_BT)
    first = model.decoder(embedded_BTI[:, :1], memory, state, model.new_pass())
    assert_same(first.features_BTF, whole.features_BTF[:, :1])
    memory, state, embedded_BTI = memory.select(rows), first.state.select(rows), embedded_BTI[rows]
    for t in (1, 2):
        step = model.decoder(embedded_BTI[:, t : t + 1], memory, state, model.new_pass())
        assert_same(step.features_BTF, whole.features_BTF[rows, t : t + 1])
        assert_same(step.shown.weights_BTS, whole.shown.weights_BTS[rows, t : t + 1])
        state = step.state
