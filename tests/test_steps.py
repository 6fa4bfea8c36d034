"""A linear map taken step by step is the linear map, and its gradients are those of all steps together."""

import torch
from torch import Tensor, nn

from seq2seq_cli.model.steps import StepMatrix


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


def test_without_gradients_nothing_is_kept() -> None:
    x, weight, bias, _ = tensors()
    with torch.inference_mode():
        steps = StepMatrix(weight, bias)
        assert not steps.product(x[0]).requires_grad
    assert steps.ledger.left == steps.ledger.right == []
