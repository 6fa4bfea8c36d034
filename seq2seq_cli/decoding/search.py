"""Search: greedy, sampling and beam, over many sentences at once. Knows a model only through ``step``.

N sentences still searched, K hypotheses each, R = N x K rows, V vocabulary, S source positions. A sentence
leaves the batch when its search has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq_cli.config.sections import LONGEST_TRANSLATION
from seq2seq_cli.decoding.likeliest import (
    IMPOSSIBLE,
    Continuations,
    Limits,
    Logits,
    continuations,
    likeliest_of_each,
    row_slices,
)
from seq2seq_cli.model.carry import Kept, Rows
from seq2seq_cli.model.products import precise


class Trace(NamedTuple):
    """Where the rows of a step looked, ``weights_RS``, and ``centre_R``, the centre of a local window."""

    weights_RS: Tensor
    centre_R: Tensor | None


class Step(NamedTuple):
    """What a model says of the next token: the logits, and where it looked."""

    logits: Logits
    trace: Trace


class SearchState(Protocol):
    """A model in the middle of R target sentences."""

    def step(self, tokens_R: Tensor) -> tuple[Step, Self]:
        """Read one token a row; returns what is said of the next token, and the state after it."""
        ...

    def reorder(self, rows_R: Tensor) -> Self:
        """The state with its rows in another order; each sentence keeps its own."""
        ...

    def select(self, sentences: Rows, rows: Rows) -> Self:
        """The state of some of the sentences alone. Each has the same number of rows, one after another. The state that
        they are selected of is not used again."""
        ...


class Found(NamedTuple):
    """A finished hypothesis: its ``tokens`` without ``</s>``, and in ``rows`` the row of the search that it had at each
    step."""

    tokens: list[int]
    log_prob: float
    score: float
    rows: list[int]


@dataclass(frozen=True)
class Result:
    """The hypotheses of each sentence, best first, and where all rows looked at each step."""

    hypotheses: list[list[Found]]
    traces: list[Trace]

    def renamed(self, tokens_C: Tensor) -> Self:
        """The same with the tokens that those of the search are numbers of."""
        names = tokens_C.tolist()
        hypotheses = [
            [one._replace(tokens=[names[token] for token in one.tokens]) for one in n] for n in self.hypotheses
        ]
        return replace(self, hypotheses=hypotheses)

    def attention(self, found: Found) -> Trace:
        """The weights of a hypothesis, T x S, and the centres of its windows, T; the step of ``</s>`` is included."""
        (weights_NS, centre_N), starts = self._joined
        rows_T = torch.tensor([start + row for start, row in zip(starts, found.rows, strict=False)])
        return Trace(weights_NS[rows_T], None if centre_N is None else centre_N[rows_T])

    @cached_property
    def _joined(self) -> tuple[Trace, list[int]]:
        """The rows of all steps one after another, and the index at which each step begins. Joined only when first
        asked for."""
        centres = [trace.centre_R for trace in self.traces if trace.centre_R is not None]
        whole = Trace(torch.cat([trace.weights_RS for trace in self.traces]), torch.cat(centres) if centres else None)
        return whole, list(accumulate((len(trace.weights_RS) for trace in self.traces[:-1]), initial=0))


Number = TypeVar("Number", float, Tensor)


def length_normalised(log_prob: Number, length: int, alpha: float) -> Number:
    """log p(y) / |y|^alpha, where |y| counts ``</s>`` (Wu et al. 2016, 7, without their offset of 5). Where |y|^alpha
    overflows, the score is as near to zero as a number can be."""
    if alpha <= PLAIN_ALPHA:
        return log_prob / float(length**alpha)
    half = float(length ** (alpha / 2))  # whose square may be larger than any number
    return log_prob / half / half


PLAIN_ALPHA = 6.0
"""Up to this alpha, |y|^alpha is at most 1e30. Single precision holds that, and scores that are so much smaller than
log p."""
UNIT = LONGEST_TRANSLATION**0.5


@dataclass(frozen=True)
class Ranking:
    """Ranks hypotheses by ``length_normalised``, whatever alpha is.

    With a large alpha, single precision would not do: all scores would be 0 or NaN. Then lengths are counted in
    ``UNIT`` pieces and scores computed in double precision, which holds the results for every possible length.
    """

    alpha: float

    @property
    def _unit(self) -> float:
        return 1.0 if self.alpha <= PLAIN_ALPHA else UNIT

    def value(self, log_prob: Tensor, length: int) -> Tensor:
        """What hypotheses are ranked by: the score, or a constant multiple of it. Never NaN, and minus infinity only
        where ``log_prob`` is."""
        if self._unit == 1:
            return length_normalised(log_prob, length, self.alpha)
        divisor = float((length / self._unit) ** self.alpha)
        # Apple's GPUs have no double precision: there, scores that differ may be tied.
        if log_prob.device.type == "mps":
            return log_prob / min(max(divisor, 1e-30), 1e30)
        return log_prob.double() / divisor

    def score(self, value: float) -> float:
        """The score of a hypothesis with this ``value``."""
        return value / float(self._unit**self.alpha)


def greedy(state: SearchState, limits: Limits, alpha: float) -> Result:
    """The likeliest token at every step; one row a sentence."""

    def choose(logits: Logits, log_prob_N: Tensor, limits: Limits, step: int, ids_N: Tensor) -> tuple[Tensor, Tensor]:
        return likeliest_of_each(logits, log_prob_N, limits, step)

    return _one_row_each(state, limits, alpha, choose)


def sample(
    state: SearchState,
    limits: Limits,
    alpha: float,
    temperature: float,
    top_k: int,
    generators: Sequence[np.random.Generator],
) -> Result:
    """Draw a token at every step from p^(1/temperature), among the ``top_k`` likeliest (0: among all). Each sentence
    has its own random generator."""

    def uniform(ids_N: Tensor) -> Tensor:
        return torch.tensor([generators[sentence].random() for sentence in ids_N.tolist()], dtype=torch.float64)

    def draw(log_probs_NC: Tensor, ids_N: Tensor) -> Tensor:
        return inverse_cdf((log_probs_NC / temperature).softmax(-1), uniform(ids_N))

    choose = _among(top_k, draw) if top_k else _among_all(temperature, uniform)
    return _one_row_each(state, limits, alpha, choose)


def explore(state: SearchState, limits: Limits, greedy_N: Tensor) -> Result:
    """Draw a token at every step from the whole distribution, by torch's own random numbers; where ``greedy_N`` is
    True, take the likeliest token instead."""

    def uniform(ids_N: Tensor) -> Tensor:
        return torch.rand(len(ids_N), dtype=torch.float64)

    return _one_row_each(state, limits, 0.0, _among_all(1.0, uniform, greedy_N))


Choose = Callable[[Logits, Tensor, Limits, int, Tensor], tuple[Tensor, Tensor]]
"""Chooses the next token of each sentence, given the logits, the log_prob_N of the hypotheses so far, the limits, the
number of the step and the ids_N of the sentences. Returns the tokens, and the log-probabilities that include them."""


def _among(count: int, pick: Callable[[Tensor, Tensor], Tensor]) -> Choose:
    """``pick`` chooses one of the ``count`` likeliest tokens, given their log_probs_NC and the ids_N of the
    sentences."""

    def choose(logits: Logits, log_prob_N: Tensor, limits: Limits, step: int, ids_N: Tensor) -> tuple[Tensor, Tensor]:
        found = continuations(logits, log_prob_N[:, None], count, limits, step)
        chosen_N1 = pick(found.log_prob_NC, ids_N)[:, None]
        return found.token_NC.gather(1, chosen_N1).squeeze(1), found.log_prob_NC.gather(1, chosen_N1).squeeze(1)

    return choose


def _among_all(temperature: float, uniform: Callable[[Tensor], Tensor], greedy_N: Tensor | None = None) -> Choose:
    """A token is drawn from the whole vocabulary, which is not sorted: sorting it for each sentence took three quarters
    of the time."""

    def choose(logits: Logits, log_prob_N: Tensor, limits: Limits, step: int, ids_N: Tensor) -> tuple[Tensor, Tensor]:
        drawn_N = uniform(ids_N)
        tokens, log_probs = [], []
        for rows in row_slices(len(ids_N), 1, ids_N.device):
            log_probs_RV = precise(logits(rows)).log_softmax(-1)
            allowed_RV = log_probs_RV.clone()
            allowed_RV[:, list(limits.banned_at(step))] = IMPOSSIBLE
            token_R = inverse_cdf((allowed_RV / temperature).softmax(-1), drawn_N[rows])
            if greedy_N is not None:
                token_R = torch.where(greedy_N[ids_N[rows]], allowed_RV.argmax(-1), token_R)
            token_R = token_R.masked_fill(step >= limits.max_length_N[rows], limits.eos)
            tokens.append(token_R)
            log_probs.append(log_prob_N[rows] + log_probs_RV.gather(1, token_R[:, None]).squeeze(1))
        return torch.cat(tokens), torch.cat(log_probs)

    return choose


def inverse_cdf(p_NC: Tensor, drawn_N: Tensor) -> Tensor:
    """For each row, the token at which the cumulative probability exceeds ``drawn_N``, numbers drawn uniformly from [0,
    1)."""
    # Apple's GPUs have no double precision.
    place = torch.device("cpu") if p_NC.device.type == "mps" else p_NC.device
    sums_NC = p_NC.to(place).double().cumsum(-1)
    chosen_N1 = torch.searchsorted(sums_NC, drawn_N.to(place)[:, None] * sums_NC[:, -1:], right=True)
    # The index is past the end where a product is rounded up, or where probabilities are NaN.
    return chosen_N1.squeeze(1).clamp(max=p_NC.shape[1] - 1).to(p_NC.device)


def _one_row_each(state: SearchState, limits: Limits, alpha: float, choose: Choose) -> Result:
    """Continue each sentence by one token after another, as ``choose`` takes them."""
    sentences = len(limits.max_length_N)
    ids_N = torch.arange(sentences, device=limits.max_length_N.device)
    tokens_N = torch.full_like(ids_N, limits.bos)
    log_prob_N = torch.zeros(sentences, device=ids_N.device)
    history: list[tuple[Tensor, Tensor]] = []
    traces: list[Trace] = []
    ends: list[float] = [0.0] * sentences
    while len(ids_N):
        step, state = state.step(tokens_N)
        tokens_N, log_prob_N = choose(step.logits, log_prob_N, limits, len(traces), ids_N)
        traces.append(step.trace)
        history.append((ids_N, tokens_N))
        ended_N = tokens_N == limits.eos
        if bool(ended_N.any()):
            for sentence, log_prob in zip(ids_N[ended_N].tolist(), log_prob_N[ended_N].tolist(), strict=True):
                ends[sentence] = log_prob
            kept = Kept.of(~ended_N)
            rows = kept.rows
            state, limits = state.select(kept, kept), limits.of(rows)
            ids_N, tokens_N, log_prob_N = (x[rows] for x in (ids_N, tokens_N, log_prob_N))
    return Result(_read_back(history, ends, limits.eos, alpha), traces)


def _read_back(
    history: list[tuple[Tensor, Tensor]], log_probs: list[float], eos: int, alpha: float
) -> list[list[Found]]:
    tokens: list[list[int]] = [[] for _ in log_probs]
    rows: list[list[int]] = [[] for _ in log_probs]
    for ids_N, tokens_N in history:
        for row, (sentence, token) in enumerate(zip(ids_N.tolist(), tokens_N.tolist(), strict=True)):
            rows[sentence].append(row)
            if token != eos:
                tokens[sentence].append(token)
    return [
        [Found(tokens[i], log_prob, length_normalised(log_prob, len(rows[i]), alpha), rows[i])]
        for i, log_prob in enumerate(log_probs)
    ]


class _Taken(NamedTuple):
    """What a step led to: the token of each live hypothesis, and the row of the one that it continues."""

    token_NK: Tensor
    parent_NK: Tensor

    def of(self, sentences: Tensor) -> Self:
        """The hypotheses of some of the sentences."""
        return type(self)(*(x_NK.index_select(0, sentences) for x_NK in self))


class _Ended(NamedTuple):
    """A finished hypothesis: what ``Ranking`` ranks it by, and the step and the row that it ended at."""

    value: float
    log_prob: float
    step: int
    row: int


@dataclass
class _Beams:
    """The live hypotheses of N sentences (one each before the first step, then K), how many have finished, and what has
    finished of every sentence, searched or done. No hypothesis is kept written out: ``taken``, an entry a step, leads
    from its last row back to its first."""

    ids_N: Tensor
    log_prob_NK: Tensor
    count_N: Tensor
    ended: list[list[_Ended]]
    taken: list[_Taken]

    @classmethod
    def start(cls, sentences: int, device: torch.device) -> _Beams:
        ids_N = torch.arange(sentences, device=device)
        first_N1 = torch.zeros(sentences, 1, device=device)
        return cls(ids_N, first_N1, torch.zeros_like(ids_N), [[] for _ in range(sentences)], [])

    def finish(self, ended_NK: Tensor, log_prob_NK: Tensor, row_NK: Tensor, ranking: Ranking) -> None:
        """Keep those continuations that have ``ended``: their log-probabilities, and the rows that they continue."""
        if not bool(ended_NK.any()):
            return
        self.count_N = self.count_N + ended_NK.sum(1)
        step, log_prob_M = len(self.taken), log_prob_NK[ended_NK]
        id_M = self.ids_N[ended_NK.nonzero()[:, 0]]
        fields = (id_M, ranking.value(log_prob_M, step + 1), log_prob_M, row_NK[ended_NK])
        for sentence, value, log_prob, row in zip(*(field.tolist() for field in fields), strict=True):
            self.ended[sentence].append(_Ended(value, log_prob, step, row))

    def keep(self, sentences: Tensor) -> None:
        """Go on with these sentences only."""
        self.ids_N, self.log_prob_NK, self.count_N = (
            x.index_select(0, sentences) for x in (self.ids_N, self.log_prob_NK, self.count_N)
        )

    def found(self, width: int, ranking: Ranking) -> list[list[Found]]:
        """The ``width`` best finished hypotheses of each sentence, best first."""
        steps = [tuple(x_NK.flatten().tolist() for x_NK in taken) for taken in self.taken]

        def written_out(one: _Ended) -> Found:
            tokens, rows = list[int](), [one.row]
            for token_R, parent_R in reversed(steps[: one.step]):
                tokens.append(token_R[rows[-1]])
                rows.append(parent_R[rows[-1]])
            return Found(tokens[::-1], one.log_prob, ranking.score(one.value), rows[::-1])

        ranked = (sorted(ended, key=lambda one: one.value, reverse=True)[:width] for ended in self.ended)
        return [[written_out(one) for one in ended] for ended in ranked]


class Chosen(NamedTuple):
    """What becomes of the ways to go on that a step has ``found``: which of them are finished hypotheses, and the numbers of
    the K that live on."""

    found: Continuations
    finished_NC: Tensor
    live_NK: Tensor


class Choice(Protocol):
    """Finds the ways to go on of every sentence in a beam, and chooses among them."""

    def choose(self, logits: Logits, log_prob_NK: Tensor, limits: Limits, step: int) -> Chosen:
        """What is taken up, given what the model says of the next token, and the log-probabilities of the hypotheses so
        far."""
        ...

    def keep(self, sentences: Tensor) -> None:
        """Go on with these sentences only."""
        ...


def beam(state: SearchState, limits: Limits, alpha: float, width: int, choice: Choice | None = None) -> Result:
    """Beam search with ``width`` live hypotheses a sentence (Sutskever, Vinyals & Le 2014, 3.2).

    ``state`` has one row a sentence. With K = ``width``, each step considers the 2K best continuations: those among the
    first K that end the sentence are finished, and the K best of those that do not end it live on; or what ``choice``
    chooses. A sentence is done when K hypotheses have finished, or at its length limit. Finished ones are ranked by
    ``length_normalised``.
    """
    ranking, choice = Ranking(alpha), choice or _Likeliest(width)
    beams = _Beams.start(len(limits.max_length_N), limits.max_length_N.device)
    tokens_R = torch.full_like(beams.ids_N, limits.bos)
    traces: list[Trace] = []
    while len(beams.ids_N):
        step, state = state.step(tokens_R)
        taken = _extend(beams, choice, step.logits, limits, ranking)
        traces.append(step.trace)
        over_N = (beams.count_N >= width) | (len(traces) > limits.max_length_N)
        if len(traces) == 1 or bool(over_N.any()):
            kept = Kept.of(~over_N)
            beams.keep(kept.rows)
            choice.keep(kept.rows)
            taken, limits = taken.of(kept.rows), limits.of(kept.rows)
            state = state.select(kept, taken.parent_NK.flatten())
        else:
            state = state.reorder(taken.parent_NK.flatten())
        beams.taken.append(taken)
        tokens_R = taken.token_NK.flatten()
    return Result(beams.found(width, ranking), traces)


def _extend(beams: _Beams, choice: Choice, logits: Logits, limits: Limits, ranking: Ranking) -> _Taken:
    """Take one step with every hypothesis."""
    sentences, rows_each = beams.log_prob_NK.shape
    found, finished_NC, live_NK = choice.choose(logits, beams.log_prob_NK, limits, len(beams.taken))
    row_NC = found.origin_NC + torch.arange(sentences, device=live_NK.device)[:, None] * rows_each
    beams.finish(finished_NC, found.log_prob_NC, row_NC, ranking)
    ends_NC = found.token_NC == limits.eos
    beams.log_prob_NK = found.log_prob_NC.masked_fill(ends_NC, IMPOSSIBLE).gather(1, live_NK)
    return _Taken(found.token_NC.gather(1, live_NK), row_NC.gather(1, live_NK))


class _Likeliest(NamedTuple):
    """Chooses the likeliest."""

    width: int

    def choose(self, logits: Logits, log_prob_NK: Tensor, limits: Limits, step: int) -> Chosen:
        found = continuations(logits, log_prob_NK, 2 * self.width, limits, step)
        # The only hypothesis before the first step may have fewer continuations than that.
        room = (0, 2 * self.width - found.log_prob_NC.shape[1])
        best_NC = nn.functional.pad(found.log_prob_NC, room, value=IMPOSSIBLE)
        origin_NC, token_NC = (nn.functional.pad(x_NC, room) for x_NC in (found.origin_NC, found.token_NC))
        ends_NC = token_NC == limits.eos
        first_C = torch.arange(2 * self.width, device=best_NC.device) < self.width
        # Stable: the ones that live on stay in the order of their scores.
        live_NK = ends_NC.to(torch.int8).argsort(dim=1, stable=True)[:, : self.width]
        return Chosen(Continuations(best_NC, origin_NC, token_NC), ends_NC & first_C & (best_NC > IMPOSSIBLE), live_NK)

    def keep(self, sentences: Tensor) -> None:
        """It does not know sentences apart."""
