"""Whether attention has formed, in numbers and in words: what the alignments of some translations have in common.

Each row of weights is first divided by its sum (those of ``local-p`` do not sum to one): every figure says where a step
looks, not how strongly. The step that writes ``</s>`` is left out, since no source word corresponds to it. Figures
about steps are counted piece by piece, figures about words word by word (``alignment.by_words``). Every mean is taken
over the steps, words or pairs of words of all sentences together, so that long sentences count for more.

T target pieces without ``</s>``, S source pieces with it; W target words, X source words, both without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np

from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.evaluation.alignment import Grid, by_pieces, by_words

MOSTLY_END = 0.5
"""From this ``end_share`` on, ``</s>`` is said to hold the attention: it has as much as all words together."""
EVEN = 0.9
"""From this share of the highest possible entropy on, weights are said to be spread evenly."""
STAYS, MOVES = 0.25, 0.5
"""Below the first ``moving_share``, attention is said to look at the same places whatever the target; from the second
on, it may be said to have formed."""
FORGETS = 0.5
"""From this ``unattended_share`` on, attention is not said to have formed: more words are passed over than read."""
SHARP = 0.5
"""From this ``largest_weight`` on, a step is said to look at one place."""
ORDERED = 0.5
"""From this ``order_tau`` on, the source is said to be read in order; below minus this, in reverse."""
ATTENDED = 0.5
"""A source word whose total weight is lower was hardly attended to, if at all: it has less than half of the weight of
one target word."""
SAME_PLACE = 0.01
"""Centres nearer to each other than this, in words, are tied, so that rounding errors do not count as order."""


@dataclass(frozen=True)
class Diagnostics:
    """How the attention of some translations is distributed. Shares are from 0 to 1.

    ``entropy_bits``: the entropy of a step's weights. ``even_bits``: what it would be if all positions that the step
    may see had the same weight. ``largest_weight``: the largest weight of a step. ``end_share``: the weight on
    ``</s>``. ``moving_share``: the part of a step's weight that lies where the sentence's other steps do not look; 0
    where all look at the same places, 1 where no two look at the same one, None where no sentence has two pieces.

    ``unattended_share``: source words whose weights, over all target words, sum to less than a half. That sum is the
    coverage of Tu et al. 2016, 3.1.1, for a word of fertility one; Wu et al. 2016, 7, call a word covered once it is
    one.

    ``order_tau``: Kendall's tau-b between the order of the target words and the mean place that each looks at among the
    source words: 1 from left to right, -1 from right to left, None where no order can be told.
    """

    sentences: int
    target_pieces: int
    entropy_bits: float
    even_bits: float
    largest_weight: float
    end_share: float
    moving_share: float | None
    unattended_share: float
    order_tau: float | None

    def to_json(self) -> dict[str, int | float | None]:
        """Plain keys; None where there is nothing to measure."""
        return asdict(self)

    @property
    def verdict(self) -> str:
        """Whether attention has formed, in a few words.

        The window of ``local-m`` moves by itself, whatever was learned: for that kind, "formed" means less.
        """
        if self.end_share >= MOSTLY_END:
            return f"attention has not formed: {self.end_share:.0%} of the weight lies on </s>"
        if self.entropy_bits >= EVEN * self.even_bits:
            return "attention has not formed: the weight is spread evenly"
        if self.moving_share is None:
            return "attention cannot be judged: no translation has two pieces"
        if self.moving_share < STAYS:
            place = "the same place" if self.largest_weight >= SHARP else "the same places"
            return f"attention has not formed: it stays at {place} whatever the target"
        if self.moving_share < MOVES:
            return f"attention is forming: {self.moving_share:.0%} of the weight moves with the target"
        if self.unattended_share >= FORGETS:
            return f"attention is forming: {self.unattended_share:.0%} of the source words are hardly attended"
        return f"attention has formed{self._order}"

    @property
    def _order(self) -> str:
        if self.order_tau is None:
            return ""
        if abs(self.order_tau) < ORDERED:
            return ", in mixed order"
        return ", in the order of the source" if self.order_tau > 0 else ", in reverse order"

    @property
    def figures(self) -> str:
        """The numbers behind the verdict, in one line."""
        moving = "" if self.moving_share is None else f"{self.moving_share:.0%} moves, "
        tau = "" if self.order_tau is None else f", order tau {self.order_tau:.2f}"
        return (
            f"{self.entropy_bits:.2f} bits a step (spread evenly: {self.even_bits:.2f}), "
            f"largest weight {self.largest_weight:.2f}, {moving}{self.end_share:.0%} on </s>, "
            f"{self.unattended_share:.0%} of the source words hardly attended{tau}"
        )

    def __str__(self) -> str:
        return f"{self.verdict} ({self.figures})"


class Measured(NamedTuple):
    """What is measured of one translation: T figures of its steps (``moving_T`` none where there is a single step), X of
    the source words, and where the target words look, W."""

    entropy_T: np.ndarray
    even_T: np.ndarray
    largest_T: np.ndarray
    end_T: np.ndarray
    moving_T: np.ndarray
    coverage_X: np.ndarray
    centres_W: np.ndarray

    @classmethod
    def of(cls, alignment: Alignment | None) -> Measured | None:
        """The figures of an alignment; None where there are no weights, where the translation is empty, or where weights
        are NaN, or all zero at some step."""
        if alignment is None or len(alignment.target_pieces) == 1:
            return None
        normal = _normalised(alignment)
        if not np.isfinite(normal.weights_TS).all():
            return None
        weights_TS, grid = normal.weights_TS[:-1], by_words(normal)
        return cls(
            entropy_T=entropies(weights_TS),
            even_T=_even_bits(by_pieces(normal)),
            largest_T=weights_TS.max(1),
            end_T=weights_TS[:, -1].copy(),
            moving_T=moving_shares(weights_TS),
            coverage_X=grid.weights_TS[:-1, :-1].sum(0),
            centres_W=_centres(grid),
        )


def diagnose(alignments: Iterable[Alignment | None]) -> Diagnostics | None:
    """The figures of these translations; None where there are no weights, or all translations are empty. A translation
    is skipped if weights are NaN, or all zero at some step."""
    return summed_up(map(Measured.of, alignments))


def summed_up(every: Iterable[Measured | None]) -> Diagnostics | None:
    """The figures of all translations together, of which at least one must have been measured (else None)."""
    found = [measured for measured in every if measured is not None]
    if not found:
        return None
    moving_T = np.concatenate([one.moving_T for one in found])
    coverage_X = np.concatenate([one.coverage_X for one in found])
    return Diagnostics(
        sentences=len(found),
        target_pieces=sum(len(one.entropy_T) for one in found),
        entropy_bits=_mean([one.entropy_T for one in found]),
        even_bits=_mean([one.even_T for one in found]),
        largest_weight=_mean([one.largest_T for one in found]),
        end_share=_mean([one.end_T for one in found]),
        moving_share=float(moving_T.mean()) if len(moving_T) else None,
        unattended_share=float((coverage_X < ATTENDED).mean()),
        order_tau=kendall_tau([one.centres_W for one in found]),
    )


def entropies(weights_TS: np.ndarray) -> np.ndarray:
    """The entropy of each row in bits: T."""
    logs_TS = np.log2(weights_TS, out=np.zeros_like(weights_TS), where=weights_TS > 0)
    return np.asarray(-(weights_TS * logs_TS).sum(1))


def moving_shares(weights_TS: np.ndarray) -> np.ndarray:
    """The total variation distance of each row to the mean of the other rows, 0 to 1: T; empty where there is only one
    row."""
    steps = len(weights_TS)
    if steps < 2:
        return np.zeros(0)
    # A row is T / (T - 1) times as far from the mean of the others as from the mean of all.
    return np.asarray(np.abs(weights_TS - weights_TS.mean(0)).sum(1) / 2 * steps / (steps - 1))


def kendall_tau(sentences: Sequence[np.ndarray]) -> float | None:
    """Kendall's tau-b (Kendall 1945) between positions and the order they stand in, over all pairs within a sentence.

    (C - D) / sqrt(P (P - ties)): C pairs rise, D fall, P are all pairs. None where every pair is tied.
    """
    rising_minus_falling, untied, pairs = 0, 0, 0
    for positions_W in sentences:
        steps_WW = positions_W[None, :] - positions_W[:, None]
        signs_WW = np.triu(np.sign(steps_WW) * (np.abs(steps_WW) >= SAME_PLACE))
        rising_minus_falling += int(signs_WW.sum())
        untied += int(np.abs(signs_WW).sum())
        pairs += len(positions_W) * (len(positions_W) - 1) // 2
    return rising_minus_falling / float(np.sqrt(pairs * untied)) if untied else None


def _normalised(alignment: Alignment) -> Alignment:
    weights_TS = alignment.weights_TS.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return replace(alignment, weights_TS=weights_TS / weights_TS.sum(1, keepdims=True))


def _even_bits(grid: Grid) -> np.ndarray:
    """The entropy in bits that each step would have if all positions it may see had the same weight."""
    seen_TS = np.ones(grid.weights_TS.shape, dtype=bool) if grid.seen_TS is None else grid.seen_TS
    return np.asarray(np.log2(seen_TS[:-1].sum(1)))


def _centres(grid: Grid) -> np.ndarray:
    """The mean place that each target word looks at, among the source words. A target word that looks at ``</s>`` alone
    has no such place, and is left out."""
    weights_WX = grid.weights_TS[:-1, :-1]
    on_words_W = weights_WX.sum(1)
    somewhere_W = on_words_W > 0
    return np.asarray((weights_WX @ np.arange(weights_WX.shape[1]))[somewhere_W] / on_words_W[somewhere_W])


def _mean(parts: list[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())
