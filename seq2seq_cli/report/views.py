"""A translation and its attention as a page shows it: the data from which ``page/alignment.js`` builds the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import isfinite
from statistics import fmean

import numpy as np

from seq2seq_cli.data.subword import END
from seq2seq_cli.data.words import words_of_pieces
from seq2seq_cli.decoding.hypothesis import Alignment, Hypothesis, LayerAttention, Origin, Role
from seq2seq_cli.evaluation.alignment import Grid, by_words

DIGITS = 4
"""Decimals of a weight: more than anyone reads, at half the page's size."""

EXAMPLES = 3
"""Most examples that are shown of a word."""


Weights = list[list[float | None]]
"""A row for each word that looks, a column for each word looked at; None where a weight is NaN."""


@dataclass(frozen=True)
class Head:
    """Attention weights, a row for each target word, a column for each source word (or both of one side's: see `Role`).

    Where a row may not look at all columns, ``windows`` holds, for each row, the stretches that it may (as first and last
    column). A local mechanism adds its ``centres`` (p_t, in columns, 0 the first) and its ``radius`` D in pieces.
    """

    weights: Weights
    centres: list[float | None] | None = None
    windows: list[list[tuple[int, int]]] | None = None
    radius: int | None = None

    def to_json(self) -> dict[str, object]:
        """Plain keys; those of windows and of a local mechanism only where there are such."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class LayerView:
    """Where a layer looked: the ``mean`` of its heads, and the weights of each of its ``heads``, none where it has none.
    Centres and windows of a local mechanism are the same for all of them."""

    mean: Head
    heads: list[Weights]

    @classmethod
    def of(cls, layer: LayerAttention) -> LayerView:
        """From word to word."""
        mean = _head(by_words(layer.mean), layer.mean.radius)
        return cls(mean, [_rounded_rows(by_words(head)) for head in layer.heads])

    def to_json(self) -> dict[str, object]:
        """Plain keys."""
        return {"mean": self.mean.to_json(), "heads": self.heads}


LayerViews = Mapping[Role, list[LayerView]]
"""Where all layers of each role looked, the bottom layer first."""


@dataclass(frozen=True)
class ExampleView:
    """A sentence pair of a memory: the ``source``, the words of the ``target``, and the number of the one that came next. Of
    the probability of a piece it gave ``weight``."""

    source: str
    target: tuple[str, ...]
    word: int
    weight: float


@dataclass(frozen=True)
class WordOrigin:
    """Where a target word came from: the ``share`` of its pieces' probabilities that a memory gave, on average, and the
    heaviest ``examples`` there."""

    share: float
    examples: list[ExampleView]

    def to_json(self) -> dict[str, object]:
        """Plain keys."""
        return {"share": self.share, "examples": [vars(one) for one in self.examples]}


def origins_by_words(pieces: Sequence[str], origins: Sequence[Origin]) -> list[WordOrigin]:
    """Where each word of a translation came from. What one word of one example adds to several pieces counts together; an
    example of another piece than the one that was written counts for nothing, and is shown only where there is room."""
    edges = words_of_pieces(pieces).edges.tolist()
    return [_word_origin(pieces[begin:end], origins[begin:end]) for begin, end in pairwise(edges)]


def _word_origin(pieces: Sequence[str], origins: Sequence[Origin]) -> WordOrigin:
    found: dict[tuple[bool, str, tuple[str, ...], int], float] = {}
    for piece, origin in zip(pieces, origins, strict=True):
        for example in origin.examples:
            words = words_of_pieces(example.pieces)
            word = int(np.searchsorted(words.edges, example.position, side="right")) - 1
            key = (example.piece != piece, example.source, words.texts, word)
            found[key] = found.get(key, 0.0) + example.weight / len(pieces)
    heaviest = sorted(found.items(), key=lambda both: (both[0][0], -both[1]))[:EXAMPLES]
    views = [ExampleView(source, target, word, round(weight, DIGITS)) for (_, source, target, word), weight in heaviest]
    return WordOrigin(round(fmean(origin.share for origin in origins), DIGITS), views)


@dataclass(frozen=True)
class BackView:
    """Where the states of the encoder or the decoder (``side``) looked in the sentences before: a row for each word of
    ``target`` that looks, a column for each of ``source``, as `looking_back.both_levels` has them."""

    side: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    head: Head

    @classmethod
    def of(cls, looked: Alignment) -> BackView:
        """From word to word."""
        grid = by_words(looked)
        return cls("encoder" if looked.role is Role.ITSELF else "decoder", grid.source, grid.target, _head(grid, None))

    def to_json(self) -> dict[str, object]:
        """Plain keys; the head is in a list, ``heads``."""
        return {"side": self.side, "source": self.source, "target": self.target, "heads": [self.head.to_json()]}


@dataclass(frozen=True)
class TranslationView:
    """A run's translation of one sentence, word by word, ``</s>`` last on both sides. ``head``: where the model looked;
    None for a model without attention. ``layers``: where each of its layers and heads looked, and ``origins``: from which
    examples of a memory each target word came, if these were asked for; ``back``: where it looked in the sentences before, if it
    did."""

    run: str
    text: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    head: Head | None
    layers: LayerViews | None = None
    origins: list[WordOrigin] | None = None
    back: tuple[BackView, ...] = ()

    @classmethod
    def of(cls, run: str, source: str, hypothesis: Hypothesis, layered: bool = True) -> TranslationView:
        """From the ``hypothesis`` of a run, called ``run``, for the line ``source``. ``layered``: with its layers, if they are
        known."""
        pieces = (*hypothesis.pieces, END)
        origins = None if hypothesis.origins is None else origins_by_words(pieces, hypothesis.origins)
        attentions = hypothesis.attentions
        layers, back = None, tuple[BackView, ...]()
        if attentions is not None:
            layers = {role: list(map(LayerView.of, attentions.of(role))) for role in Role} if layered else None
            back = tuple(map(BackView.of, attentions.back))
        if hypothesis.alignment is None:
            target = words_of_pieces(pieces).texts
            itself = () if attentions is None else attentions.itself
            words = by_words(itself[0].mean).source if itself else (*source.split(), END)
            return cls(run, hypothesis.text, words, target, None, layers, origins, back)
        grid = by_words(hypothesis.alignment)
        head = _head(grid, hypothesis.alignment.radius)
        return cls(run, hypothesis.text, grid.source, grid.target, head, layers, origins, back)

    def to_json(self) -> dict[str, object]:
        """Plain keys, with numbers that JSON can hold. The head is in a list, ``heads``, which is empty where there is
        none. There are ``layers`` and ``origins`` only where these were asked for, and ``back`` only where the model looked
        back."""
        others = ("head", "layers", "origins", "back")
        told = {name: value for name, value in vars(self).items() if name not in others}
        told |= {"heads": [] if self.head is None else [self.head.to_json()]}
        if self.back:
            told |= {"back": [one.to_json() for one in self.back]}
        if self.origins is not None:
            told |= {"origins": [origin.to_json() for origin in self.origins]}
        if self.layers is None:
            return told
        return told | {"layers": {role: [layer.to_json() for layer in each] for role, each in self.layers.items()}}


def _head(grid: Grid, radius: int | None) -> Head:
    centres = None if grid.centre_T is None else _rounded(grid.centre_T)
    windows = None if grid.seen_TS is None else [_stretches(row_S) for row_S in grid.seen_TS]
    return Head(_rounded_rows(grid), centres, windows, radius)


def _rounded_rows(grid: Grid) -> Weights:
    return [_rounded(row_S) for row_S in grid.weights_TS]


def _rounded(numbers: np.ndarray) -> list[float | None]:
    return [round(number, DIGITS) if isfinite(number) else None for number in numbers.tolist()]


def _stretches(seen_S: np.ndarray) -> list[tuple[int, int]]:
    columns = np.flatnonzero(seen_S).tolist()
    # In a stretch without a gap, column number and place in the list differ by a constant.
    stretches = [[column for _, column in run] for _, run in groupby(enumerate(columns), lambda at: at[1] - at[0])]
    return [(stretch[0], stretch[-1]) for stretch in stretches]
