"""Every combination of mechanism, window, normaliser, score and wiring obeys the contract, or is refused with its reason."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import torch
from models import VOCABULARY, assert_same, decode, tiny_config, tiny_model, tiny_sentences
from torch import nn

from seq2seq_cli.config.whole import Config
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.kinds.attentions import KINDS, Normaliser, Score, Window, find
from seq2seq_cli.model.seq2seq import Seq2Seq

SENTENCES = tiny_sentences((4, 1, 3), steps=3)
MECHANISMS: tuple[tuple[str, dict[str, object]], ...] = (
    ("none", {}),
    ("luong-general", {}),
    ("multi-head", {"heads": 1}),
    ("multi-head", {"heads": 2}),
    ("multi-head", {"heads": 4}),
    ("coverage", {}),
    ("temporal", {}),
    ("memory", {}),
    ("channel", {}),
    ("hierarchical", {"split": "clauses"}),
    ("hierarchical", {"split": "length", "segment_length": 2}),
    ("hard", {"estimator": "straight-through"}),
    ("hard", {"estimator": "marginal"}),
    ("hard", {"estimator": "reinforce"}),
)
WIRINGS: tuple[dict[str, object], ...] = (
    {"wiring": "before"},
    {"wiring": "after", "input_feeding": True},
    {"wiring": "after", "input_feeding": False},
)
SCORES = (None, *get_args(Score))


class Cell(NamedTuple):
    """One combination (``score`` None: the mechanism's own)."""

    kind: str
    options: dict[str, Any]
    window: Window
    normaliser: Normaliser
    score: Score | None
    wiring: dict[str, Any]

    def config(self) -> Config:
        """Raises ConfigError where the combination makes no sense."""
        chosen: dict[str, object] = {
            **self.options,
            "window": self.window,
            "normaliser": self.normaliser,
            **self.wiring,
        }
        if self.window != "global":
            chosen["radius"] = 1
        if self.normaliser == "top-k":
            chosen["top_k"] = 2
        if self.score is not None:
            chosen["score"] = self.score
        if self.score == "location":
            chosen["max_positions"] = 3
        return tiny_config(self.kind, attention=chosen)

    def refusals(self) -> set[str]:
        """Parts of the reasons that the definitions give for refusing it."""
        own_score = self.kind != "none" and "score" not in find(self.kind).options
        estimator, location = self.options.get("estimator"), self.score == "location"
        reasons = {
            "is not an option of none": self.kind == "none",
            "score is not an option of": own_score and self.score is not None,
            "which a local window may leave": not own_score and location and self.window != "global",
            "the segments of a source have none": self.kind == "hierarchical" and location,
            "those of local-p do not": estimator is not None and self.window == "local-p",
            "over all their histories": estimator == "marginal" and self.wiring.get("input_feeding") is not False,
        }
        return {reason for reason, holds in reasons.items() if holds}


def cells() -> Iterator[Cell]:
    for (kind, options), wiring in product(MECHANISMS, WIRINGS):
        for window, normaliser, score in product(get_args(Window), get_args(Normaliser), SCORES):
            yield Cell(kind, options, window, normaliser, score, wiring)


def groups() -> dict[str, list[Cell]]:
    """The cells of each mechanism in each wiring."""
    found: dict[str, list[Cell]] = {}
    for cell in cells():
        name = " ".join(map(str, (cell.kind, *cell.options.values(), *cell.wiring.values())))
        found.setdefault(name, []).append(cell)
    return found


EVERY = int(os.environ.get("SEQ2SEQ_COMBINATIONS_EVERY", "13"))
"""One of how many combinations is put through the contract; the others are built. 1 walks through all."""


@pytest.mark.parametrize("group", groups().values(), ids=groups())
def test_a_combination_obeys_the_contract_or_is_refused(group: list[Cell]) -> None:
    allowed = 0
    for cell in group:
        reasons = cell.refusals()
        if not reasons:
            model = tiny_model(cell.config())
            if allowed % EVERY == 0:
                assert_contract(model, cell)
            allowed += 1
            continue
        with pytest.raises(ConfigError) as refused:
            cell.config()
        for reason in reasons:
            assert reason in str(refused.value), cell


def test_every_mechanism_is_among_them() -> None:
    """Kinds of the file `scored` differ by what is combined here."""
    apart = {kind.name for kind in KINDS if kind.module != "scored"}
    assert apart - {kind for kind, _ in MECHANISMS} == set(), "to be added to MECHANISMS"


def test_how_many_there_are() -> None:
    """14 mechanisms x 3 windows x 4 normalisers x 6 scores x 3 wirings."""
    counts = Counter(bool(cell.refusals()) for cell in cells())
    assert sum(counts.values()) == 14 * 3 * 4 * 6 * 3 == 3024
    # In 4 normalisers and 3 wirings each: luong-general, temporal and memory, 3 windows x 6 scores less 2; the three sizes of
    # multi-head, coverage and channel, 3 windows; two of hierarchical, 3 x 5; two of hard, 2 windows x 6 less 1. The
    # marginal is in one wiring of the three.
    obeying = 4 * 3 * (3 * 16 + 5 * 3 + 2 * 15 + 2 * 11) + 4 * 11
    assert counts[False] == obeying == 1424
    assert counts[True] == 1600
    told = f"Of {sum(counts.values()):,} combinations {counts[False]:,} obey the contract"
    assert told in (Path(__file__).parents[1] / "docs" / "attention.md").read_text(encoding="utf-8")


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
