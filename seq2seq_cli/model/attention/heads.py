"""Scaled dot products of several heads at once, in the quickest way there is: the core of self-attention and of multi-head
attention where many queries are known.

Letters beside those of `model.types`: H heads, I the size of a head. Dimensions before the last two may be any.
"""

import math

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq_cli.model.products import precise


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
    mixture: Tensor = _Mixed.apply(queries * scale if scale != 1 else queries, keys, values, mask)  # type: ignore[no-untyped-call]
    return mixture


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, queries, keys, values, mask):  # type: ignore[no-untyped-def]
        energies = (queries @ keys.mT).float()
        if mask is not None:
            energies.masked_fill_(~mask, -math.inf)
        weights = energies.softmax(-1).to(values.dtype)
        ctx.save_for_backward(queries, keys, values, weights)
        return weights @ values

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        queries, keys, values, weights = ctx.saved_tensors
        gradient = gradient.contiguous()
        precise = weights.float()
        # Not in bfloat16: while weights are still flat, the gradient of the energies is a small difference between positions.
        with torch.autocast("cpu", enabled=False):
            by_weights = gradient.float() @ values.float().mT
        # The gradient of a softmax; torch's own is as slow in bfloat16 as its softmax is.
        by_energies = torch._softmax_backward_data(by_weights, precise, -1, torch.float32).to(queries.dtype)
        return by_energies @ keys, by_energies.mT @ queries, weights.mT @ gradient, None


def weighed(queries: Tensor, keys: Tensor, mask: Tensor | None, normaliser: nn.Module) -> Tensor:
    """The weights themselves, by any normaliser: ... x T x I and ... x S x I -> ... x T x S, from energies in float32 or
    better, whatever the products are computed in."""
    energies = precise(queries @ keys.mT)
    mask = torch.ones((), dtype=torch.bool, device=queries.device) if mask is None else mask
    weights: Tensor = normaliser(energies, mask)
    return weights
