"""Search: greedy, sampling and beam, over many sentences at once. Knows a model only through ``step``.

N sentences still searched, K hypotheses each, R = N x K rows, V vocabulary, S source positions. A sentence
leaves the batch when its search has ended.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

IMPOSSIBLE = float("-inf")


class Step(NamedTuple):
    """What a model says of the next token: logits, which are log-probabilities but for ``log_total_R``, and where it
    looked (``centre_R`` of a local window).

    A search needs few of the log-probabilities: the subtraction is left to it.
    """

    logits_RV: Tensor
    log_total_R: Tensor
    weights_RS: Tensor
    centre_R: Tensor | None


class SearchState(Protocol):
    """A model in the middle of R target sentences."""

    def step(self, tokens_R: Tensor) -> tuple[Step, Self]:
        """Read one token a row: what comes next, and the state after it."""
        ...

    def reorder(self, rows_R: Tensor) -> Self:
        """Rows of the same sentences in another order."""
        ...

    def select(self, rows_R: Tensor) -> Self:
        """Some of the rows, any number of times."""
        ...


@dataclass(frozen=True)
class Limits:
    """Ends and bounds of a search. ``min_length`` and ``max_length_N`` count pieces without ``</s>``."""

    bos: int
    eos: int
    banned: tuple[int, ...]
    min_length: int
    max_length_N: Tensor

    def candidates(self, step: Step, count: int, index: int, max_length_R: Tensor) -> Candidates:
        """The ``count`` likeliest of the tokens that may come at the step of that ``index``; the likeliest that may not
        are among them as well, at minus infinity."""
        vocabulary = step.logits_RV.shape[1]
        logits_RC, tokens_RC = step.logits_RV.topk(min(count + len(self.banned) + 1, vocabulary), -1)
        forbidden_RC = torch.zeros_like(tokens_RC, dtype=torch.bool)
        for token in (*self.banned, *((self.eos,) if index < self.min_length else ())):
            forbidden_RC |= tokens_RC == token
        at_limit_R = index >= max_length_R
        forbidden_RC |= at_limit_R[:, None]
        logits_RC = logits_RC.to(step.log_total_R.dtype).masked_fill(forbidden_RC, IMPOSSIBLE)
        # At the limit there is the end alone, in the first place.
        tokens_RC[:, 0].masked_fill_(at_limit_R, self.eos)
        logits_RC[:, 0] = torch.where(at_limit_R, step.logits_RV[:, self.eos].to(logits_RC.dtype), logits_RC[:, 0])
        return Candidates(logits_RC - step.log_total_R[:, None], tokens_RC)


class Candidates(NamedTuple):
    """Tokens that a row may go on with, and their log-probabilities; minus infinity where one may not come."""

    log_probs_RC: Tensor
    tokens_RC: Tensor


class Found(NamedTuple):
    """A finished hypothesis: ``tokens`` without ``</s>``; ``rows``, its row in each step of ``Traces``."""

    tokens: list[int]
    log_prob: float
    score: float
    rows: list[int]


class Result(NamedTuple):
    """For each sentence its hypotheses, best first, and the attention of every step and row of the search."""

    hypotheses: list[list[Found]]
    traces: list[Step]

    def attention(self, found: Found) -> tuple[Tensor, Tensor | None]:
        """Weights (T x S, a row for ``</s>`` included) and window centres (T, or None) of a hypothesis."""
        steps = list(zip(self.traces, found.rows, strict=False))
        weights_TS = torch.stack([trace.weights_RS[row] for trace, row in steps])
        centres = [trace.centre_R[row] for trace, row in steps if trace.centre_R is not None]
        return weights_TS, torch.stack(centres) if centres else None


Number = TypeVar("Number", float, Tensor)


def length_normalised(log_prob: Number, length: int, alpha: float) -> Number:
    """log p(y) / |y|^alpha, |y| counting ``</s>`` (Wu et al. 2016, 7, without their offset of 5)."""
    return log_prob / float(length**alpha)


def greedy(state: SearchState, limits: Limits, alpha: float) -> Result:
    """The likeliest token at every step; one row a sentence."""
    return _one_row_each(state, limits, alpha, 1, lambda log_probs_NC, _: log_probs_NC.argmax(-1))


def sample(
    state: SearchState,
    limits: Limits,
    alpha: float,
    temperature: float,
    top_k: int,
    generators: Sequence[np.random.Generator],
) -> Result:
    """A token drawn at every step from p^(1/temperature), among the ``top_k`` likeliest where that is not 0; each
    sentence's from a generator of its own."""

    def draw(log_probs_NC: Tensor, ids_N: Tensor) -> Tensor:
        if top_k:
            least = log_probs_NC.topk(min(top_k, log_probs_NC.shape[-1]), -1).values[:, -1:]
            log_probs_NC = log_probs_NC.masked_fill(log_probs_NC < least, IMPOSSIBLE)
        # The candidate at which the sum of the probabilities passes a number drawn evenly from 0 to 1.
        sums_NC = (log_probs_NC.cpu().double() / temperature).softmax(-1).cumsum(-1)
        drawn_N = torch.tensor([generators[sentence].random() for sentence in ids_N.tolist()], dtype=torch.float64)
        chosen_N1 = torch.searchsorted(sums_NC, drawn_N[:, None] * sums_NC[:, -1:], right=True)
        return chosen_N1.squeeze(1).to(log_probs_NC.device)

    return _one_row_each(state, limits, alpha, top_k or sys.maxsize, draw)


def _one_row_each(
    state: SearchState, limits: Limits, alpha: float, count: int, choose: Callable[[Tensor, Tensor], Tensor]
) -> Result:
    """One token after another for each sentence, which ``choose`` picks from the ``count`` likeliest."""
    sentences = len(limits.max_length_N)
    max_length_N = limits.max_length_N
    ids_N = torch.arange(sentences, device=max_length_N.device)
    tokens_N = torch.full_like(ids_N, limits.bos)
    log_prob_N = torch.zeros(sentences, device=ids_N.device)
    history: list[tuple[Tensor, Tensor]] = []
    traces: list[Step] = []
    ends: list[float] = [0.0] * sentences
    while len(ids_N):
        step, state = state.step(tokens_N)
        log_probs_NC, tokens_NC = limits.candidates(step, count, len(traces), max_length_N)
        chosen_N1 = choose(log_probs_NC, ids_N)[:, None]
        tokens_N = tokens_NC.gather(1, chosen_N1).squeeze(1)
        log_prob_N = log_prob_N + log_probs_NC.gather(1, chosen_N1).squeeze(1)
        traces.append(_without_logits(step))
        history.append((ids_N, tokens_N))
        ended_N = tokens_N == limits.eos
        if bool(ended_N.any()):
            for sentence, log_prob in zip(ids_N[ended_N].tolist(), log_prob_N[ended_N].tolist(), strict=True):
                ends[sentence] = log_prob
            rows = (~ended_N).nonzero().squeeze(1)
            state = state.select(rows)
            ids_N, tokens_N, log_prob_N, max_length_N = (x[rows] for x in (ids_N, tokens_N, log_prob_N, max_length_N))
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
    """The live hypotheses of N sentences and the best K finished ones; ``history_NKT`` and ``rows_NKT`` hold
    each one's tokens and its row at each step so far."""

    ids_N: Tensor
    max_length_N: Tensor
    log_prob_NK: Tensor
    history_NKT: Tensor
    rows_NKT: Tensor
    done_log_prob_NK: Tensor
    done_score_NK: Tensor
    done_history_NKT: Tensor
    done_rows_NKT: Tensor
    done_count_N: Tensor

    @classmethod
    def start(cls, max_length_N: Tensor, beam: int) -> _Beams:
        sentences, device = len(max_length_N), max_length_N.device
        longest = int(max_length_N.max()) + 1
        none = torch.full((sentences, beam), IMPOSSIBLE, device=device)
        first = none.clone()
        first[:, 0] = 0
        empty = torch.full((sentences, beam, longest), -1, device=device)
        count = torch.zeros(sentences, dtype=torch.long, device=device)
        ids_N = torch.arange(sentences, device=device)
        return cls(
            ids_N, max_length_N, first, empty, empty.clone(), none, none.clone(), empty.clone(), empty.clone(), count
        )

    def finish(self, log_prob_NC: Tensor, score_NC: Tensor, history_NCT: Tensor, rows_NCT: Tensor) -> None:
        """Keep the best K of the finished hypotheses and these C candidates (minus infinity: not finished)."""
        beam = self.done_score_NK.shape[1]
        self.done_count_N = self.done_count_N + (score_NC > IMPOSSIBLE).sum(1)
        self.done_score_NK, chosen_NK = torch.cat([self.done_score_NK, score_NC], 1).topk(beam, 1)
        self.done_log_prob_NK = torch.cat([self.done_log_prob_NK, log_prob_NC], 1).gather(1, chosen_NK)
        self.done_history_NKT = _pick(torch.cat([self.done_history_NKT, history_NCT], 1), chosen_NK)
        self.done_rows_NKT = _pick(torch.cat([self.done_rows_NKT, rows_NCT], 1), chosen_NK)

    def keep(self, sentences: Tensor) -> None:
        """Go on with these sentences only."""
        for name, value in vars(self).items():
            setattr(self, name, value.index_select(0, sentences))

    def found(self, sentence: int, eos: int) -> list[Found]:
        """The finished hypotheses of a sentence, best first."""
        result = []
        fields = (self.done_history_NKT, self.done_rows_NKT, self.done_log_prob_NK, self.done_score_NK)
        for tokens, rows, log_prob, score in zip(*(field[sentence].tolist() for field in fields), strict=True):
            if score > IMPOSSIBLE:
                end = tokens.index(eos)
                result.append(Found(tokens[:end], log_prob, score, rows[: end + 1]))
        return result


def beam(state: SearchState, limits: Limits, alpha: float, width: int) -> Result:
    """Beam search with ``width`` live hypotheses a sentence (Sutskever, Vinyals & Le 2014, 3.2).

    ``state`` has one row a sentence. At each step the 2K best continuations are looked at: those among the
    first K that end the sentence are finished, the K best that do not live on. A sentence is done when K
    hypotheses have finished, or at its length limit. Finished ones are ranked by ``length_normalised``.
    """
    beams = _Beams.start(limits.max_length_N, width)
    state = state.select(beams.ids_N.repeat_interleave(width))
    tokens_R = torch.full((len(beams.ids_N) * width,), limits.bos, device=beams.ids_N.device)
    traces: list[Step] = []
    results: list[list[Found]] = [[] for _ in beams.ids_N]
    while len(beams.ids_N):
        step, state = state.step(tokens_R)
        rows_NK = _extend(beams, step, limits, alpha, len(traces))
        traces.append(_without_logits(step))
        over_N = (beams.done_count_N >= width) | (len(traces) > beams.max_length_N)
        if bool(over_N.any()):
            for n in over_N.nonzero().squeeze(1).tolist():
                results[int(beams.ids_N[n])] = beams.found(n, limits.eos)
            going = (~over_N).nonzero().squeeze(1)
            beams.keep(going)
            state = state.select(rows_NK[going].reshape(-1))
        else:
            state = state.reorder(rows_NK.reshape(-1))
        tokens_R = beams.history_NKT[:, :, len(traces) - 1].reshape(-1)
    return Result(results, traces)


def _extend(beams: _Beams, step: Step, limits: Limits, alpha: float, index: int) -> Tensor:
    """One step of every hypothesis; returns the row that each live one continues, N x K."""
    sentences, width = beams.log_prob_NK.shape
    max_length_R = beams.max_length_N.repeat_interleave(width)
    log_probs_RC, tokens_RC = limits.candidates(step, 2 * width, index, max_length_R)
    total_NM = (log_probs_RC.view(sentences, width, -1) + beams.log_prob_NK[..., None]).flatten(1)
    best_NC, flat_NC = total_NM.topk(min(2 * width, total_NM.shape[1]), 1)
    origin_NC = flat_NC // log_probs_RC.shape[1]
    token_NC = tokens_RC.view(sentences, -1).gather(1, flat_NC)
    first_N1 = torch.arange(sentences, device=best_NC.device)[:, None] * width
    history_NCT, rows_NCT = _pick(beams.history_NKT, origin_NC), _pick(beams.rows_NKT, origin_NC)
    history_NCT[:, :, index] = token_NC
    rows_NCT[:, :, index] = origin_NC + first_N1

    ends_NC = token_NC == limits.eos
    ended_NK = best_NC[:, :width].masked_fill(~ends_NC[:, :width], IMPOSSIBLE)
    if bool((ended_NK > IMPOSSIBLE).any()):
        score_NK = length_normalised(ended_NK, index + 1, alpha)
        beams.finish(ended_NK, score_NK, history_NCT[:, :width], rows_NCT[:, :width])

    # Stable: the ones that live on stay in the order of their scores.
    live_NK = ends_NC.to(torch.int8).argsort(dim=1, stable=True)[:, :width]
    beams.log_prob_NK = best_NC.masked_fill(ends_NC, IMPOSSIBLE).gather(1, live_NK)
    beams.history_NKT, beams.rows_NKT = _pick(history_NCT, live_NK), _pick(rows_NCT, live_NK)
    return origin_NC.gather(1, live_NK) + first_N1


def _pick(x_NCT: Tensor, chosen_NK: Tensor) -> Tensor:
    return x_NCT.gather(1, chosen_NK[..., None].expand(-1, -1, x_NCT.shape[2]))


def _without_logits(step: Step) -> Step:
    return step._replace(logits_RV=step.logits_RV.new_empty(0))
