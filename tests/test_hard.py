"""Hard attention: the marginal and the estimate of its gradient against every way to look, written out."""

from itertools import product
from typing import Any

import pytest
import torch
from attending import assert_close, look, made, memory_of, put
from models import Sentences, decode, layer_of, tiny_config, tiny_model, tiny_sentences
from torch import Tensor, nn

from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.attention.hard import ReinforcedAttention
from seq2seq_cli.model.seq2seq import Seq2Seq

SENTENCES = tiny_sentences((3, 2), steps=3)
TARGET_BT = SENTENCES.reads_BT.flip(1)
REAL_BT = torch.tensor([[True, True, True], [True, True, False]])


def look_at(model: Seq2Seq, positions_BT: list[list[int]]) -> None:
    """From now on the model looks there, and starts again at its first step after the last."""
    stare(layer_of(model).attention, positions_BT)


def stare(attention: Any, positions_BT: list[list[int]]) -> None:
    steps = [0]

    def choose(chances_BTS: Tensor) -> Tensor:
        first, count = steps[0], chances_BTS.shape[1]
        steps[0] = (first + count) % len(positions_BT[0])
        told = torch.tensor([row[first : first + count] for row in positions_BT])
        return nn.functional.one_hot(told, chances_BTS.shape[-1]).to(chances_BTS.dtype)

    attention.choose = choose


@torch.no_grad()
def test_it_looks_at_the_likeliest() -> None:
    attention = made("hard", 1, 1, score="dot")
    attended, _ = look(attention, memory_of(attention, [[1.0], [3.0], [2.0]]), [1.0])
    assert attended.look.weights_BTS.tolist() == [[[0, 1, 0]]]
    assert attended.context_BTE.tolist() == [[[3]]]
    assert attended.look.chances_BTS is not None
    torch.testing.assert_close(attended.look.chances_BTS[0, 0], torch.tensor([1.0, 3.0, 2.0]).double().softmax(0))


def test_the_gradient_that_goes_straight_through_is_that_of_soft_weights() -> None:
    attention = made("hard", 1, 1, score="general")
    put(attention.score.key.weight, [[1.0]])
    attended, _ = look(attention, memory_of(attention, [[0.0], [1.0]]), [1.0])
    attended.context_BTE.sum().backward()
    # c = p = sigmoid(w) of the second state: dp/dw = p (1 - p), whatever was looked at
    p = torch.tensor(1.0, dtype=torch.float64).sigmoid()
    assert_close(attention.score.key.weight.grad, [[float(p * (1 - p))]])
    assert attended.context_BTE.item() == 1


def test_the_marginal_is_the_sum_over_every_way_to_look() -> None:
    model = tiny_model(tiny_config("hard", attention={"estimator": "marginal"}))
    chances_BTS = decode(model, SENTENCES).shown.chances_BTS
    assert chances_BTS is not None
    likelihood = [torch.zeros((), dtype=torch.float64) for _ in range(2)]
    for way in product(range(3), repeat=3):
        for row, length in enumerate([3, 2]):
            steps = int(REAL_BT[row].sum())
            if max(way[:steps]) >= length or any(way[steps:]):
                continue
            one = Sentences(*(x[row : row + 1] for x in SENTENCES))
            look_at(model, [[*way[:steps], *[0] * (3 - steps)]])
            log_probs_TV = model.readout.log_probs(decode(model, one).steps, model.new_pass())[0]
            joint = torch.ones((), dtype=torch.float64)
            for t in range(steps):
                joint = joint * chances_BTS[row, t, way[t]] * log_probs_TV[t, TARGET_BT[row, t]].exp()
            likelihood[row] = likelihood[row] + joint
    expected = -(likelihood[0].log() + likelihood[1].log())
    del layer_of(model).attention.choose
    loss = model.loss(SENTENCES.batch(TARGET_BT, REAL_BT), 0.0)
    torch.testing.assert_close(loss.nll, expected.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(loss.smoothed, expected, rtol=0, atol=1e-9)
    parameters = dict(model.named_parameters())
    mine = torch.autograd.grad(loss.smoothed, list(parameters.values()))
    theirs = torch.autograd.grad(expected, list(parameters.values()))
    for name, a, b in zip(parameters, mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("normaliser", ["softmax", "sparsemax"])
def test_the_smoothed_marginal_spreads_over_the_mixture(normaliser: str) -> None:
    options: dict[str, object] = {"estimator": "marginal", "normaliser": normaliser}
    model = tiny_model(tiny_config("hard", attention=options))
    output = decode(model, SENTENCES)
    assert output.shown.chances_BTS is not None
    expected = 0.0
    for row, length in enumerate([3, 2]):
        one = Sentences(*(x[row : row + 1] for x in SENTENCES))
        mixed_TV = torch.zeros(3, 13, dtype=torch.float64)
        for s in range(length):
            look_at(model, [[s] * 3])
            seen_TV = model.readout.log_probs(decode(model, one).steps, model.new_pass())[0].exp()
            mixed_TV = mixed_TV + output.shown.chances_BTS[row, :, s, None] * seen_TV
        for t in range(int(REAL_BT[row].sum())):
            log_TV = mixed_TV[t].log()
            expected -= (0.8 * log_TV[TARGET_BT[row, t]] + 0.2 * log_TV.mean()).detach().item()
    del layer_of(model).attention.choose
    loss = model.loss(SENTENCES.batch(TARGET_BT, REAL_BT), 0.2)
    assert loss.smoothed.item() == pytest.approx(expected, abs=1e-9)
    loss.smoothed.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("wiring", [{"wiring": "before"}, {"wiring": "after"}, {"input_feeding": False}], ids=str)
def test_the_reinforced_gradient_is_exact_in_expectation(wiring: dict[str, object]) -> None:
    """The estimate of every way to look, each as often as it comes, against the gradient of the expected log-likelihood."""
    model = tiny_model(tiny_config("hard", attention={"estimator": "reinforce", **wiring}))
    attention = layer_of(model).attention
    assert isinstance(attention, ReinforcedAttention)
    model.train()
    learned = {n: p for n, p in model.named_parameters() if "baseline" not in n}
    one = Sentences(*(x[:1] for x in SENTENCES))
    expectation = torch.zeros((), dtype=torch.float64)
    estimate = [torch.zeros_like(p) for p in learned.values()]
    for way in product(range(3), repeat=3):
        look_at(model, [list(way)])
        output = decode(model, one)
        chances_BTS = output.shown.chances_BTS
        assert chances_BTS is not None
        chance = torch.stack([chances_BTS[0, t, way[t]] for t in range(3)]).prod()
        log_probs_TV = model.readout.log_probs(output.steps, model.new_pass())[0]
        expectation = expectation + chance * log_probs_TV.gather(1, TARGET_BT[:1].T).sum()
        loss = model.loss(one.batch(TARGET_BT[:1], REAL_BT[:1]), 0.0).smoothed
        for total, gradient in zip(estimate, torch.autograd.grad(loss, list(learned.values())), strict=True):
            total += chance.detach() * gradient
    exact = torch.autograd.grad(-expectation, list(learned.values()))
    for name, a, b in zip(learned, estimate, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("decoder", ["transformer", "ssru"])
def test_the_reinforced_gradient_of_several_layers_is_exact_in_expectation(decoder: str) -> None:
    """Of two layers, each of which draws; what the lower one draws and what was drawn at steps before, later queries know."""
    model = tiny_model(
        tiny_config(
            "hard",
            attention={"estimator": "reinforce"},
            model={"decoder": decoder, "decoder_layers": 2, "feed_forward_size": 12},
            self_attention={"heads": 2} if decoder == "transformer" else {},
        )
    )
    model.train()
    learned = {n: p for n, p in model.named_parameters() if "baseline" not in n}
    one = Sentences(SENTENCES.src_BS[1:, :2], SENTENCES.mask_BS[1:, :2], SENTENCES.reads_BT[1:, :2])
    target_BT, real_BT = TARGET_BT[1:, :2], REAL_BT[1:, :2]
    expectation = torch.zeros((), dtype=torch.float64)
    estimate = [torch.zeros_like(p) for p in learned.values()]
    for way in product(range(2), repeat=4):
        ways = way[:2], way[2:]
        for layer, positions in zip(model.decoder.layers, ways, strict=True):
            stare(layer.attention, [list(positions)])
        output = decode(model, one)
        chance = torch.ones((), dtype=torch.float64)
        for looks, positions in zip(output.looks, ways, strict=True):
            chances_BTS = looks[TEXT].chances_BTS
            assert chances_BTS is not None
            chance = chance * chances_BTS[0, 0, positions[0]] * chances_BTS[0, 1, positions[1]]
        log_probs_TV = model.readout.log_probs(output.steps, model.new_pass())[0]
        expectation = expectation + chance * log_probs_TV.gather(1, target_BT.T).sum()
        loss = model.loss(one.batch(target_BT, real_BT), 0.0).smoothed
        for total, gradient in zip(estimate, torch.autograd.grad(loss, list(learned.values())), strict=True):
            total += chance.detach() * gradient
    exact = torch.autograd.grad(-expectation, list(learned.values()))
    for name, a, b in zip(learned, estimate, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=name)


def test_the_baseline_learns_what_follows() -> None:
    model = tiny_model(tiny_config("hard", attention={"estimator": "reinforce"}))
    model.train()
    look_at(model, [[0, 1, 2], [1, 0, 1]])
    log_probs_BTV = model.readout.log_probs(decode(model, SENTENCES).steps, model.new_pass())
    said_BT = log_probs_BTV.gather(2, TARGET_BT[..., None]).squeeze(2)
    baseline_BT = decode(model, SENTENCES).shown.baseline_BT
    assert baseline_BT is not None
    # Half of the square of what is missing, over the real steps: its slope by the bias is minus what is missing.
    missing = sum(
        (said_BT[b, t:][REAL_BT[b, t:]].sum() - baseline_BT[b, t]).detach().item()
        for b, t in REAL_BT.nonzero().tolist()
    )
    model.loss(SENTENCES.batch(TARGET_BT, REAL_BT), 0.1).smoothed.backward()
    bias = layer_of(model).attention.get_parameter("baseline.bias")
    assert bias.grad.item() == pytest.approx(-missing, abs=1e-9)


def test_positions_are_drawn_by_their_chances() -> None:
    attention = made("hard", 1, 1, estimator="reinforce", score="dot").train()
    torch.manual_seed(0)
    chances_BTS = torch.tensor([0.2, 0.0, 0.5, 0.3]).expand(1, 20000, 4)
    drawn_BTS = attention.choose(chances_BTS)
    assert (drawn_BTS.sum(-1) == 1).all()
    # Four standard deviations of a share of half of 20,000: 0.014
    torch.testing.assert_close(drawn_BTS.mean((0, 1)), chances_BTS[0, 0], rtol=0, atol=0.015)
    assert attention.eval().choose(chances_BTS[:, :3]).argmax(-1).tolist() == [[2, 2, 2]]
