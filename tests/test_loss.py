"""The loss against torch's, and the model's use of it."""

import math

import pytest
import torch
from models import VOCABULARY, assert_same, log_probs, tiny_config, tiny_model, tiny_sentences
from torch import Tensor, nn

from seq2seq_cli.model import loss as loss_module
from seq2seq_cli.model.loss import CHUNK, cross_entropies
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.readout import VocabularyReadout
from seq2seq_cli.model.types import Steps

ROWS = pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7])
SMOOTHINGS = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])


def inputs(rows: int, dtype: torch.dtype = torch.float64) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Rows, weight and bias that want gradients, and targets."""
    torch.manual_seed(0)
    rows_NR, weight_VR, bias_V = (
        torch.randn(shape, dtype=dtype, requires_grad=True) for shape in ((rows, 5), (11, 5), (11,))
    )
    return (rows_NR, weight_VR, bias_V), torch.randint(11, (rows,))


@ROWS
@SMOOTHINGS
def test_it_is_torchs(rows: int, smoothing: float) -> None:
    parts, target = inputs(rows)
    loss = cross_entropies(*parts, target, smoothing)
    logits = nn.functional.linear(*parts)
    expected = nn.functional.cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing)
    assert_same(loss.smoothed, expected)
    assert_same(loss.nll_N.sum(), nn.functional.cross_entropy(logits, target, reduction="sum"))
    # Not the loss itself is differentiated, as in training, but a multiple of it.
    gradients = torch.autograd.grad(loss.smoothed * 0.3, parts)
    for mine, theirs in zip(gradients, torch.autograd.grad(expected * 0.3, parts), strict=True):
        assert_same(mine, theirs)


@SMOOTHINGS
def test_gradients_are_differences(smoothing: float) -> None:
    parts, target = inputs(4)
    assert torch.autograd.gradcheck(lambda x, w, b: cross_entropies(x, w, b, target, smoothing).smoothed, parts)


def test_by_hand() -> None:
    """Logits 0 and ln 3: p = 1/4 and 3/4."""
    rows, weight, bias = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(3)]]), torch.zeros(2)
    loss = cross_entropies(rows, weight, bias, torch.tensor([1]), 0.2)
    torch.testing.assert_close(loss.nll_N.sum(), torch.tensor(math.log(4 / 3)))
    # 0.8 of it, and 0.2 of the mean of ln 4 and ln(4/3)
    expected = 0.8 * math.log(4 / 3) + 0.2 * (math.log(4) + math.log(4 / 3)) / 2
    torch.testing.assert_close(loss.smoothed, torch.tensor(expected))


def test_only_the_smoothed_loss_is_trained() -> None:
    parts, target = inputs(3)
    loss = cross_entropies(*parts, target, 0.1)
    assert loss.smoothed.requires_grad
    assert not loss.nll_N.requires_grad
    with torch.no_grad():
        assert not cross_entropies(*parts, target, 0.1).smoothed.requires_grad


def test_large_logits_do_not_overflow() -> None:
    weight = torch.tensor([[1000.0], [0.0]], requires_grad=True)
    loss = cross_entropies(torch.ones(1, 1), weight, torch.zeros(2), torch.tensor([1]), 0.0)
    assert loss.smoothed == 1000
    loss.smoothed.backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0], [-1.0]]


def test_half_precision_rows_are_summed_in_float32() -> None:
    (rows, weight, bias), target = inputs(2 * CHUNK, torch.float32)
    half = rows.detach().bfloat16().requires_grad_()
    loss = cross_entropies(half, weight, bias, target, 0.1)
    assert loss.smoothed.dtype == torch.float32
    loss.smoothed.backward()
    assert half.grad is not None
    assert weight.grad is not None
    assert (half.grad.dtype, weight.grad.dtype) == (torch.bfloat16, torch.float32)
    exact = cross_entropies(rows, weight, bias, target, 0.1)
    torch.testing.assert_close(loss.smoothed, exact.smoothed, rtol=1e-2, atol=0)


@pytest.mark.parametrize("chunks", [1, 2, 99])
@pytest.mark.parametrize("rows", [0, 1, CHUNK, 4 * CHUNK + 7])
def test_however_many_probabilities_are_kept(rows: int, chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one product with their rows, in bfloat16: the gradient of the matrix is near that in float64."""
    monkeypatch.setattr(loss_module, "KEPT", chunks * CHUNK * 11)
    (exact_rows, *parts), target = inputs(rows)
    half = exact_rows.detach().bfloat16().requires_grad_()
    mine = [half, *(part.detach().float().requires_grad_() for part in parts)]
    theirs = [half.detach().double().requires_grad_(), *parts]
    found, exact = (
        torch.autograd.grad(cross_entropies(of[0], of[1], of[2], target, 0.1).smoothed, of) for of in (mine, theirs)
    )
    for one, other in zip(found, exact, strict=True):
        assert (one.double() - other).norm() <= 0.01 * other.norm()


@pytest.mark.parametrize("kind", ["bahdanau", "luong-general", "none"])
@torch.no_grad()
def test_the_models_loss_counts_the_real_tokens_and_no_others(kind: str) -> None:
    model, sentences = tiny_model(tiny_config(kind)), tiny_sentences(steps=6)
    real_BT = torch.arange(6) < torch.tensor([[6], [3], [1], [4]])
    target_BT = torch.randint(VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(1))
    log_probs_BTV = log_probs(model, sentences)
    chosen_BT = log_probs_BTV.gather(2, target_BT[..., None]).squeeze(2)
    loss = model.loss(sentences.batch(target_BT, real_BT), 0.1)
    assert_same(loss.nll, -chosen_BT[real_BT].sum())
    assert_same(loss.smoothed, -0.9 * chosen_BT[real_BT].sum() - 0.1 * log_probs_BTV.mean(-1)[real_BT].sum())
    # Whatever stands in the padding of either side of the target.
    other = sentences._replace(reads_BT=torch.where(real_BT, sentences.reads_BT, 5))
    assert_same(model.loss(other.batch(torch.where(real_BT, target_BT, 7), real_BT), 0.1).smoothed, loss.smoothed)


@torch.no_grad()
def test_log_probabilities_are_not_rounded_to_bfloat16() -> None:
    """Whose sums over a sentence would be off by whole nats."""
    readout = VocabularyReadout(None, nn.Embedding(7, 4), 4, 0.0)
    steps = Steps(torch.randn(3, 4))
    found_NV = readout.log_probs(steps, Pass(torch.bfloat16))
    logits_NV = readout.logits(steps, Pass(torch.bfloat16))
    assert found_NV.dtype == torch.float32
    torch.testing.assert_close(found_NV, logits_NV.float().log_softmax(-1), rtol=0, atol=0)
