"""Beam search for sentences whose translations must hold given stretches of pieces: dynamic beam allocation (Post & Vilar 2018)
for all sentences of a batch at once (Hu et al. 2019).

Hypotheses that need equally many tokens to meet their constraints are a bank. The places of a beam are dealt out to the banks
in turn, the most advanced first; in a bank the likeliest come first. So a hypothesis with a costly term does not have to stand
against one without it, and at every length some hypothesis is about to write what is missing.

What a token leads to stands in one table for the whole batch, a row a state of an automaton, filled in when a hypothesis first
comes there. Of a sentence, Q tokens are in its constraints; all others are told apart by their kind alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq_cli.decoding.constraints import OTHERS, Automaton, State
from seq2seq_cli.decoding.likeliest import IMPOSSIBLE, Continuations, Limits, Logits, continuations_of_each
from seq2seq_cli.decoding.search import Chosen

NONE = -1


class _Table:
    """The states of all sentences, numbered from 0 in the order in which they are met; those at which the sentences begin
    come first.

    ``after_SQ``: the state after each of the sentence's own tokens, and after each kind of the others. ``needed_S``: how many
    tokens are still needed. ``nearer_SA``: tokens that lead to a state that needs fewer. Only of states that ``open`` was
    called for are the first and the last known.
    """

    def __init__(self, automata: Sequence[Automaton]) -> None:
        self.automata = automata
        self.own = max(len(one.tokens) for one in automata)
        self._numbers: list[dict[State, int]] = [{} for _ in automata]
        self._states: list[tuple[int, State]] = []
        self.after_SQ = np.zeros((0, self.own + OTHERS), dtype=np.int64)
        self.needed_S = np.zeros(0, dtype=np.int64)
        self.nearer_SA = np.zeros((0, self.own), dtype=np.int64)
        self._opened: set[int] = set()
        for sentence, automaton in enumerate(automata):
            self._number(sentence, automaton.start)

    def open(self, states: Sequence[int]) -> None:
        """Fill in the rows of these states."""
        for number in dict.fromkeys(states):
            if number not in self._opened:
                self._open(number)
                self._opened.add(number)

    def _open(self, number: int) -> None:
        sentence, state = self._states[number]
        automaton = self.automata[sentence]
        after = [self._number(sentence, automaton.after(state, token)) for token in automaton.tokens]
        others = [self._number(sentence, automaton.after_other(state, kind)) for kind in range(OTHERS)]
        self.after_SQ[number, : len(after)] = after
        self.after_SQ[number, self.own :] = others
        needed = self.needed_S[number]
        nearer = [token for token, next_ in zip(automaton.tokens, after, strict=True) if self.needed_S[next_] < needed]
        self.nearer_SA[number, : len(nearer)] = nearer

    def _number(self, sentence: int, state: State) -> int:
        numbers = self._numbers[sentence]
        if state not in numbers:
            number = numbers[state] = len(self._states)
            self._states.append((sentence, state))
            if number >= len(self.needed_S):
                self._make_room()
            self.needed_S[number] = self.automata[sentence].needed(state)
        return numbers[state]

    def _make_room(self) -> None:
        more = max(64, len(self.needed_S))
        self.after_SQ = np.pad(self.after_SQ, ((0, more), (0, 0)))
        self.needed_S = np.pad(self.needed_S, (0, more))
        self.nearer_SA = np.pad(self.nearer_SA, ((0, more), (0, 0)), constant_values=NONE)


class Allocation:
    """The `Choice` of a beam of ``width`` whose hypotheses meet the constraints of ``automata``, one a sentence.
    ``kind_V``: which kind of other token each token is, as `Automaton.after_other` counts them."""

    def __init__(self, automata: Sequence[Automaton], kind_V: Tensor, width: int) -> None:
        self._table = _Table(automata)
        self._kind_V = kind_V
        self._width = width
        device = kind_V.device
        own_NQ = np.full((len(automata), self._table.own), NONE)
        for row, one in zip(own_NQ, automata, strict=True):
            row[: len(one.tokens)] = one.tokens
        self._own_NQ = torch.from_numpy(own_NQ).to(device)
        self._state_NK = torch.arange(len(automata), device=device)[:, None]

    def keep(self, sentences: Tensor) -> None:
        self._own_NQ, self._state_NK = (x.index_select(0, sentences) for x in (self._own_NQ, self._state_NK))

    def choose(self, logits: Logits, log_prob_NK: Tensor, limits: Limits, step: int) -> Chosen:
        (sentences, width), device = log_prob_NK.shape, log_prob_NK.device
        self._table.open(self._state_NK[log_prob_NK > IMPOSSIBLE].tolist())
        state_R = self._state_NK.flatten()
        nearer_RA = torch.from_numpy(self._table.nearer_SA[state_R.cpu().numpy()]).to(device)
        of_rows = limits.of(torch.arange(sentences, device=device).repeat_interleave(width))
        # One more than the width: one may be the end of a hypothesis that must not end.
        found = continuations_of_each(logits, log_prob_NK.flatten(), self._width + 1, nearer_RA, of_rows, step)
        token_NM, log_prob_NM = (x_RM.view(sentences, -1) for x_RM in (found.token_NC, found.log_prob_NC))
        origin_RM = torch.arange(width, device=device).repeat(sentences)[:, None].expand_as(found.token_NC)
        after_NM, needed_NM = self._after(state_R, token_NM)
        ends_NM = token_NM == limits.eos
        here_NM = (
            torch.from_numpy(self._table.needed_S)
            .to(device)[self._state_NK]
            .repeat_interleave(found.token_NC.shape[1], 1)
        )
        needed_NM = torch.where(ends_NM, here_NM, needed_NM)
        room_N1 = torch.where(ends_NM, 0, (limits.max_length_N - step - 1)[:, None])
        log_prob_NM = log_prob_NM.masked_fill(needed_NM > room_N1, IMPOSSIBLE)
        # So few hypotheses may have fewer continuations than the width.
        room = (0, max(0, self._width - token_NM.shape[1]))
        log_prob_NM = nn.functional.pad(log_prob_NM, room, value=IMPOSSIBLE)
        whole = (origin_RM.reshape(sentences, -1), token_NM, after_NM, needed_NM)
        origin_NM, token_NM, after_NM, needed_NM = (nn.functional.pad(x_NM, room) for x_NM in whole)
        finished_NM, live_NK = self._allotted(log_prob_NM, needed_NM, token_NM == limits.eos)
        self._state_NK = after_NM.gather(1, live_NK)
        return Chosen(Continuations(log_prob_NM, origin_NM, token_NM), finished_NM, live_NK)

    def _after(self, state_R: Tensor, token_NM: Tensor) -> tuple[Tensor, Tensor]:
        """The states after these tokens, and how many tokens they need."""
        device = token_NM.device
        same_NMQ = token_NM[..., None] == self._own_NQ[:, None]
        kind_NM = self._table.own + self._kind_V[token_NM]
        column_NM = torch.where(same_NMQ.any(2), same_NMQ.to(torch.int8).argmax(2), kind_NM)
        after_RQ = torch.from_numpy(self._table.after_SQ[state_R.cpu().numpy()]).to(device)
        after_NM = after_RQ.gather(1, column_NM.view(len(state_R), -1)).view_as(token_NM)
        return after_NM, torch.from_numpy(self._table.needed_S).to(device)[after_NM]

    def _allotted(self, log_prob_NM: Tensor, needed_NM: Tensor, ends_NM: Tensor) -> tuple[Tensor, Tensor]:
        """Which continuations are finished hypotheses: the ends among the ``width`` best of the bank that needs nothing. And
        the numbers of those that live on."""
        possible_NM = log_prob_NM > IMPOSSIBLE
        finished_NM = ends_NM & possible_NM & (self._rank(log_prob_NM, needed_NM) < self._width)
        alive_NM = possible_NM & ~ends_NM
        far = int(needed_NM.max()) + 1
        bank_NM = needed_NM.masked_fill(~alive_NM, far)
        place_NM = self._rank(log_prob_NM, bank_NM) * far + bank_NM
        place_NM = place_NM.masked_fill(~alive_NM, far * (log_prob_NM.shape[1] + 1))
        return finished_NM, place_NM.argsort(dim=1, stable=True)[:, : self._width]

    @staticmethod
    def _rank(log_prob_NM: Tensor, bank_NM: Tensor) -> Tensor:
        """The place of each continuation among those of its bank, from 0, the likeliest first."""
        by_score_NM = log_prob_NM.argsort(dim=1, descending=True, stable=True)
        order_NM = by_score_NM.gather(1, bank_NM.gather(1, by_score_NM).argsort(dim=1, stable=True))
        sorted_NM = bank_NM.gather(1, order_NM)
        place_M = torch.arange(sorted_NM.shape[1], device=sorted_NM.device)
        begins_NM = torch.ones_like(sorted_NM, dtype=torch.bool)
        begins_NM[:, 1:] = sorted_NM[:, 1:] != sorted_NM[:, :-1]
        first_NM = torch.where(begins_NM, place_M, 0).cummax(1).values
        return torch.empty_like(order_NM).scatter_(1, order_NM, place_M - first_NM)
