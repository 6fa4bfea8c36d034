"""From the decoder's features to the vocabulary: the same in training, forced scoring and search."""

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from seq2seq_cli.model import loss
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.loss import CrossEntropies
from seq2seq_cli.model.maps import Linear, Map, Pass
from seq2seq_cli.model.products import outer, precise
from seq2seq_cli.model.types import Steps


class Maxout(nn.Module):
    """The larger of two linear maps, element by element (Goodfellow et al. 2013): F -> size."""

    def __init__(self, features_size: int, size: int) -> None:
        super().__init__()
        self.linear = Linear(features_size, 2 * size)

    def forward(self, features_NF: Tensor, run: Pass) -> Tensor:
        first, second = run.map(self.linear).product(features_NF).chunk(2, -1)
        if not torch.is_grad_enabled():
            return torch.maximum(first, second)
        # torch.maximum, with half of the gradient to either where they are equal; its own backward pass takes four times
        # as long on a CPU, 1% of a training step.
        share = (first - second).detach().sign().add_(1).mul_(0.5)
        larger: Tensor = first * share + second * (1 - share)
        return larger


class Projection(Linear):
    """A linear map of features to the size of the embeddings: F -> size. ``bounded``: whether they lie in [-1, 1]."""

    def __init__(self, features_size: int, size: int, bounded: bool = True) -> None:
        super().__init__(features_size, size, bias=False, bounded=bounded)

    def forward(self, features_NF: Tensor, run: Pass) -> Tensor:  # type: ignore[override]
        return run.map(self).product(features_NF)


class Readout(nn.Module):
    """Predicts the next token from what the decoder's steps say. Training, forced scoring, alignment and search all start
    from the same ``logits``, so a readout that wraps another one needs nothing else of it.

    ``looks``: whether it reads where the steps looked, too. A subclass may override the rest with something quicker or
    smaller in memory.
    """

    looks = False

    def logits(self, steps: Steps, run: Pass) -> Tensor:
        """Logits of p(y_t | y_<t, x) over the vocabulary: N steps -> N x V, in any number of dimensions."""
        raise NotImplementedError

    def rows(self, features_NF: Tensor, run: Pass) -> Tensor:
        """What comes before the projection to the vocabulary, N x F -> N x R, by which a memory's neighbours are found: here
        the features themselves."""
        return features_NF

    def among(self, tokens_C: Tensor, run: Pass) -> Callable[[Steps], Tensor]:
        """The logits of some tokens and, as if all others were one token more, of those: N steps -> N x (C + 1). Prepared
        for many steps. So the probability that is left to the others is not shared out among the few."""

        def logits(steps: Steps) -> Tensor:
            logits_NV = precise(self.logits(steps, run))
            others_N = logits_NV.index_fill(-1, tokens_C, float("-inf")).logsumexp(-1, keepdim=True)
            return torch.cat([logits_NV.index_select(-1, tokens_C), others_N], -1)

        return logits

    def log_probs(self, steps: Steps, run: Pass) -> Tensor:
        """log p(y_t | y_<t, x) over the vocabulary, in float32 or better."""
        return precise(self.logits(steps, run)).log_softmax(-1)

    def target_log_probs(self, steps: Steps, target_N: Tensor, run: Pass) -> Tensor:
        """The log-probability of each target, N; each has its own gradient."""
        return self.log_probs(steps, run).gather(1, target_N[:, None]).squeeze(1)

    def cross_entropies(self, steps: Steps, target_N: Tensor, smoothing: float, run: Pass) -> CrossEntropies:
        """Label-smoothed cross-entropy, summed, and the negative log-likelihood of each target, which has no
        gradient."""
        log_probs_NV = self.log_probs(steps, run)
        nll_N = -log_probs_NV.gather(1, target_N[:, None]).squeeze(1)
        smoothed = (1 - smoothing) * nll_N.sum() - smoothing * log_probs_NV.mean(-1).sum()
        return CrossEntropies(smoothed, nll_N.detach())


class Numbers:
    """The number of each token among ``tokens_C``; C for all others."""

    def __init__(self, tokens_C: Tensor) -> None:
        count = len(tokens_C)
        self.number_V = tokens_C.new_full((int(tokens_C.max()) + 2,), count)
        self.number_V[tokens_C] = torch.arange(count, device=tokens_C.device)

    def __call__(self, tokens: Tensor) -> Tensor:
        return self.number_V[tokens.clamp(max=len(self.number_V) - 1)]


class Others(NamedTuple):
    """log sum exp (E r + b), about: c + l r + r^T Q r, which costs no more than as many tokens as r has numbers. It is what
    comes of logits that are spread as a normal distribution is: their mean, plus half of their variance, plus the logarithm
    of their number."""

    constant: Tensor
    linear_R: Tensor
    quadratic_RR: Tensor

    @classmethod
    def of(cls, matrix_MR: Tensor, bias_M: Tensor) -> Self:
        """Of a matrix and a bias with a row for each token."""
        bias_mean, mean_R = bias_M.mean(), matrix_MR.mean(0)
        bias_M, matrix_MR = bias_M - bias_mean, matrix_MR - mean_R
        constant = bias_mean + bias_M.square().mean() / 2 + math.log(len(bias_M))
        return cls(constant, mean_R + bias_M @ matrix_MR / len(bias_M), outer(matrix_MR, matrix_MR) / (2 * len(bias_M)))


class VocabularyReadout(Readout):
    """softmax(E r + b) over the vocabulary. ``hidden`` makes r of the decoder's features (None: the features are r). E
    is the ``embedding`` of the target's pieces, or a matrix of its own.

    In training the first ``fresh_size`` features go through a dropout.
    """

    def __init__(
        self, hidden: Maxout | Projection | None, embedding: nn.Embedding, fresh_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.embedding = embedding
        self.bias_V = nn.Parameter(torch.zeros(embedding.num_embeddings))
        self.fresh_size = fresh_size
        self.dropout = Dropout(dropout)

    def rows(self, features_NF: Tensor, run: Pass) -> Tensor:
        """r, the vectors that the embeddings are compared with."""
        if self.fresh_size == features_NF.shape[-1]:
            features_NF = self.dropout(features_NF)
        elif self.training and self.fresh_size:
            fresh_NF, others_NX = features_NF.tensor_split([self.fresh_size], -1)
            features_NF = torch.cat([self.dropout(fresh_NF), others_NX], -1)
        return features_NF if self.hidden is None else self.hidden(features_NF, run)

    def logits(self, steps: Steps, run: Pass) -> Tensor:
        output: Map = run.once(self, lambda: run.make(self.embedding.weight, self.bias_V))
        return output.product(self.rows(steps.features_NF, run))

    def among(self, tokens_C: Tensor, run: Pass) -> Callable[[Steps], Tensor]:
        matrix_VR, bias_V = self.embedding.weight.detach(), self.bias_V.detach()
        is_other_V = torch.ones_like(bias_V, dtype=torch.bool).index_fill(0, tokens_C, False)
        others = Others.of(matrix_VR[is_other_V], bias_V[is_other_V])
        output = run.make(
            torch.cat([matrix_VR.index_select(0, tokens_C), others.linear_R[None]]),
            torch.cat([bias_V.index_select(0, tokens_C), others.constant[None]]),
        )
        quadratic = run.make(others.quadratic_RR, exact=True)

        def logits(steps: Steps) -> Tensor:
            rows_NR = self.rows(steps.features_NF, run)
            logits_NC = output.product(rows_NR)
            logits_NC[..., -1] += (quadratic.product(rows_NR) * rows_NR).sum(-1)
            return logits_NC

        return logits

    # The logits of a batch are never all in memory: see `loss`.

    def target_log_probs(self, steps: Steps, target_N: Tensor, run: Pass) -> Tensor:
        rows_NR = self.rows(steps.features_NF, run)
        return loss.target_log_probs(rows_NR, self.embedding.weight, self.bias_V, target_N)

    def cross_entropies(self, steps: Steps, target_N: Tensor, smoothing: float, run: Pass) -> CrossEntropies:
        rows_NR = self.rows(steps.features_NF, run)
        return loss.cross_entropies(rows_NR, self.embedding.weight, self.bias_V, target_N, smoothing)
