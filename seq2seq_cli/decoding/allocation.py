"""Beam search for sentences whose translations must hold given stretches of pieces: dynamic beam allocation (Post & Vilar 2018)
for all sentences of a batch at once (Hu et al. 2019).

Hypotheses that need equally many tokens to meet their constraints are a bank. The places of a beam are dealt out to the banks
in turn, the most advanced first; in a bank the likeliest come first. So a hypothesis with a costly term does not have to stand
against one without it, and at every length some hypothesis is about to write what is missing.

How much is needed after each token stands in one table for the whole batch, a row a state of an automaton, filled in when a
hypothesis first comes there. Of a sentence, Q tokens are in its constraints; all others are told apart by their kind alone.
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
    """The states that hypotheses are in, of all sentences, numbered from 0 in the order in which they are met; those at which
    the sentences begin come first. States that a token could lead to, of which there are many more, have no number.

    ``needed_S``: how many tokens are still needed. ``after_SQ``: how many after each of the sentence's own tokens, and after each
    kind of the others, where ``open`` was called for the state.
    """

    def __init__(self, automata: Sequence[Automaton]) -> None:
        self.automata = automata
        self.own = max(len(one.tokens) for one in automata)
        self._numbers: list[dict[State, int]] = [{} for _ in automata]
        self._states: list[tuple[int, State]] = []
        self.needed_S = np.zeros(0, dtype=np.int64)
        self.after_SQ = np.zeros((0, self.own + OTHERS), dtype=np.int32)
        self._nearer: dict[int, np.ndarray] = {}
        self._next: dict[tuple[int, int], int] = {}
        for sentence, automaton in enumerate(automata):
            self._number(sentence, automaton.start)

    def __len__(self) -> int:
        return len(self._states)

    def open(self, states: Sequence[int]) -> None:
        """Fill in the rows of these states."""
        for number in dict.fromkeys(states):
            if number not in self._nearer:
                self._open(number)

    def nearer(self, states: Sequence[int]) -> np.ndarray:
        """Tokens that lead from each of the states, if it is open, to one that needs fewer, R x A; `NONE` behind them."""
        none = np.zeros(0, dtype=np.int64)
        rows = [self._nearer.get(number, none) for number in states]
        nearer_RA = np.full((len(rows), max(map(len, rows))), NONE)
        for row, tokens in zip(nearer_RA, rows, strict=True):
            row[: len(tokens)] = tokens
        return nearer_RA

    def follow(self, states: Sequence[int], columns: Sequence[int]) -> list[int]:
        """The states after one more token each, which is called by its column in ``after_SQ``."""
        return [self._after(number, column) for number, column in zip(states, columns, strict=True)]

    def _after(self, number: int, column: int) -> int:
        if (number, column) not in self._next:
            sentence, state = self._states[number]
            automaton = self.automata[sentence]
            if column < self.own:
                after = automaton.after(state, automaton.tokens[column])
            else:
                after = automaton.after_other(state, column - self.own)
            self._next[number, column] = self._number(sentence, after)
        return self._next[number, column]

    def _open(self, number: int) -> None:
        sentence, state = self._states[number]
        automaton = self.automata[sentence]
        own = np.array([automaton.needed(automaton.after(state, token)) for token in automaton.tokens])
        others = [automaton.needed(automaton.after_other(state, kind)) for kind in range(OTHERS)]
        self.after_SQ[number, : len(own)] = own
        self.after_SQ[number, self.own :] = others
        self._nearer[number] = np.array(automaton.tokens)[own < self.needed_S[number]]

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
        self.needed_S = np.pad(self.needed_S, (0, more))
        self.after_SQ = np.pad(self.after_SQ, ((0, more), (0, 0)))


class Allocation:
    """The `Choice` of a beam of ``width`` whose hypotheses meet the constraints of ``automata``, one a sentence.
    ``kind_V``: which kind of other token each token is, as `Automaton.after_other` counts them."""

    def __init__(self, automata: Sequence[Automaton], kind_V: Tensor, width: int) -> None:
        self._table = _Table(automata)
        self._width = width
        device = kind_V.device
        self._column_NV = (self._table.own + kind_V).to(torch.int32).repeat(len(automata), 1)
        for row, one in zip(self._column_NV, automata, strict=True):
            row[list(one.tokens)] = torch.arange(len(one.tokens), dtype=torch.int32, device=device)
        self._state_NK = torch.arange(len(automata), device=device)[:, None]

    @property
    def states(self) -> int:
        """How many states have been met so far, of all sentences."""
        return len(self._table)

    def keep(self, sentences: Tensor) -> None:
        self._column_NV, self._state_NK = (x.index_select(0, sentences) for x in (self._column_NV, self._state_NK))

    def choose(self, logits: Logits, log_prob_NK: Tensor, limits: Limits, step: int) -> Chosen:
        (sentences, width), device = log_prob_NK.shape, log_prob_NK.device
        self._table.open(self._state_NK[log_prob_NK > IMPOSSIBLE].tolist())
        states = self._state_NK.flatten().tolist()
        nearer_RA = torch.from_numpy(self._table.nearer(states)).to(device)
        of_rows = limits.of(torch.arange(sentences, device=device).repeat_interleave(width))
        # One more than the width: one may be the end of a hypothesis that must not end.
        found = continuations_of_each(logits, log_prob_NK.flatten(), self._width + 1, nearer_RA, of_rows, step)
        token_NM, log_prob_NM = (x_RM.view(sentences, -1) for x_RM in (found.token_NC, found.log_prob_NC))
        origin_RM = torch.arange(width, device=device).repeat(sentences)[:, None].expand_as(found.token_NC)
        column_NM = self._column_NV.gather(1, token_NM).long()
        after_RQ = torch.from_numpy(self._table.after_SQ[states]).to(device)
        needed_NM = after_RQ.gather(1, column_NM.view(len(states), -1)).view_as(token_NM).long()
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
        whole = (origin_RM.reshape(sentences, -1), token_NM, column_NM, needed_NM)
        origin_NM, token_NM, column_NM, needed_NM = (nn.functional.pad(x_NM, room) for x_NM in whole)
        finished_NM, live_NK = self._allotted(log_prob_NM, needed_NM, token_NM == limits.eos)
        before_NK, column_NK = self._state_NK.gather(1, origin_NM.gather(1, live_NK)), column_NM.gather(1, live_NK)
        followed = self._table.follow(before_NK.flatten().tolist(), column_NK.flatten().tolist())
        self._state_NK = torch.tensor(followed, device=device).view_as(live_NK)
        return Chosen(Continuations(log_prob_NM, origin_NM, token_NM), finished_NM, live_NK)

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
