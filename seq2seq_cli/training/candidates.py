"""Translations that a model draws while it learns, and their rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq_cli.data.batching import target_of
from seq2seq_cli.data.subword import BOS, EOS, Subword
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.search import explore
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.decoding.translator import longest_translation
from seq2seq_cli.evaluation.metrics import SentenceMetric
from seq2seq_cli.inputs import Batch, Target
from seq2seq_cli.model.seq2seq import Seq2Seq


class Drawn(NamedTuple):
    """A drawn translation: its pieces, and whether the model ended it itself (False: it was cut off at the greatest
    length)."""

    tokens: tuple[int, ...]
    ended: bool


class Candidates(NamedTuple):
    """R translations of the sources ``rows_R`` of a batch, each one once, as the ``target`` of a model. Each has a
    ``reward_R`` from 0 to 1 and a ``weight_R`` that its objective gives it.

    ``reward`` is the mean reward of a sentence's samples, summed over the ``sentences``.
    """

    rows_R: Tensor
    target: Target
    reward_R: Tensor
    weight_R: Tensor
    reward: float
    sentences: int

    def to(self, device: torch.device) -> Candidates:
        """The same on ``device``."""
        fields = (value.to(device) if isinstance(value, Tensor | Target) else value for value in self)
        return Candidates(*fields)  # type: ignore[arg-type]


@torch.inference_mode()
def explored(model: Seq2Seq, batch: Batch, samples: int, greedy: bool) -> list[list[Drawn]]:
    """For each source of the batch, ``samples`` translations drawn from the model, and behind them the greedy one if
    ``greedy``. All come from one search, and each source is encoded once. Any piece of the vocabulary can be drawn."""
    mask_BS, each = batch.text.mask_BL, samples + greedy
    device = mask_BS.device
    state = ModelState.start(model, model.new_pass(stepping=True), batch)
    rows_N = torch.arange(len(mask_BS), device=device).repeat_interleave(each)
    longest_B = [longest_translation(length - 1) for length in mask_BS.sum(1).tolist()]
    limits = Limits(BOS, EOS, (), 0, torch.tensor(longest_B, device=device)[rows_N])
    is_greedy_N = torch.arange(len(rows_N), device=device) % each == samples
    found = explore(state.select(rows_N, rows_N), limits, is_greedy_N).hypotheses
    drawn = [
        Drawn(tuple(one.tokens), len(one.tokens) < longest_B[number // each]) for number, [one] in enumerate(found)
    ]
    return [drawn[begin : begin + each] for begin in range(0, len(drawn), each)]


def references(batch: Batch) -> list[Drawn]:
    """The references of the batch."""
    lengths = batch.target.real_BT.sum(1).tolist()
    return [
        Drawn(tuple(tokens[: length - 1]), True)
        for tokens, length in zip(batch.target.says_BT.tolist(), lengths, strict=True)
    ]


class Rewards:
    """A sentence metric from 0 to 1, applied to translations as pieces. Equal translations are scored once."""

    def __init__(self, metric: SentenceMetric, subword: Subword) -> None:
        self.metric, self.subword = metric, subword

    def of(self, drawn: Sequence[Sequence[Drawn]], references: Sequence[Drawn]) -> list[dict[Drawn, float]]:
        """For each source, the reward of each of its translations. Texts are compared; the reference is the text that
        its pieces spell."""
        return [self._of_one(*pair) for pair in zip(drawn, references, strict=True)]

    def _of_one(self, drawn: Sequence[Drawn], reference: Drawn) -> dict[Drawn, float]:
        texts = {one: self.subword.decode(list(one.tokens)) for one in drawn}
        distinct = list(dict.fromkeys(texts.values()))
        wanted = self.subword.decode(list(reference.tokens))
        points = dict(zip(distinct, self.metric.scores(distinct, [wanted] * len(distinct)), strict=True))
        return {one: points[text] / 100 for one, text in texts.items()}


def side_by_side(chosen: Sequence[tuple[int, Drawn, float, float]], reward: float, sentences: int) -> Candidates:
    """Candidates made of (row of the source, translation, reward, weight). Where a translation was cut off, its
    ``</s>`` does not count: ending there has a probability of one."""
    target = target_of([drawn.tokens for _, drawn, _, _ in chosen])
    forced_R = torch.tensor([not drawn.ended for _, drawn, _, _ in chosen])
    lengths_R = torch.tensor([len(drawn.tokens) for _, drawn, _, _ in chosen])
    target.real_BT[forced_R, lengths_R[forced_R]] = False
    reward_R, weight_R = (torch.tensor([one[field] for one in chosen], dtype=torch.float32) for field in (2, 3))
    rows_R = torch.tensor([one[0] for one in chosen])
    return Candidates(rows_R, target, reward_R, weight_R, reward, sentences)
