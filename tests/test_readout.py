"""From features to the vocabulary by one way: training, dev, rewards, forced scoring, alignment and search say the same."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from models import VOCABULARY, assert_same, tiny_config, tiny_model, tiny_sentences
from torch import Tensor, nn

from seq2seq_cli.data.subword import BOS, EOS, PAD
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.posterior import posterior_weights
from seq2seq_cli.decoding.search import Result, greedy
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.inputs import Batch
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.readout import Readout
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import Steps

CASES: dict[str, dict[str, dict[str, Any]]] = {
    "maxout": {"attention": {"wiring": "before"}},
    "projection": {"attention": {"wiring": "after"}},
    "none": {"attention": {"wiring": "after"}, "model": {"embedding_size": 8}},
    "own matrix": {"model": {"tying": "none"}},
}


class Wrapped(Readout):
    """Another readout's logits, by ``scale``, and nothing else of it."""

    def __init__(self, inner: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.inner, self.scale = inner, scale

    def logits(self, steps: Steps, run: Pass) -> Tensor:
        assert isinstance(self.inner, Readout)
        return self.scale * self.inner.logits(steps, run)


def batch() -> Batch:
    sentences = tiny_sentences(steps=6)
    says_BT = torch.randint(VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(1))
    return sentences.batch(says_BT, torch.arange(6) < torch.tensor([[6], [3], [1], [4]]))


def searched(model: Seq2Seq, given: Batch) -> Result:
    state = ModelState.start(model, model.new_pass(stepping=True), given)
    return greedy(state, Limits(BOS, EOS, (PAD, BOS), 0, torch.tensor([6, 3, 8, 5])), 1.0)


def said(model: Seq2Seq, given: Batch) -> dict[str, Tensor]:
    """All that is made of a readout."""
    with torch.no_grad():
        run = model.new_pass()
        forced = model.forced(given.target, model.start(given, run), run)
        return {
            "dev": model.nll(given, most_cells=20),
            "reward": model.candidate_log_probs(given, torch.tensor([1, 0, 0, 3]), given.target),
            "score": forced.log_probs(),
            "posterior": posterior_weights(replace(forced, run=model.new_pass(stepping=True)), [model.decoder.shown])[
                0
            ],
            "search": torch.tensor([one.log_prob for [one] in searched(model, given).hypotheses]),
        }


@pytest.fixture(params=CASES)
def model(request: pytest.FixtureRequest) -> Seq2Seq:
    return tiny_model(tiny_config("luong-general", **CASES[request.param]))


def test_logits_are_all_that_a_readout_needs(model: Seq2Seq) -> None:
    given, parameters, own = batch(), list(model.parameters()), model.readout
    loss = model.loss(given, 0.3)
    gradients = torch.autograd.grad(loss.smoothed, parameters)
    before = said(model, given)
    model.readout = Wrapped(own)
    again = model.loss(given, 0.3)
    assert_same(again.smoothed, loss.smoothed)
    assert_same(again.nll, loss.nll)
    for one, other in zip(torch.autograd.grad(again.smoothed, parameters), gradients, strict=True):
        assert_same(one, other)
    for name, found in said(model, given).items():
        torch.testing.assert_close(found, before[name], rtol=0, atol=1e-6, msg=name)


def test_all_that_is_made_of_a_readout_goes_by_its_logits(model: Seq2Seq) -> None:
    """Without which the test above could not fail."""
    given, own = batch(), model.readout
    before = said(model, given)
    model.readout = Wrapped(own, 0.5)
    assert [name for name, found in said(model, given).items() if torch.equal(found, before[name])] == []


@torch.no_grad()
def test_a_translation_scores_as_it_was_found(model: Seq2Seq) -> None:
    """What training minimises, what scoring says, and what the search ranked by are one number."""
    given = batch()
    for row, [one] in enumerate(searched(model, given).hypotheses):
        says_1T = torch.tensor([[*one.tokens, EOS]])
        sentence = tiny_sentences(steps=6)
        alone = type(sentence)(*(x[row : row + 1] for x in sentence))._replace(
            reads_BT=torch.tensor([[BOS, *one.tokens]])
        )
        pair = alone.batch(says_1T, torch.ones_like(says_1T, dtype=torch.bool))
        run = model.new_pass()
        scored = float(model.forced(pair.target, model.start(pair, run), run).log_probs())
        assert scored == pytest.approx(one.log_prob, abs=1e-6)
        assert float(model.loss(pair, 0.0).nll) == pytest.approx(-scored, abs=1e-9)
        assert float(model.nll(pair)) == pytest.approx(-scored, abs=1e-9)
