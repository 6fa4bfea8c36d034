"""Scaled dot products of several heads at once, in the quickest way there is: the core of self-attention and of multi-head
attention where many queries are known.

Letters beside those of `model.types`: H heads, I the size of a head. Dimensions before the last two may be any.
"""

import math

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq_cli.model.products import precise

FEWEST = 16
"""Softmaxes of fewer numbers than a register holds take torch eleven times as long as those of as many, their gradients twenty
times (Zen 5: 8,000 of 14 numbers 1.41 and 0.55 ms, of 16 numbers 0.11 and 0.02)."""


def mixed(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    """softmax(q k^T / T) v, without the weights: ... x T x I and ... x S x I -> ... x T x I. Queries or keys are scaled
    already. ``mask`` broadcasts to ... x T x S and is True where a query may look (None: everywhere).

    In bfloat16 on a CPU torch's own function takes three times as long as products, a softmax in float32 and a backward
    pass written out here.
    """
    scale = 1 / temperature
    if queries.shape[-2] == 1 and mask is None and not torch.is_grad_enabled():
        # A step of a search: torch's own function takes a quarter longer.
        return ((queries * scale if scale != 1 else queries) @ keys.mT).softmax(-1) @ values
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16:
        if queries.dim() == 4:
            return nn.functional.scaled_dot_product_attention(queries, keys, values, mask, scale=scale)
        q, k, v = (x.flatten(0, -4) for x in (queries, keys, values))
        mask = None if mask is None else mask.expand(*queries.shape[:-1], keys.shape[-2]).flatten(0, -4)
        return nn.functional.scaled_dot_product_attention(q, k, v, mask, scale=scale).view(queries.shape)
    mixture: Tensor = _Mixed.apply(queries, keys, values, mask, scale)  # type: ignore[no-untyped-call]
    return mixture


class _Mixed(torch.autograd.Function):
    """Keys and values are padded where a query would have fewer than FEWEST weights."""

    @staticmethod
    def forward(ctx, queries, keys, values, mask, scale):  # type: ignore[no-untyped-def]
        positions = keys.shape[-2]
        keys, values = _with_room(keys), _with_room(values)
        energies = precise(queries @ keys.mT).mul_(scale)
        energies[..., positions:] = -math.inf
        if mask is not None:
            energies[..., :positions].masked_fill_(~mask, -math.inf)
        weights = energies.softmax(-1).to(values.dtype)
        ctx.save_for_backward(queries, keys, values, weights)
        ctx.positions, ctx.scale = positions, scale
        return weights @ values

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        queries, keys, values, weights = ctx.saved_tensors
        gradient = gradient.contiguous()
        # Not in bfloat16: while weights are still flat, the gradient of the energies is a small difference between positions.
        with torch.autocast("cpu", enabled=False):
            by_weights = precise(gradient) @ precise(values).mT
        # The gradient of a softmax; torch's own is as slow in bfloat16 as its softmax is.
        by_energies = torch._softmax_backward_data(by_weights, precise(weights), -1, by_weights.dtype)
        by_energies = by_energies.mul_(ctx.scale).to(queries.dtype)
        by_keys, by_values = by_energies.mT @ queries, weights.mT @ gradient
        return by_energies @ keys, by_keys[..., : ctx.positions, :], by_values[..., : ctx.positions, :], None, None


def _with_room(x: Tensor) -> Tensor:
    """``x`` with positions of zeros behind it up to FEWEST."""
    missing = FEWEST - x.shape[-2]
    return nn.functional.pad(x, (0, 0, 0, missing)) if missing > 0 else x


def weighed(queries: Tensor, keys: Tensor, mask: Tensor | None, normaliser: nn.Module) -> Tensor:
    """The weights themselves, by any normaliser: ... x T x I and ... x S x I -> ... x T x S, from energies in float32 or
    better, whatever the products are computed in."""
    energies = precise(queries @ keys.mT)
    mask = torch.ones((), dtype=torch.bool, device=queries.device) if mask is None else mask
    weights: Tensor = normaliser(energies, mask)
    return weights
