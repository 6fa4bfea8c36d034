"""One sentence that a mechanism with few parameters learns to align, to show what its weights are like."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.data.subword import END
from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.model.build import build_attention, local_radius
from seq2seq_cli.model.criteria.guidance import guidance_loss
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import Attention, Look, Source

SOURCE = ("Wenn", "es", "regnet", ",", "lese", "ich", "zu", "Hause", "ein", "Buch", ".", END)
TARGET = ("I", "read", "a", "book", "at", "home", "when", "it", "rains", ".", END)
LINKS = (5, 4, 8, 9, 6, 7, 0, 1, 2, 10, 11)
"""For each target word, the source word it came from."""
SIZE = 16
STEPS = 100
ENOUGH = 0.7
"""Learning stops when the right words have this share of the weight, so that something can still be seen beside
them."""


class Pupil(NamedTuple):
    """A mechanism, with a state for each source word and a query for each target word in place of an encoder and a
    decoder."""

    attention: Attention
    states_1SE: Tensor
    query_1TD: Tensor

    def look(self) -> Look:
        """Where all steps look."""
        states_1SE, query_1TD = self.states_1SE.tanh(), self.query_1TD.tanh()
        run = Pass()
        mask_1S, tokens_1S = torch.ones(1, len(SOURCE), dtype=torch.bool), torch.arange(len(SOURCE))[None]
        memory = self.attention.prepare(Source(states_1SE, states_1SE.mean(1), mask_1S, tokens_1S), run)
        state, steps = self.attention.initial_state(memory), []
        for t, query_11D in enumerate(query_1TD.split(1, 1)):
            attended, state = self.attention(query_11D, memory, state, t, run)
            steps.append(attended.look)
        return Look.joined(steps)


def example(config: AttentionConfig) -> Alignment:
    """Where the mechanism of ``config`` looks after it has been trained to look, at each word of a translation, at the
    word it came from. The same at every call; takes some tenths of a second. (Parameters start small: where sparse
    weights are zero, nothing is learned.)"""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ends = [i for i, word in enumerate(SOURCE) if word.endswith(tuple(config.segment_marks))]
        attention = build_attention(config, SIZE, SIZE, ends)
        assert isinstance(attention, nn.Module)
        states_1SE, query_1TD = ((0.1 * torch.randn(1, n, SIZE)).requires_grad_() for n in (len(SOURCE), len(TARGET)))
        pupil = Pupil(attention.eval(), states_1SE, query_1TD)
        optimiser = torch.optim.Adam([states_1SE, query_1TD, *attention.parameters()], lr=0.02)
        guide_1TS = nn.functional.one_hot(torch.tensor([LINKS]), len(SOURCE)).float()
        for _ in range(STEPS):
            optimiser.zero_grad()
            soft_1TS = pupil.look().soft_BTS
            if (soft_1TS * guide_1TS).sum() > ENOUGH * len(TARGET):
                break
            guidance_loss(soft_1TS, guide_1TS).backward()
            optimiser.step()
        with torch.no_grad():
            look = pupil.look()
    centre_T = None if look.centre_BT is None else look.centre_BT[0].float().numpy()
    return Alignment(SOURCE, TARGET, look.weights_BTS[0].numpy(), centre_T, local_radius(config))
