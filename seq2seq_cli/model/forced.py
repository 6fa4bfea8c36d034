"""Forced decoding: a model reads given target sentences, and a criterion makes a loss of what it predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq_cli.inputs import Target
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.loss import CrossEntropies, Loss
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.readout import Readout
from seq2seq_cli.model.types import DecoderOutput, DecoderState, Memories, Steps

STEPS = 128
"""So many steps have their logits made at a time, where no gradient is wanted."""


class RealSteps(NamedTuple):
    """N steps of targets, and the token that each is to predict."""

    steps: Steps
    says_N: Tensor


@dataclass(frozen=True)
class Forced:
    """A model on given targets, before its first step. ``embedded_BTI``: the embedded tokens that each step reads;
    ``state``: the decoder's state before the first step."""

    run: Pass
    decoder: Decoder
    readout: Readout
    embedded_BTI: Tensor
    memories: Memories
    state: DecoderState
    target: Target
    smoothing: float

    @cached_property
    def output(self) -> DecoderOutput:
        """The decoder's output at all steps."""
        output: DecoderOutput = self.decoder(self.embedded_BTI, self.memories, self.state, self.run)
        return output

    def cross_entropies(self) -> CrossEntropies:
        """Cross-entropies of the targets of the real steps, each given all tokens before it."""
        return self.readout.cross_entropies(*self.real_steps(), self.smoothing, self.run)

    def cross_entropy(self) -> Loss:
        """The same, as a loss."""
        smoothed, nll_N = self.cross_entropies()
        return Loss(smoothed, nll_N.sum())

    def log_probs(self) -> Tensor:
        """log_prob_B: log p(y_t | y_<t, x) summed over the real steps, as a search would compute it, but with a
        gradient."""
        log_prob_N = self.readout.target_log_probs(*self.real_steps(), self.run)
        return log_prob_N.new_zeros(len(self.target.real_BT)).index_add(
            0, self.target.real_BT.nonzero()[:, 0], log_prob_N
        )

    def log_probs_by_step(self) -> Tensor:
        """log_prob_BT: log p(y_t | y_<t, x) of each real step, 0 elsewhere, with the products of ``run``: in a pass for a search
        as that computes it. A few steps at a time, whose logits stay in the processor's cache."""
        steps, says_N = self.real_steps()
        log_probs = [
            precise(self.readout.logits(some, self.run)).log_softmax(-1).gather(1, said_N[:, None]).squeeze(1)
            for some, said_N in zip(steps.split(STEPS), says_N.split(STEPS), strict=True)
        ]
        real_BT = self.target.real_BT
        return log_probs[0].new_zeros(real_BT.shape).masked_scatter(real_BT, torch.cat(log_probs))

    def real_steps(self) -> RealSteps:
        """Of the steps that count, one target after another, what the readout reads, and the tokens."""
        real_N = self.target.real_BT.flatten().nonzero().squeeze(1)
        steps = self.output.steps if self.readout.looks else Steps(self.output.features_BTF)
        picked = steps.take(lambda x_BTX: x_BTX.flatten(0, 1).index_select(0, real_N))
        return RealSteps(picked, self.target.says_BT.flatten()[real_N])


Criterion = Callable[[Forced], Loss]
"""The loss that training minimises: one of `model.criteria`, or ``Forced.cross_entropy``."""
