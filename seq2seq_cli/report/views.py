"""A translation and its attention as a page shows it: the data from which ``page/alignment.js`` builds the words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import isfinite

import numpy as np

from seq2seq_cli.data.subword import END
from seq2seq_cli.data.words import words_of_pieces
from seq2seq_cli.decoding.hypothesis import Alignment, Attentions, Hypothesis, LayerAttention
from seq2seq_cli.evaluation.alignment import Grid, by_words

DIGITS = 4
"""Decimals of a weight: more than anyone reads, at half the page's size."""


Weights = list[list[float | None]]
"""A row for each word that looks, a column for each word looked at; None where a weight is NaN."""


@dataclass(frozen=True)
class Head:
    """Attention weights, a row for each target word, a column for each source word.

    A local mechanism adds, for each row, its ``centres`` (p_t, in columns, 0 the first) and ``windows`` (stretches of
    columns that were seen, as first and last column), and its ``radius`` D in pieces.
    """

    weights: Weights
    centres: list[float | None] | None = None
    windows: list[list[tuple[int, int]]] | None = None
    radius: int | None = None

    def to_json(self) -> dict[str, object]:
        """Plain keys; those of a local mechanism only where it is one."""
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


@dataclass(frozen=True)
class LayerViews:
    """Where all layers looked, the bottom layer first: ``cross_attention``, from the target to the source, and
    ``self_attention``, from the source to itself, in which rows are source words, too."""

    cross_attention: list[LayerView]
    self_attention: list[LayerView]

    @classmethod
    def of(cls, attentions: Attentions) -> LayerViews:
        """From word to word."""
        return cls(*(list(map(LayerView.of, layers)) for layers in (attentions.cross, attentions.itself)))

    def to_json(self) -> dict[str, object]:
        """Plain keys."""
        return {name: [layer.to_json() for layer in layers] for name, layers in vars(self).items()}


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
        return cls("encoder" if looked.itself else "decoder", grid.source, grid.target, _head(grid, None))

    def to_json(self) -> dict[str, object]:
        """Plain keys; the head is in a list, ``heads``."""
        return {"side": self.side, "source": self.source, "target": self.target, "heads": [self.head.to_json()]}


@dataclass(frozen=True)
class TranslationView:
    """A run's translation of one sentence, word by word, ``</s>`` last on both sides. ``head``: where the model looked;
    None for a model without attention. ``layers``: where each of its layers and heads looked, if that was asked for; ``back``:
    where it looked in the sentences before, if it did."""

    run: str
    text: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    head: Head | None
    layers: LayerViews | None = None
    back: tuple[BackView, ...] = ()

    @classmethod
    def of(cls, run: str, source: str, hypothesis: Hypothesis, layered: bool = True) -> TranslationView:
        """From the ``hypothesis`` of a run, called ``run``, for the line ``source``. ``layered``: with its layers, if they are
        known."""
        attentions = hypothesis.attentions
        layers = None if attentions is None or not layered else LayerViews.of(attentions)
        back = () if attentions is None else tuple(map(BackView.of, attentions.back))
        if hypothesis.alignment is None:
            target = words_of_pieces((*hypothesis.pieces, END)).texts
            itself = () if attentions is None else attentions.itself
            words = by_words(itself[0].mean).source if itself else (*source.split(), END)
            return cls(run, hypothesis.text, words, target, None, layers, back)
        grid, radius = by_words(hypothesis.alignment), hypothesis.alignment.radius
        return cls(run, hypothesis.text, grid.source, grid.target, _head(grid, radius), layers, back)

    def to_json(self) -> dict[str, object]:
        """Plain keys, with numbers that JSON can hold. The head is in a list, ``heads``, which is empty where there is
        none. There are ``layers`` only where these were asked for, and ``back`` only where the model looked back."""
        told = {name: value for name, value in vars(self).items() if name not in ("head", "layers", "back")}
        told |= {"heads": [] if self.head is None else [self.head.to_json()]}
        told |= {"back": [one.to_json() for one in self.back]} if self.back else {}
        return told if self.layers is None else told | {"layers": self.layers.to_json()}


def _head(grid: Grid, radius: int | None) -> Head:
    weights = _rounded_rows(grid)
    if grid.seen_TS is None or grid.centre_T is None:
        return Head(weights)
    return Head(weights, _rounded(grid.centre_T), [_stretches(row_S) for row_S in grid.seen_TS], radius)


def _rounded_rows(grid: Grid) -> Weights:
    return [_rounded(row_S) for row_S in grid.weights_TS]


def _rounded(numbers: np.ndarray) -> list[float | None]:
    return [round(number, DIGITS) if isfinite(number) else None for number in numbers.tolist()]


def _stretches(seen_S: np.ndarray) -> list[tuple[int, int]]:
    columns = np.flatnonzero(seen_S).tolist()
    # In a stretch without a gap, column number and place in the list differ by a constant.
    stretches = [[column for _, column in run] for _, run in groupby(enumerate(columns), lambda at: at[1] - at[0])]
    return [(stretch[0], stretch[-1]) for stretch in stretches]
