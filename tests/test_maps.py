"""A linear map taken step by step is the linear map, and its gradients are those of all steps together."""

import gc

import pytest
import torch
from models import tiny_config, tiny_model, tiny_sentences
from torch import Tensor, nn

from seq2seq_cli.model import products
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.maps import Linear, Pass, StepMatrix


def tensors(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Five steps of three rows, a weight, a bias and what is added, all wanting gradients."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((5, 3, 4), (6, 4), (6,), (5, 3, 6))
    x, weight, bias, addend = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), addend.requires_grad_()


def chained(x_TBI: Tensor, weight: Tensor, bias: Tensor, addend_TBO: Tensor) -> Tensor:
    """Each step reads what the one before said, so that none can be taken ahead."""
    steps, said = StepMatrix(weight, bias), x_TBI[0]
    for x_BI, addend_BO in zip(x_TBI, addend_TBO, strict=True):
        said = torch.tanh(steps.product(x_BI + said[:, :4], addend_BO))
    return said


def plainly(x_TBI: Tensor, weight: Tensor, bias: Tensor, addend_TBO: Tensor) -> Tensor:
    said = x_TBI[0]
    for x_BI, addend_BO in zip(x_TBI, addend_TBO, strict=True):
        said = torch.tanh(nn.functional.linear(x_BI + said[:, :4], weight, bias) + addend_BO)
    return said


def test_values_and_gradients_are_those_of_linear() -> None:
    inputs = tensors()
    torch.testing.assert_close(chained(*inputs), plainly(*inputs))
    mine = torch.autograd.grad(chained(*inputs).square().sum(), inputs)
    for one, other in zip(mine, torch.autograd.grad(plainly(*inputs).square().sum(), inputs), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(chained, inputs)


def test_steps_that_nothing_follows_from_count_for_nothing() -> None:
    x, weight, _, _ = tensors()
    steps = StepMatrix(weight)
    outputs = [steps.product(x_BI) for x_BI in x]
    (mine,) = torch.autograd.grad(outputs[1].sum() + outputs[3].sum(), weight)
    expected = (x[1] + x[3]).detach().sum(0).expand(6, 4)
    torch.testing.assert_close(mine, expected)


def test_any_number_of_dimensions() -> None:
    x, weight, bias, _ = tensors()
    mine = torch.autograd.grad(StepMatrix(weight, bias).product(x).square().sum(), (x, weight, bias))
    expected = torch.autograd.grad(nn.functional.linear(x, weight, bias).square().sum(), (x, weight, bias))
    for one, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_under_autocast_products_are_bfloat16_and_gradients_float32() -> None:
    x, weight, bias, addend = tensors(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        said = chained(x, weight, bias, addend.bfloat16())
    assert said.dtype == torch.bfloat16
    said.float().sum().backward()
    exact = torch.autograd.grad(plainly(x, weight, bias, addend).sum(), (x, weight, bias))
    for parameter, gradient in zip((x, weight, bias), exact, strict=True):
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
        torch.testing.assert_close(parameter.grad, gradient, rtol=0.1, atol=0.1)


def rectified(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> Tensor:
    torch.manual_seed(0)
    return StepMatrix(weight, bias).rectified(x, p)


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_rectified(p: float) -> None:
    """A product, its relu and a dropout, with the same mask: values and gradients."""
    x, weight, bias, _ = tensors()
    torch.manual_seed(0)
    keep = Dropout(p).train()(torch.ones(5 * 3, 6, dtype=torch.float64)).view(5, 3, 6)
    plain = nn.functional.linear(x, weight, bias).relu() * keep
    torch.testing.assert_close(rectified(x, weight, bias, p), plain)
    mine = torch.autograd.grad(rectified(x, weight, bias, p).square().sum(), (x, weight, bias))
    for one, other in zip(mine, torch.autograd.grad(plain.square().sum(), (x, weight, bias)), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(lambda a, b, c: rectified(a, b, c, p), (x, weight, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("onednn", [False, True], ids=["torchs", "onednns"])
def test_rectified_by_any_library(dtype: torch.dtype, onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where oneDNN computes the relu along with the product, of rows that it pads."""
    has = onednn and products.CHOSEN.onednn_bf16
    monkeypatch.setattr(products, "CHOSEN", products.CHOSEN._replace(onednn_fp32=has, onednn_bf16=has))
    x, weight, bias, _ = tensors(torch.float32)
    out = StepMatrix(weight, bias, dtype).rectified(x, 0.0)
    assert (out.dtype, out.shape) == (dtype, (5, 3, 6))
    torch.testing.assert_close(out.float(), nn.functional.linear(x, weight, bias).relu(), rtol=0.02, atol=0.05)


def test_of_what_is_rectified_one_tensor_is_kept() -> None:
    """Beside the input: no mask, and not what it was before. It is a Transformer's widest."""
    kept: list[Tensor] = []
    x, weight, bias, _ = tensors()

    def packed(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(packed, lambda tensor: tensor):
        out = rectified(x.flatten(0, 1), weight, bias, 0.3)
    assert [tensor.shape[-1] for tensor in kept] == [4, 6]
    torch.testing.assert_close(kept[1][: len(out)], out)


def test_without_gradients_nothing_is_kept() -> None:
    x, weight, bias, _ = tensors()
    with torch.inference_mode():
        steps = StepMatrix(weight, bias)
        assert not steps.product(x[0]).requires_grad
    assert steps.ledger.left == steps.ledger.right == []


def test_a_matrix_a_sentence() -> None:
    """Products with it and mixtures of its rows, each step reading what the one before said."""
    generator = torch.Generator().manual_seed(0)
    x_BTI = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    matrix_BOI = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)

    def chain(x_BTI: Tensor, matrix_BOI: Tensor, plain: bool) -> Tensor:
        steps, said = StepMatrix(matrix_BOI), torch.zeros(1, dtype=torch.float64)
        for x_B1I in x_BTI.split(1, 1):
            inner = x_B1I + said
            energies = inner @ matrix_BOI.mT if plain else steps.product(inner)
            said = energies.softmax(-1) @ matrix_BOI if plain else steps.mixture(energies.softmax(-1))
        return said

    torch.testing.assert_close(chain(x_BTI, matrix_BOI, False), chain(x_BTI, matrix_BOI, True))
    assert torch.autograd.gradcheck(lambda x, matrix: chain(x, matrix, False), (x_BTI, matrix_BOI))


def test_what_is_taken_of_it_has_its_precision() -> None:
    """Also under autocast, in which search re-orders what attention reads in float32."""
    steps = StepMatrix(torch.zeros(2, 3, 4), dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert steps.select(torch.tensor([1, 1])).matrix.dtype == torch.float32
        assert steps.pick(torch.tensor([[2], [0]])).matrix.dtype == torch.float32
        assert StepMatrix(torch.zeros(2, 3, 4)).matrix.dtype == torch.bfloat16


@pytest.mark.parametrize("in_int8", [False, True])
def test_a_layer_that_is_to_be_exact_is_so_in_every_pass(in_int8: bool) -> None:
    torch.manual_seed(0)
    x, linear = torch.randn(5, 4), Linear(4, 3, exact=True)
    with torch.no_grad():
        said = Pass(torch.bfloat16, in_int8=in_int8).map(linear).product(x)
        torch.testing.assert_close(said, nn.functional.linear(x, linear.weight, linear.bias))
        assert Pass(torch.bfloat16).map(Linear(4, 3)).product(x).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["bahdanau", "luong-general", "none"])
def test_a_batch_is_freed_with_its_loss(kind: str) -> None:
    """Without waiting for Python's search for rings of references, which comes when it comes."""
    model, sentences = tiny_model(tiny_config(kind)), tiny_sentences(steps=4)
    real_BT = torch.ones_like(sentences.reads_BT, dtype=torch.bool)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        model.loss(sentences.batch(sentences.reads_BT, real_BT), 0.1).smoothed.backward()
        gc.collect()
        assert [thing for thing in gc.garbage if isinstance(thing, Tensor)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
