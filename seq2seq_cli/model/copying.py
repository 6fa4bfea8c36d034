"""Copying from the source: a readout around another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.model.loss import CrossEntropies
from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.readout import Numbers, Readout
from seq2seq_cli.model.types import Steps


class CopyingReadout(Readout):
    """p(y) = g p_vocabulary(y) + (1 - g) c(y), where c(y) is the sum of the weights of the source positions that hold y
    (pointer-generator: See, Liu & Manning 2017, 2.2). Source and target have one vocabulary.

    g = sigmoid(w f + b), of the decoder's features f, which know its state and its context. (In the paper g reads these
    two and the last word by themselves.) Weights that do not sum to one, as those of a local-p window, are divided by
    their sum; where a step looks at no source position, g is one.
    """

    looks = True

    def __init__(self, generated: Readout, features_size: int) -> None:
        super().__init__()
        self.generated = generated
        self.gate = Linear(features_size, 1, exact=True)

    def rows(self, features_NF: Tensor, run: Pass) -> Tensor:
        return self.generated.rows(features_NF, run)

    def logits(self, steps: Steps, run: Pass) -> Tensor:
        """Log-probabilities."""
        shares = self._shares(steps, run)
        mixed_NV = shares.log_generated_N1 + self.generated.log_probs(steps, run)
        return _with_copies(mixed_NV, _tokens(steps), shares.copied_NS)

    def among(self, tokens_C: Tensor, run: Pass) -> Callable[[Steps], Tensor]:
        generated, numbers = self.generated.among(tokens_C, run), Numbers(tokens_C)

        def logits(steps: Steps) -> Tensor:
            shares = self._shares(steps, run)
            mixed_NC = shares.log_generated_N1 + precise(generated(steps)).log_softmax(-1)
            return _with_copies(mixed_NC, numbers(_tokens(steps)), shares.copied_NS)

        return logits

    def target_log_probs(self, steps: Steps, target_N: Tensor, run: Pass) -> Tensor:
        shares = self._shares(steps, run)
        generated_N = shares.log_generated_N1[:, 0] + self.generated.target_log_probs(steps, target_N, run)
        copied_N = (shares.copied_NS * (_tokens(steps) == target_N[:, None])).sum(-1)
        return _log_sum(generated_N, copied_N)

    def cross_entropies(self, steps: Steps, target_N: Tensor, smoothing: float, run: Pass) -> CrossEntropies:
        """As for every readout, but that it is the generated words alone that are smoothed: source words are no more likely
        to be right for being a part of the vocabulary."""
        nll_N = -self.target_log_probs(steps, target_N, run)
        smoothed = (1 - smoothing) * nll_N.sum()
        if smoothing:
            smoothed = smoothed + smoothing * self.generated.cross_entropies(steps, target_N, 1.0, run).smoothed
        return CrossEntropies(smoothed, nll_N.detach())

    def _shares(self, steps: Steps, run: Pass) -> _Shares:
        assert steps.weights_NS is not None
        weights_NS, gate_N1 = precise(steps.weights_NS), precise(run.map(self.gate).product(steps.features_NF))
        total_N1 = weights_NS.sum(-1, keepdim=True)
        log_generated_N1 = nn.functional.logsigmoid(gate_N1).masked_fill(total_N1 <= 0, 0.0)
        tiny = torch.finfo(weights_NS.dtype).tiny
        return _Shares(log_generated_N1, torch.sigmoid(-gate_N1) * weights_NS / total_N1.clamp(min=tiny))


class _Shares(NamedTuple):
    """log g, and how likely the token of each source position is copied from there: (1 - g) a_s."""

    log_generated_N1: Tensor
    copied_NS: Tensor


def _tokens(steps: Steps) -> Tensor:
    assert steps.tokens_NS is not None
    return steps.tokens_NS


def _log_sum(log_p: Tensor, q: Tensor) -> Tensor:
    """log(p + q). A q of zero has no finite logarithm, and no finite gradient of it."""
    return torch.where(q > 0, torch.logaddexp(log_p, q.clamp(min=torch.finfo(q.dtype).tiny).log()), log_p)


def _with_copies(log_probs_NV: Tensor, tokens_NS: Tensor, copied_NS: Tensor) -> Tensor:
    """The log-probabilities with what is copied of the tokens of the source positions."""
    sums_NV = torch.zeros_like(log_probs_NV).scatter_add(-1, tokens_NS, copied_NS.to(log_probs_NV.dtype))
    if torch.is_grad_enabled():
        return _log_sum(log_probs_NV, sums_NV)
    # The same in less time: few tokens are in the source. All positions of a token are given the sum of them all, and so the
    # same log-probability. (Each would be given the whole of its gradient, too.)
    both_NS = _log_sum(log_probs_NV.gather(-1, tokens_NS), sums_NV.gather(-1, tokens_NS))
    return log_probs_NV.scatter(-1, tokens_NS, both_NS)
