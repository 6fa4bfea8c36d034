"""Vocabulary projection and cross-entropy in one, so that the logits of a batch are never in memory all at once."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq_cli.model.products import SUMMED, Matrix, linear, outer, padded, precise

CHUNK = 256
"""Rows whose logits exist at a time: 8 MiB in float32 at 8,000 pieces. Measured on a CPU: 512 rows are 4% slower a step."""

KEPT = 2**23
"""In bfloat16 so many probabilities, 16 MiB, are kept for one product with the rows that they come from: a product a chunk has to
be made float32 and added each time, which takes 1.04 times as long for the whole of this function, and rounds more often. (In
float32, where it is added as it is, keeping takes longer.)"""

CHUNK_UNIT = 32
"""The last chunk is padded to a multiple of so many rows (see `processor.UNIT`): a quarter of a percent more work."""


class Loss(NamedTuple):
    """Sums over the target tokens, in nats. ``smoothed`` is minimised in training, ``nll`` is the plain negative
    log-likelihood, ``guidance`` the loss of `criteria.guidance` (None where attention is not guided), and ``coverage`` that
    of `criteria.covered`, which is a sum of weights."""

    smoothed: Tensor
    nll: Tensor
    guidance: Tensor | None = None
    coverage: Tensor | None = None


class CrossEntropies(NamedTuple):
    """In nats. ``smoothed``, summed over the rows, is minimised in training; ``nll_N`` is the plain one of each row,
    without a gradient."""

    smoothed: Tensor
    nll_N: Tensor


def cross_entropies(
    rows_NR: Tensor, weight_VR: Tensor, bias_V: Tensor, target_N: Tensor, smoothing: float
) -> CrossEntropies:
    """Label-smoothed cross-entropy (Szegedy et al. 2016, 7) of softmax(rows W^T + b), and the plain one of each row.

    Gradients are computed along with the loss, chunk by chunk, when any input needs one.
    """
    with torch.autocast(rows_NR.device.type, enabled=False):
        wanted = torch.is_grad_enabled()  # within, it is always off
        both = _LinearCrossEntropy.apply(rows_NR, weight_VR, bias_V, target_N, smoothing, wanted)  # type: ignore[no-untyped-call]
        return CrossEntropies(*both)


def target_log_probs(rows_NR: Tensor, weight_VR: Tensor, bias_V: Tensor, target_N: Tensor) -> Tensor:
    """log softmax(rows W^T + b) at each row's target, in float32 or better; each row has its own gradient.

    The logits are computed again in the backward pass, chunk by chunk.
    """
    with torch.autocast(rows_NR.device.type, enabled=False):
        log_prob_N: Tensor = _TargetLogProbs.apply(rows_NR, weight_VR, bias_V, target_N)  # type: ignore[no-untyped-call]
        return log_prob_N


def _add(total_VR: Tensor, part_VR: Tensor, room_VR: Tensor) -> None:
    """Add the part of a chunk, by way of ``room_VR`` where its type is another: torch would copy it to new memory first, which
    takes longer than computing it."""
    total_VR += part_VR if part_VR.dtype == total_VR.dtype else room_VR.copy_(part_VR)


def _span(tokens: int, dtype: torch.dtype) -> int:
    """Of how many rows the probabilities are kept: whole chunks."""
    return CHUNK if dtype != torch.bfloat16 else max(1, KEPT // (tokens * CHUNK)) * CHUNK


class _TargetLogProbs(torch.autograd.Function):
    """With p = softmax(logits), the derivative of the target's log-probability by the logits is 1 - p at the target and
    -p elsewhere. The backward pass multiplies it by the gradient of that log-probability."""

    @staticmethod
    def forward(ctx, rows_NR, weight_VR, bias_V, target_N):  # type: ignore[no-untyped-def]
        weight, bias = weight_VR.to(rows_NR.dtype), bias_V.to(rows_NR.dtype)
        parts = [
            precise(linear(rows, weight, bias)).log_softmax(-1).gather(1, target[:, None]).squeeze(1)
            for rows, target in zip(rows_NR.split(CHUNK), target_N.split(CHUNK), strict=True)
        ]
        ctx.save_for_backward(rows_NR, weight_VR, bias_V, target_N)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_N):  # type: ignore[no-untyped-def]
        rows_NR, weight_VR, bias_V, target_N = ctx.saved_tensors
        weight, bias = weight_VR.to(rows_NR.dtype), bias_V.to(rows_NR.dtype)
        # Float16 cannot hold the loss scale that the gradient is multiplied by.
        scale = grad_N.abs().max().clamp(min=torch.finfo(grad_N.dtype).tiny)
        share_N = (grad_N / scale).to(rows_NR.dtype)
        grad_rows, grad_weight, grad_bias = map(torch.zeros_like, (rows_NR, weight_VR, bias_V))
        added = torch.empty_like(grad_weight)
        for begin in range(0, len(rows_NR), CHUNK):
            part = slice(begin, begin + CHUNK)
            rows, share = rows_NR[part], share_N[part, None]
            by_logits = linear(rows, weight, bias).softmax(-1).mul_(-share)
            by_logits.scatter_add_(1, target_N[part, None], share)
            grad_bias += by_logits.sum(0)
            grad_rows[part] = linear(by_logits, weight.t())
            _add(grad_weight, outer(by_logits, rows), added)
        by_rows = (grad_rows.to(scale.dtype) * scale).to(rows_NR.dtype)
        return by_rows, grad_weight * scale, grad_bias * scale, None


class _LinearCrossEntropy(torch.autograd.Function):
    """With p = softmax(logits) and a smoothing of eps over V tokens, the gradient by the logits is p - eps/V, less 1 -
    eps at the target.

    Only p takes part in the products over the vocabulary. The other terms are equal for all tokens or concern one
    token, and are added to the results of the products: three passes over the logits fewer (11% of this function).
    """

    @staticmethod
    def forward(ctx, rows_NR, weight_VR, bias_V, target_N, smoothing, wanted):  # type: ignore[no-untyped-def]
        compute = rows_NR.dtype
        precise = torch.promote_types(compute, torch.float32)
        weight, bias = weight_VR.to(compute), bias_V.to(compute)
        vocabulary = Matrix(weight)
        logit_N, p_N = (rows_NR.new_empty(len(rows_NR)) for _ in range(2))
        needs_gradient = wanted and any(ctx.needs_input_grad)
        grad_rows, grad_bias, grad_weight = torch.empty_like(rows_NR), torch.zeros_like(bias_V), None
        span = _span(len(weight), compute) if needs_gradient else CHUNK
        p_PV = rows_NR.new_empty(0, len(weight))
        for first in range(0, max(1, len(rows_NR)), span):
            rows_PR, target_P = (
                padded(rows_NR[first : first + span], CHUNK_UNIT, SUMMED),
                target_N[first : first + span],
            )
            p_PV = p_PV[: len(rows_PR)] if first else p_PV.new_empty(len(rows_PR), len(weight))
            for begin in range(0, len(rows_PR), CHUNK):
                chunk = slice(begin, begin + CHUNK)
                target = target_P[chunk, None]
                logits = vocabulary.product(rows_PR[chunk], bias)
                p = torch.softmax(logits, -1, out=p_PV[chunk])
                # The padding counts for nothing: its rows are zero, and what it predicts is left out.
                real_logits, real_p = logits[: len(target)], p[: len(target)]
                part = slice(first + begin, first + begin + len(target))
                logit_N[part], p_N[part] = real_logits.gather(1, target).squeeze(1), real_p.gather(1, target).squeeze(1)
                if needs_gradient:
                    grad_bias += real_p.sum(0)
                    grad_rows[part] = vocabulary.back(p)[: len(target)]
            if needs_gradient:
                by_weight = outer(p_PV, rows_PR)
                grad_weight = by_weight.to(weight_VR.dtype) if grad_weight is None else grad_weight.add_(by_weight)
        mean_R = weight.to(precise).mean(0)
        if needs_gradient:
            share, rest = smoothing / len(weight), 1 - smoothing
            grad_rows -= (smoothing * mean_R).to(compute) + rest * weight[target_N]
            grad_weight -= share * rows_NR.sum(0, dtype=precise)
            grad_bias -= share * len(rows_NR)
            # Not index_put_: there, threads add in whatever order they come, so that no two runs would be equal.
            grad_weight.index_add_(0, target_N, rows_NR.to(grad_weight.dtype), alpha=-rest)
            grad_bias.index_add_(0, target_N, grad_bias.new_ones(len(rows_NR)), alpha=-rest)
        ctx.save_for_backward(grad_rows, grad_weight, grad_bias)
        nll_N = -p_N.to(precise).log()
        # Where a probability is too small for the number format, its logarithm comes from the logits themselves.
        lost = (p_N < torch.finfo(compute).tiny).nonzero().squeeze(1)
        log_probs = linear(rows_NR[lost], weight, bias).log_softmax(-1, dtype=precise)
        nll_N[lost] = -log_probs.gather(1, target_N[lost, None]).squeeze(1)
        ctx.mark_non_differentiable(nll_N)
        # The mean logit of a row is its product with the mean of the weights.
        mean_N = rows_NR.to(precise) @ mean_R + bias.to(precise).mean()
        log_total_N = logit_N.to(precise) + nll_N
        return (1 - smoothing) * nll_N.sum() + smoothing * (log_total_N - mean_N).sum(), nll_N

    @staticmethod
    def backward(ctx, grad_smoothed, _):  # type: ignore[no-untyped-def]
        grad_rows, grad_weight, grad_bias = ctx.saved_tensors
        return (
            # Float16 cannot hold the loss scale that it is multiplied by.
            (grad_rows.to(grad_smoothed.dtype) * grad_smoothed).to(grad_rows.dtype),
            grad_weight * grad_smoothed,
            grad_bias * grad_smoothed,
            *(None, None, None),
        )
