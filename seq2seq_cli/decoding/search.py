"""Search: greedy, sampling and beam, over many sentences at once. Knows a model only through ``step``.

N sentences still searched, K hypotheses each, R = N x K rows, V vocabulary, S source positions. A sentence
leaves the batch when its search has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq_cli.config.sections import LONGEST_TRANSLATION
from seq2seq_cli.decoding.likeliest import IMPOSSIBLE, Limits, Logits, continuations, row_slices
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

    def select(self, sentences_N: Tensor, rows_R: Tensor) -> Self:
        """The state of some of the sentences alone. Each has the same number of rows, one after another."""
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
ROOM = 64
"""For how many steps a search makes room at first."""


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
    return _one_row_each(state, limits, alpha, _among(1, lambda _, ids_N: torch.zeros_like(ids_N)))


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
            rows = (~ended_N).nonzero().squeeze(1)
            state, limits = state.select(rows, rows), limits.of(rows)
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


@dataclass
class _Beams:
    """The live hypotheses of N sentences (one each before the first step, then K), and the best K finished ones of
    each. ``history_NKT`` and ``rows_NKT`` hold the tokens of each live hypothesis and its row at each step, with room
    for some more steps. ``done_value_NK`` is what ``Ranking`` ranks finished ones by."""

    ids_N: Tensor
    log_prob_NK: Tensor
    history_NKT: Tensor
    rows_NKT: Tensor
    done_log_prob_NK: Tensor
    done_value_NK: Tensor
    done_history_NKT: Tensor
    done_rows_NKT: Tensor
    done_count_N: Tensor

    @classmethod
    def start(cls, max_length_N: Tensor, beam: int) -> _Beams:
        sentences, device = len(max_length_N), max_length_N.device
        longest = min(int(max_length_N.max()) + 1, ROOM)
        none = torch.full((sentences, beam), IMPOSSIBLE, device=device)
        empty = torch.full((sentences, beam, longest), -1, device=device)
        count = torch.zeros(sentences, dtype=torch.long, device=device)
        ids_N = torch.arange(sentences, device=device)
        first_N1, start_N1T = torch.zeros(sentences, 1, device=device), empty[:, :1]
        return cls(ids_N, first_N1, start_N1T, start_N1T, none, none.clone(), empty, empty.clone(), count)

    def make_room(self, index: int) -> None:
        """Make room for the step ``index``, and some more. Not for all steps at once: with a limit of thousands of
        pieces, every step would then cost as much as in translations of that length."""
        steps = self.history_NKT.shape[2]
        if index >= steps:
            for name in ("history_NKT", "rows_NKT", "done_history_NKT", "done_rows_NKT"):
                setattr(self, name, nn.functional.pad(getattr(self, name), (0, steps), value=-1))

    def finish(self, log_prob_NC: Tensor, value_NC: Tensor, history_NCT: Tensor, rows_NCT: Tensor) -> None:
        """Keep the best K of the finished hypotheses and these C continuations (minus infinity: not finished)."""
        beam = self.done_value_NK.shape[1]
        self.done_count_N = self.done_count_N + (value_NC > IMPOSSIBLE).sum(1)
        self.done_value_NK, chosen_NK = torch.cat([self.done_value_NK, value_NC], 1).topk(beam, 1)
        self.done_log_prob_NK = torch.cat([self.done_log_prob_NK, log_prob_NC], 1).gather(1, chosen_NK)
        self.done_history_NKT = _chosen(torch.cat([self.done_history_NKT, history_NCT], 1), chosen_NK)
        self.done_rows_NKT = _chosen(torch.cat([self.done_rows_NKT, rows_NCT], 1), chosen_NK)

    def keep(self, sentences: Tensor) -> None:
        """Go on with these sentences only."""
        for name, value in vars(self).items():
            setattr(self, name, value.index_select(0, sentences))

    def found(self, sentence: int, eos: int, ranking: Ranking) -> list[Found]:
        """The finished hypotheses of a sentence, best first."""
        result = []
        fields = (self.done_history_NKT, self.done_rows_NKT, self.done_log_prob_NK, self.done_value_NK)
        for tokens, rows, log_prob, value in zip(*(field[sentence].tolist() for field in fields), strict=True):
            if value > IMPOSSIBLE:
                end = tokens.index(eos)
                result.append(Found(tokens[:end], log_prob, ranking.score(value), rows[: end + 1]))
        return result


def beam(state: SearchState, limits: Limits, alpha: float, width: int) -> Result:
    """Beam search with ``width`` live hypotheses a sentence (Sutskever, Vinyals & Le 2014, 3.2).

    ``state`` has one row a sentence. With K = ``width``, each step considers the 2K best continuations: those among the
    first K that end the sentence are finished, and the K best of those that do not end it live on. A sentence is done
    when K hypotheses have finished, or at its length limit. Finished ones are ranked by ``length_normalised``.
    """
    ranking = Ranking(alpha)
    beams = _Beams.start(limits.max_length_N, width)
    tokens_R = torch.full_like(beams.ids_N, limits.bos)
    traces: list[Trace] = []
    results: list[list[Found]] = [[] for _ in beams.ids_N]
    while len(beams.ids_N):
        step, state = state.step(tokens_R)
        rows_NK = _extend(beams, width, step.logits, limits, ranking, len(traces))
        traces.append(step.trace)
        over_N = (beams.done_count_N >= width) | (len(traces) > limits.max_length_N)
        if len(traces) == 1 or bool(over_N.any()):
            for n in over_N.nonzero().squeeze(1).tolist():
                results[int(beams.ids_N[n])] = beams.found(n, limits.eos, ranking)
            going = (~over_N).nonzero().squeeze(1)
            beams.keep(going)
            state, limits = state.select(going, rows_NK[going].flatten()), limits.of(going)
        else:
            state = state.reorder(rows_NK.reshape(-1))
        tokens_R = beams.history_NKT[:, :, len(traces) - 1].reshape(-1)
    return Result(results, traces)


def _extend(beams: _Beams, width: int, logits: Logits, limits: Limits, ranking: Ranking, index: int) -> Tensor:
    """Take one step with every hypothesis. Returns, N x K, the row of the hypothesis that each new live one
    continues."""
    beams.make_room(index)
    sentences, rows_each = beams.log_prob_NK.shape
    found = continuations(logits, beams.log_prob_NK, 2 * width, limits, index)
    # The only hypothesis before the first step may have fewer continuations than that.
    room = (0, 2 * width - found.log_prob_NC.shape[1])
    best_NC = nn.functional.pad(found.log_prob_NC, room, value=IMPOSSIBLE)
    origin_NC, token_NC = (nn.functional.pad(x_NC, room) for x_NC in (found.origin_NC, found.token_NC))
    first_N1 = torch.arange(sentences, device=best_NC.device)[:, None] * rows_each
    history_NCT, rows_NCT = _chosen(beams.history_NKT, origin_NC), _chosen(beams.rows_NKT, origin_NC)
    history_NCT[:, :, index] = token_NC
    rows_NCT[:, :, index] = origin_NC + first_N1

    ends_NC = token_NC == limits.eos
    ended_NK = best_NC[:, :width].masked_fill(~ends_NC[:, :width], IMPOSSIBLE)
    if bool((ended_NK > IMPOSSIBLE).any()):
        value_NK = ranking.value(ended_NK, index + 1)
        beams.finish(ended_NK, value_NK, history_NCT[:, :width], rows_NCT[:, :width])

    # Stable: the ones that live on stay in the order of their scores.
    live_NK = ends_NC.to(torch.int8).argsort(dim=1, stable=True)[:, :width]
    beams.log_prob_NK = best_NC.masked_fill(ends_NC, IMPOSSIBLE).gather(1, live_NK)
    beams.history_NKT, beams.rows_NKT = _chosen(history_NCT, live_NK), _chosen(rows_NCT, live_NK)
    return origin_NC.gather(1, live_NK) + first_N1


def _chosen(x_NCT: Tensor, chosen_NK: Tensor) -> Tensor:
    return x_NCT.gather(1, chosen_NK[..., None].expand(-1, -1, x_NCT.shape[2]))
