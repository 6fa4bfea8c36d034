"""Vocabulary projection and cross-entropy in one, so that the logits of a batch are never all in memory."""

from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 256
"""Rows whose logits exist at a time: 8 MiB in float32 at 8,000 pieces. Measured on a CPU: 512 rows are 4% slower a step."""


class Loss(NamedTuple):
    """Sums over the target tokens, in nats: ``smoothed`` is what is trained, ``nll`` the plain negative
    log-likelihood."""

    smoothed: Tensor
    nll: Tensor


def linear_cross_entropy(
    rows_NR: Tensor, weight_VR: Tensor, bias_V: Tensor, target_N: Tensor, smoothing: float
) -> Loss:
    """Label-smoothed cross-entropy (Szegedy et al. 2016, 7) of softmax(rows W^T + b), summed over the rows.

    Gradients are computed along with the loss, chunk by chunk, when any input needs one.
    """
    return Loss(*_LinearCrossEntropy.apply(rows_NR, weight_VR, bias_V, target_N, smoothing))  # type: ignore[no-untyped-call]


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows_NR, weight_VR, bias_V, target_N, smoothing):  # type: ignore[no-untyped-def]
        compute = rows_NR.dtype
        precise = torch.promote_types(compute, torch.float32)
        weight, bias = weight_VR.to(compute), bias_V.to(compute)
        smoothed = nll = torch.zeros((), dtype=precise, device=rows_NR.device)
        needs_gradient = any(ctx.needs_input_grad)
        grad_rows, grad_weight, grad_bias = (
            torch.empty_like(rows_NR),
            torch.zeros_like(weight_VR),
            torch.zeros_like(bias_V),
        )
        for begin in range(0, len(rows_NR), CHUNK):
            rows, target = rows_NR[begin : begin + CHUNK], target_N[begin : begin + CHUNK, None]
            logits = torch.addmm(bias, rows, weight.t()).to(precise)
            logits -= logits.amax(-1, keepdim=True)
            chosen, mean = logits.gather(1, target), logits.mean(-1, keepdim=True)
            exponentials = logits.exp_()
            total = exponentials.sum(-1, keepdim=True)
            log_total = total.log()
            chunk_nll = (log_total - chosen).sum()
            nll = nll + chunk_nll
            smoothed = smoothed + (1 - smoothing) * chunk_nll + smoothing * (log_total - mean).sum()
            if needs_gradient:
                gradient = exponentials.div_(total).sub_(smoothing / len(weight))
                gradient.scatter_add_(1, target, torch.full_like(total, smoothing - 1))
                grad_bias += gradient.sum(0)
                gradient = gradient.to(compute)
                torch.mm(gradient, weight, out=grad_rows[begin : begin + CHUNK])
                grad_weight += gradient.t() @ rows
        ctx.save_for_backward(grad_rows, grad_weight, grad_bias)
        ctx.mark_non_differentiable(nll)
        return smoothed, nll

    @staticmethod
    def backward(ctx, grad_smoothed, _grad_nll):  # type: ignore[no-untyped-def]
        grad_rows, grad_weight, grad_bias = ctx.saved_tensors
        return (
            grad_rows * grad_smoothed.to(grad_rows.dtype),
            grad_weight * grad_smoothed,
            grad_bias * grad_smoothed,
            None,
            None,
        )
