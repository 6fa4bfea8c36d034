"""Objectives that reward whole translations: self-critical sequence training, and minimum risk training.

Both mix w of the references' cross-entropy with 1 - w of a loss of their own. For that loss, translations are drawn and
their probabilities computed without dropout: the model learns from what it would really say. The cross-entropy keeps
its dropout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from seq2seq_cli.config.sections import ObjectiveConfig
from seq2seq_cli.data.subword import Subword
from seq2seq_cli.evaluation.metrics import SentenceMetric
from seq2seq_cli.inputs import Batch
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.training.candidates import Candidates, Drawn, Rewards, explored, references, side_by_side
from seq2seq_cli.training.objectives import Cost, CrossEntropy


class Rewarded:
    """What both objectives have in common; a subclass adds ``chosen`` and ``sequence_loss``."""

    greedy: bool
    """Whether the greedy translation is drawn as well."""

    def __init__(self, config: ObjectiveConfig, cross_entropy: CrossEntropy, subword: Subword, tokenizer: str) -> None:
        chosen = config.rewarding
        self.samples = chosen.samples
        self.weight = chosen.cross_entropy_weight
        self.cross_entropy = cross_entropy
        self.rewards = Rewards(SentenceMetric.of(chosen.reward, tokenizer), subword)

    def draw(self, model: Seq2Seq, batch: Batch) -> Candidates | None:
        with without_dropout(model):
            drawn = explored(model, batch, self.samples, self.greedy)
        return self.chosen(drawn, references(batch)).to(batch.text.ids_BL.device)

    def chosen(self, drawn: list[list[Drawn]], references: list[Drawn]) -> Candidates:
        """Those translations that anything is learned from, with their weights."""
        raise NotImplementedError

    def cost(self, model: Seq2Seq, batch: Batch, drawn: Candidates | None, guided_weight: float) -> Cost:
        assert drawn is not None
        with without_dropout(model):
            log_prob_R = model.candidate_log_probs(batch, drawn.rows_R, drawn.target)
        loss = (1 - self.weight) * self.sequence_loss(log_prob_R, drawn)
        if self.weight:
            loss = loss + self.weight * self.cross_entropy.cost(model, batch, None, guided_weight).loss
        return Cost(loss, loss)

    def sequence_loss(self, log_prob_R: Tensor, drawn: Candidates) -> Tensor:
        """The loss of the drawn translations, summed over the sentences."""
        raise NotImplementedError


class SelfCritical(Rewarded):
    """-(r(y) - r(y*)) log p(y), averaged over a sentence's samples; y is a sample and y* the greedy translation (Rennie
    et al. 2017, 3.2). The expectation of its gradient is minus the gradient of the expected reward."""

    greedy = True

    def chosen(self, drawn: list[list[Drawn]], references: list[Drawn]) -> Candidates:
        chosen, total = list[tuple[int, Drawn, float, float]](), 0.0
        for row, ((*samples, greedy), reward) in enumerate(zip(drawn, self.rewards.of(drawn, references), strict=True)):
            total += sum(reward[sample] for sample in samples) / len(samples)
            for sample, count in Counter(samples).items():
                advantage = (reward[sample] - reward[greedy]) * count / len(samples)
                if advantage:
                    chosen.append((row, sample, reward[sample], advantage))
        # Where no sample is better or worse, one of them stays with weight zero: the loss must have a gradient, if a zero one.
        return side_by_side(chosen or [(0, drawn[0][0], 0.0, 0.0)], total, len(drawn))

    def sequence_loss(self, log_prob_R: Tensor, drawn: Candidates) -> Tensor:
        return -(drawn.weight_R * log_prob_R).sum()


class MinimumRisk(Rewarded):
    """The expected risk over a sentence's candidates, sum of (1 - r(y)) Q(y) with Q(y) = p(y)^alpha / sum p(y')^alpha
    (Shen et al. 2016, 3). The candidates are the samples and the reference, each different one once. The loss is
    divided by alpha, because alpha is a factor of its gradient: so the weight of cross-entropy means the same whatever
    alpha is."""

    greedy = False

    def __init__(self, config: ObjectiveConfig, cross_entropy: CrossEntropy, subword: Subword, tokenizer: str) -> None:
        super().__init__(config, cross_entropy, subword, tokenizer)
        self.alpha = config.rewarding.alpha

    def chosen(self, drawn: list[list[Drawn]], references: list[Drawn]) -> Candidates:
        candidates = [[*samples, reference] for samples, reference in zip(drawn, references, strict=True)]
        chosen, total = list[tuple[int, Drawn, float, float]](), 0.0
        for row, (samples, reward) in enumerate(zip(drawn, self.rewards.of(candidates, references), strict=True)):
            total += sum(reward[sample] for sample in samples) / len(samples)
            chosen += [(row, candidate, points, 1.0) for candidate, points in reward.items()]
        return side_by_side(chosen, total, len(drawn))

    def sequence_loss(self, log_prob_R: Tensor, drawn: Candidates) -> Tensor:
        return expected_risk(log_prob_R, 1 - drawn.reward_R, drawn.rows_R, self.alpha).sum() / self.alpha


def expected_risk(log_prob_R: Tensor, risk_R: Tensor, rows_R: Tensor, alpha: float) -> Tensor:
    """risk_B: the mean risk of each sentence's candidates, weighed by their sharpened probabilities."""
    sentences = int(rows_R.max()) + 1
    sharpened_R = alpha * log_prob_R
    largest_B = sharpened_R.new_full((sentences,), -torch.inf).scatter_reduce(0, rows_R, sharpened_R.detach(), "amax")
    share_R = (sharpened_R - largest_B[rows_R]).exp()
    risk_B, total_B = (
        share_R.new_zeros(sentences).index_add(0, rows_R, value_R) for value_R in (share_R * risk_R, share_R)
    )
    return risk_B / total_B


@contextmanager
def without_dropout(model: Seq2Seq) -> Iterator[None]:
    """Within, the model computes as when it translates, but gradients can be taken."""
    before = model.training
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.RNNBase):  # has no dropout of its own here, and cuDNN's learns only in training
            module.train()
    try:
        yield
    finally:
        model.train(before)
