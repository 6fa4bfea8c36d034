"""The likeliest ways to go on, found without sorting the vocabulary.

N sentences, K hypotheses each, R = N x K rows, V vocabulary, C continuations. The vocabulary is taken as G groups of
``GROUP`` tokens. The C likeliest continuations of a sentence are in those C groups whose largest logits are the largest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from seq2seq_cli.model.products import precise

GROUP = 16
ROWS = 128
IMPOSSIBLE = float("-inf")


class Continuations(NamedTuple):
    """Ways to continue a sentence, best first: the log-probability of the hypothesis so far and its next token (minus
    infinity: there is no such way), which of the sentence's K hypotheses it continues, and the token."""

    log_prob_NC: Tensor
    origin_NC: Tensor
    token_NC: Tensor


@dataclass(frozen=True)
class Limits:
    """What a search may write, and how long. ``banned`` tokens never come. ``min_length`` and ``max_length_N`` (for
    each sentence) count pieces without ``</s>``."""

    bos: int
    eos: int
    banned: tuple[int, ...]
    min_length: int
    max_length_N: Tensor

    def of(self, sentences: Tensor | slice) -> Self:
        """The limits of some of the sentences."""
        return replace(self, max_length_N=self.max_length_N[sentences])

    def banned_at(self, step: int) -> tuple[int, ...]:
        """The tokens that may not come at this step."""
        return (*self.banned, self.eos) if step < self.min_length else self.banned


def likeliest(logits_RV: Tensor, log_prob_NK: Tensor, count: int, banned: tuple[int, ...]) -> Continuations:
    """The ``count`` likeliest continuations of each sentence, without the ``banned`` tokens; ``log_prob_NK`` are the
    log-probabilities of the hypotheses so far."""
    (sentences, width), vocabulary = log_prob_NK.shape, logits_RV.shape[1]
    peak_RG = _peaks(logits_RV)
    base_NK = log_prob_NK - _log_total(logits_RV, peak_RG).view(sentences, width)
    peak_NM = (peak_RG.view(sentences, width, -1) + base_NK[..., None]).flatten(1)
    # A banned token may be the largest of its group, so there may be one useless group for each.
    chosen_NQ = peak_NM.topk(min(count + width * len(banned), peak_NM.shape[1]), 1).indices
    origin_NQ1, group_NQ = (chosen_NQ // peak_RG.shape[1])[..., None], chosen_NQ % peak_RG.shape[1]
    token_NQJ = _members(group_NQ, peak_RG.shape[1])
    known_NQJ = token_NQJ.clamp(max=vocabulary - 1)
    logit_NM = logits_RV.view(sentences, -1).gather(1, (origin_NQ1 * vocabulary + known_NQJ).flatten(1))
    total_NM = (precise(logit_NM).view_as(token_NQJ) + base_NK.gather(1, origin_NQ1.squeeze(2))[..., None]).flatten(1)
    excluded_NQJ = token_NQJ >= vocabulary
    for token in banned:
        excluded_NQJ |= token_NQJ == token
    total_NM = total_NM.masked_fill(excluded_NQJ.flatten(1), IMPOSSIBLE)
    best_NC, at_NC = total_NM.topk(min(count, total_NM.shape[1]), 1)
    return Continuations(
        best_NC, origin_NQ1.squeeze(2).gather(1, at_NC // GROUP), known_NQJ.flatten(1).gather(1, at_NC)
    )


Logits = Callable[[slice], Tensor]
"""The logits of a slice of the rows, logits_RV, made anew each time: the caller may overwrite them."""


def row_slices(sentences: int, width: int, device: torch.device) -> list[slice]:
    """Slices of the rows, ``width`` rows a sentence, each so short that its logits stay in the processor's cache; on
    other devices a single slice."""
    span = max(1, ROWS // width) if device.type == "cpu" else sentences
    return [slice(first, min(sentences, first + span)) for first in range(0, sentences, span)]


def continuations(logits: Logits, log_prob_NK: Tensor, count: int, limits: Limits, step: int) -> Continuations:
    """The ``count`` likeliest continuations that are allowed at this step, at least one for each hypothesis. Where a
    sentence has reached its greatest length, these are ``</s>`` for each of its hypotheses, in their order.

    Computed for so few sentences at a time that their logits stay in the processor's cache, which saves a tenth of the
    time of a search.
    """
    sentences, width = log_prob_NK.shape
    parts = []
    for some in row_slices(sentences, width, log_prob_NK.device):
        part = limits.of(some)
        rows = slice(some.start * width, some.stop * width)
        parts.append(_continuations(logits(rows), log_prob_NK[some], count, part, step))
    return Continuations(*map(torch.cat, zip(*parts, strict=True)))


def continuations_of_each(
    logits: Logits, log_prob_R: Tensor, count: int, also_RA: Tensor, limits: Limits, step: int
) -> Continuations:
    """The ``count`` likeliest continuations of each hypothesis, R x (count + A), and those by the tokens ``also_RA`` (negative:
    none) that are not among them. ``limits`` has a row for each hypothesis."""
    parts = []
    for rows in row_slices(len(log_prob_R), 1, log_prob_R.device):
        logits_RV, named_RA = logits(rows), also_RA[rows].clamp(min=0)
        found = _continuations(logits_RV, log_prob_R[rows, None], count, limits.of(rows), step)
        base_R1 = found.log_prob_NC[:, :1] - precise(logits_RV.gather(1, found.token_NC[:, :1]))
        log_prob_RA = precise(logits_RV.gather(1, named_RA)) + base_R1
        useless_RA = (named_RA[..., None] == found.token_NC[:, None]).any(2) | (also_RA[rows] < 0)
        log_prob_RM = torch.cat([found.log_prob_NC, log_prob_RA.masked_fill(useless_RA, IMPOSSIBLE)], 1)
        token_RM = torch.cat([found.token_NC, named_RA], 1)
        parts.append(Continuations(log_prob_RM, torch.zeros_like(token_RM), token_RM))
    return Continuations(*map(torch.cat, zip(*parts, strict=True)))


def _continuations(logits_RV: Tensor, log_prob_NK: Tensor, count: int, limits: Limits, step: int) -> Continuations:
    found = likeliest(logits_RV, log_prob_NK, count, limits.banned_at(step))
    at_limit_N = step >= limits.max_length_N
    if not bool(at_limit_N.any()):
        return found
    sentences, width = log_prob_NK.shape
    rows_L = at_limit_N.nonzero().squeeze(1)
    at_limit_RV = logits_RV.view(sentences, width, -1)[rows_L].flatten(0, 1)
    base_LK = log_prob_NK[rows_L] - _log_total(at_limit_RV, _peaks(at_limit_RV)).view(-1, width)
    ends_LK = precise(at_limit_RV[:, limits.eos]).view(-1, width) + base_LK
    log_prob_NC, origin_NC, token_NC = found
    log_prob_NC[rows_L] = nn.functional.pad(ends_LK, (0, log_prob_NC.shape[1] - width), value=IMPOSSIBLE)
    origin_NC[rows_L] = torch.arange(origin_NC.shape[1], device=rows_L.device).clamp(max=width - 1)
    token_NC[rows_L] = limits.eos
    return found


def likeliest_of_each(logits: Logits, log_prob_N: Tensor, limits: Limits, step: int) -> tuple[Tensor, Tensor]:
    """The likeliest token that is allowed to each hypothesis at this step, ``</s>`` at its greatest length, and the
    log-probabilities that include it: `continuations` with one hypothesis a sentence and one continuation, with less to
    sort."""
    parts = []
    for rows in row_slices(len(log_prob_N), 1, log_prob_N.device):
        logits_RV, banned = logits(rows), list(limits.banned_at(step))
        p_RV, banned_RB = logits_RV.softmax(-1), logits_RV[:, banned]
        logits_RV[:, banned] = IMPOSSIBLE
        best_R1 = _argmax(logits_RV)
        # As in `_log_total`: a banned token may be the likeliest of all.
        largest_R = torch.cat([logits_RV.gather(1, best_R1), banned_RB], 1).amax(1)
        p_R = torch.cat([p_RV.gather(1, best_R1), p_RV[:, banned]], 1).amax(1)
        base_R1 = (log_prob_N[rows] - (precise(largest_R) - precise(p_R).log()))[:, None]
        token_R1 = best_R1.masked_fill((step >= limits.max_length_N[rows])[:, None], limits.eos)
        parts.append((token_R1, precise(logits_RV.gather(1, token_R1)) + base_R1))
    token_N, total_N = (torch.cat(part).squeeze(1) for part in zip(*parts, strict=True))
    return token_N, total_N


def _argmax(logits_RV: Tensor) -> Tensor:
    """The number of the largest logit of each row, R x 1, in a third of the time that torch takes."""
    peak_RG = _peaks(logits_RV)
    tokens_RJ = _members(peak_RG.argmax(1), peak_RG.shape[1]).clamp(max=logits_RV.shape[1] - 1)
    return tokens_RJ.gather(1, logits_RV.gather(1, tokens_RJ).argmax(1, keepdim=True))


def _members(group: Tensor, groups: int) -> Tensor:
    """The tokens of the given groups, in a new last dimension. Some are past the end of the vocabulary."""
    return group[..., None] + torch.arange(0, GROUP * groups, groups, device=group.device)


def _peaks(logits_RV: Tensor) -> Tensor:
    """The largest logit of each group, R x G. (Groups lie across the vocabulary: neighbours are compared with neighbours,
    many at once.)"""
    first, *others = logits_RV.split(-(-logits_RV.shape[1] // GROUP), 1)
    peak_RG = first.clone()
    for slab in others:
        part = peak_RG[:, : slab.shape[1]]
        torch.maximum(part, slab, out=part)
    return precise(peak_RG)


def _log_total(logits_RV: Tensor, peak_RG: Tensor) -> Tensor:
    """log sum exp of the logits in few passes: it is l - log p, where p is the largest probability and l its logit."""
    largest_R, group_R = peak_RG.max(1)
    tokens_RJ = _members(group_R, peak_RG.shape[1]).clamp(max=logits_RV.shape[1] - 1)
    return largest_R - precise(logits_RV.softmax(-1).gather(1, tokens_RJ).amax(1)).log()
