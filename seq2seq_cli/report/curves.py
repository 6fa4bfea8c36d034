"""BLEU by source length as a picture: a line with a band for each run."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seq2seq_cli.evaluation.lengths import FEW, LengthBin
from seq2seq_cli.evaluation.systems import Comparison, Evaluation
from seq2seq_cli.report.figures import save_figure
from seq2seq_cli.report.fonts import Typeface, typeface
from seq2seq_cli.wording import counted

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Colours that colour-blind people can tell apart, too (Okabe & Ito 2008)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", "-.", ":")
"""What still differs in a grey print. Combined with as many markers, 28 runs look different."""
SIZE = (7.0, 4.2)
"""Width and height of the axes, in inches."""
STEP, SPREAD = 0.05, 0.6
"""How far the runs are shifted sideways so that their intervals do not hide each other: from one run to the next, and
at most from the first to the last. The unit is the distance between two lengths."""
SMALL = 7.5
"""Size of the small print in points."""


def save_by_length(comparison: Comparison, path: Path) -> list[str]:
    """Draw runs of one source text into ``path``. Returns warnings that name the scripts for which this machine has no
    font. Raises UserError for a suffix other than .png, .svg and .pdf."""
    fonts = typeface([*comparison.names, small_print(comparison)])
    save_figure(draw_by_length(comparison, fonts), path)
    return fonts.warnings


def draw_by_length(comparison: Comparison, fonts: Typeface) -> Figure:
    """Lengths across, BLEU up. Under each length stands the number of sentences, and at the bottom how it was
    measured."""
    figure = Figure(figsize=SIZE)
    axes = figure.add_axes((0, 0, 1, 1))
    runs = len(comparison.evaluations)
    step = min(STEP, SPREAD / runs)
    lines = [
        _draw_run(axes, evaluation, number, shift=step * (number - (runs - 1) / 2))
        for number, evaluation in enumerate(comparison.evaluations)
    ]
    _label(axes, [scores.bin for scores in comparison.evaluations[0].by_length])
    style: dict[str, Any] = {"family": list(fonts.families), "parse_math": False}
    _note(axes, fonts.printable(small_print(comparison)), style)
    # Beside the axes, where it hides nothing. With names given later: matplotlib leaves out those that begin with _.
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
    legend = axes.legend(lines, ["?"] * len(lines), frameon=False, handlelength=4, **place)
    for entry, name in zip(legend.get_texts(), _labels(comparison), strict=True):
        entry.set(text=_wrapped(fonts.printable(name), 36), **style)
    return figure


def small_print(comparison: Comparison) -> str:
    """What a reader needs to trust or repeat the picture, line by line."""
    first = comparison.evaluations[0]
    told = [f"{counted(len(first.hypotheses), 'sentence')}, SHA-256 {first.test_sha256[:8]}"]
    searches = {evaluation.search for evaluation in comparison.evaluations}
    if len(searches) == 1:
        told += searches
    lines = [
        "Bands and upright lines: 95% bootstrap intervals.",
        comparison.test_name,
        "; ".join(told),
        f"sacreBLEU {first.scores.bleu.how}",
    ]
    if any(scores.bin.few for scores in first.by_length):
        lines[0] += f" Open markers and *: fewer than {FEW} sentences."
    return "\n".join(lines)


def _labels(comparison: Comparison) -> list[str]:
    """The names of the runs, each with how it was decoded if they differ in that."""
    searches = [evaluation.search for evaluation in comparison.evaluations]
    if len(set(searches)) == 1:
        return comparison.names
    return [f"{name}\n({search})" for name, search in zip(comparison.names, searches, strict=True)]


def _draw_run(axes: Axes, evaluation: Evaluation, number: int, shift: float) -> Line2D:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    by_length = evaluation.by_length
    places = [place + shift for place in range(len(by_length))]
    low, high = [scores.bleu.low for scores in by_length], [scores.bleu.high for scores in by_length]
    axes.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.vlines(places, low, high, colors=colour, linewidth=1)
    values = [scores.bleu.value for scores in by_length]
    (line,) = axes.plot(places, values, STYLES[number % len(STYLES)], color=colour, marker=marker)
    few = [i for i, scores in enumerate(by_length) if scores.bin.few]
    open_places, open_values = [places[i] for i in few], [values[i] for i in few]
    axes.plot(open_places, open_values, marker, color=colour, markerfacecolor="white")
    return line


def _note(axes: Axes, text: str, style: dict[str, Any]) -> None:
    place: dict[str, Any] = {"xy": (0, 0), "xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(_wrapped(text, 110), xytext=(0, -52), va="top", fontsize=SMALL, color="0.25", **place, **style)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.splitlines())


def _label(axes: Axes, bins: list[LengthBin]) -> None:
    axes.set_title("BLEU by source length", loc="left")
    axes.set_xlabel("words of the source sentence (number of sentences)")
    axes.set_ylabel("BLEU (points)")
    counts = [f"{found.words}\n({found.count})" for found in bins]
    axes.set_xticks(range(len(bins)), counts)
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
