"""A linear map that is applied at one step after another, and learns from all of them at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class StepLinear:
    """x_t W^T + b at each step t of one forward pass.

    W is cast to the precision of the products once instead of at every step, and its gradient is one product over all
    steps instead of a small one each: a step then costs half of its backward pass, and the sum over the steps is not
    rounded to bfloat16 in between. Not a module: made anew for every forward pass.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        device = weight.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        self.weight = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []
        # The steps' link to the parameters, with no value of its own.
        self.link: Tensor = _Parameters.apply(weight, bias, self)  # type: ignore[no-untyped-call]

    def __call__(self, x_BI: Tensor, addend_BO: Tensor | None = None) -> Tensor:
        """x W^T + b + addend; any number of dimensions before the last."""
        out_BO: Tensor = _Step.apply(x_BI.to(self.weight.dtype), addend_BO, self.link, self)  # type: ignore[no-untyped-call]
        return out_BO


class _Parameters(torch.autograd.Function):
    """Comes last in the backward pass, when every step has left its input and its gradient."""

    @staticmethod
    def forward(ctx, weight, bias, steps):  # type: ignore[no-untyped-def]
        ctx.steps, ctx.dtype, ctx.has_bias = steps, weight.dtype, bias is not None
        return weight.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx, _):  # type: ignore[no-untyped-def]
        inputs_NI, gradients_NO = torch.cat(ctx.steps.inputs), torch.cat(ctx.steps.gradients)
        ctx.steps.inputs.clear()
        ctx.steps.gradients.clear()
        bias = gradients_NO.sum(0).to(ctx.dtype) if ctx.has_bias else None
        return (gradients_NO.t() @ inputs_NI).to(ctx.dtype), bias, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, addend, link, steps):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        ctx.steps, ctx.has_addend = steps, addend is not None
        out = torch.nn.functional.linear(x, steps.weight, steps.bias)
        return out if addend is None else out.add_(addend)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        ctx.steps.inputs.append(x.flatten(0, -2))
        ctx.steps.gradients.append(gradient.flatten(0, -2))
        return gradient @ ctx.steps.weight, gradient if ctx.has_addend else None, None, None
