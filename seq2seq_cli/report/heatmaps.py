"""Attention heat maps as pictures, and their numbers as JSON."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread

from seq2seq_cli.decoding.hypothesis import Alignment, Role
from seq2seq_cli.evaluation.alignment import Grid, by_pieces, by_words
from seq2seq_cli.report.figures import render, save_figure
from seq2seq_cli.report.fonts import Typeface, typeface
from seq2seq_cli.runs import write_json

CELL = 0.32
"""Side of a cell in inches: a line of 10-point text fits in."""
LONGEST_WORD = 30
"""Longest word in characters; longer ones (web addresses and the like) are cut."""
WINDOW_COLOUR = "tab:red"


class Sides(NamedTuple):
    """What the sides of a picture are called."""

    across: str
    down: str


SIDES = {
    Role.CROSS: Sides("source", "target"),
    Role.ITSELF: Sides("source: looked at", "source: looks"),
    Role.MASKED: Sides("target so far: looked at", "target so far: looks"),
}


def save_picture(alignment: Alignment, path: Path, title: str, merge: bool = True) -> list[str]:
    """Save the heat map of ``alignment`` to ``path`` and its numbers beside it, under the same name with ``.json``.

    Returns and raises what ``save_heatmap`` does.
    """
    warnings = save_heatmap(alignment, path, title, merge)
    save_json(alignment, path.with_suffix(".json"), title)
    return warnings


def save_heatmap(alignment: Alignment, path: Path, title: str, merge: bool = True) -> list[str]:
    """Save the heat map of ``alignment`` to ``path``: source across, target down, darker is more.

    ``merge``: show words instead of subword pieces. What may be seen is outlined where it is not all, and the centre of a local
    window marked in each row.
    Words stand from left to right in the order of their sentence; within a word, letters are shaped and ordered as in
    their script, also from right to left. Returns warnings that name the scripts for which this machine has no font.
    Raises UserError for a suffix other than .png, .svg and .pdf.
    """
    grid = by_words(alignment) if merge else by_pieces(alignment)
    fonts = typeface([title, *grid.source, *grid.target])
    save_figure(draw(grid, title, fonts, SIDES[alignment.role]), path)
    return fonts.warnings


def heatmap_pixels(alignment: Alignment, title: str) -> np.ndarray:
    """The heat map, by words, as H x W x 4 numbers from 0 to 1."""
    grid = by_words(alignment)
    buffer = io.BytesIO()
    render(draw(grid, title, typeface([title, *grid.source, *grid.target])), buffer, "png")
    buffer.seek(0)
    return imread(buffer, format="png")


def save_json(alignment: Alignment, path: Path, title: str) -> None:
    """Save the numbers behind a picture, piece by piece, so that nothing is lost.

    The file holds an object with ``title``, ``source`` (S pieces), ``target`` (T pieces) and ``weights`` (T rows of S
    numbers); a local mechanism adds ``centres`` (T positions, 0 the first piece) and ``radius``. Of self-attention ``source``
    and ``target`` are the same pieces: those looked at, and those that look.
    """
    grid = by_pieces(alignment)
    record: dict[str, object] = {
        "title": title,
        "source": grid.source,
        "target": grid.target,
        "weights": [_shortest(row_S) for row_S in alignment.weights_TS],
    }
    if alignment.centre_T is not None:
        record |= {"centres": _shortest(alignment.centre_T), "radius": alignment.radius}
    write_json(path, record)


def draw(grid: Grid, title: str, fonts: Typeface, sides: Sides = SIDES[Role.CROSS]) -> Figure:
    """The picture of ``grid``. It grows with the number of words, so that long sentences stay legible."""
    rows, columns = grid.weights_TS.shape
    figure = Figure(figsize=(CELL * columns, CELL * rows))
    # The axes fill the figure and all else lies outside it: saving it "tight" makes room for any label.
    axes = figure.add_axes((0, 0, 1, 1))
    mesh = axes.pcolormesh(grid.weights_TS, cmap="Blues", vmin=0, vmax=1, edgecolors="0.85", linewidth=0.4)
    axes.invert_yaxis()
    _label(axes, grid, title, fonts, sides)
    if grid.seen_TS is not None:
        _outline(axes, grid.seen_TS)
    if grid.centre_T is not None:
        axes.plot(grid.centre_T + 0.5, np.arange(rows) + 0.5, "x", color=WINDOW_COLOUR, markersize=4)
    bar = axes.inset_axes((1 + 0.5 / columns, 0, 0.15 / (CELL * columns), 1))
    figure.colorbar(mesh, cax=bar, label="attention weight")
    return figure


def _label(axes: Axes, grid: Grid, title: str, fonts: Typeface, sides: Sides) -> None:
    # Without parse_math=False, words between two dollar signs would be set as formulae.
    style: dict[str, Any] = {"family": list(fonts.families), "parse_math": False, "fontsize": 10}
    axes.set_xticks(np.arange(len(grid.source)) + 0.5)
    axes.set_yticks(np.arange(len(grid.target)) + 0.5)
    source, target = ([_cut(fonts.printable(word)) for word in side] for side in (grid.source, grid.target))
    axes.set_xticklabels(source, rotation=45, rotation_mode="anchor", ha="left", **style)
    axes.set_yticklabels(target, **style)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=2)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(sides.across)
    axes.set_ylabel(sides.down)
    lines = textwrap.wrap(title, width=max(40, 4 * len(grid.source)))
    axes.set_title(fonts.printable("\n".join(lines)), loc="left", **style)


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD - 1] + "…"


def _outline(axes: Axes, seen_TS: np.ndarray) -> None:
    """Draw lines around the cells that are seen: wherever one of two neighbours is seen and the other is not, or is the
    margin."""
    padded = np.pad(seen_TS, 1)
    upright = [[(s, t), (s, t + 1)] for t, s in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])]
    level = [[(s, t), (s + 1, t)] for t, s in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])]
    # Above the frame, and not cut off by it: where the window ends with the sentence, the two are one line.
    lines = LineCollection(upright + level, colors=WINDOW_COLOUR, linewidths=1.4, clip_on=False, zorder=3)
    axes.add_collection(lines, autolim=False)


def _shortest(numbers: np.ndarray) -> list[float]:
    """Python floats that print as briefly as float32 does: 0.1, not 0.10000000149011612."""
    return [float(str(number)) for number in numbers.astype(np.float32)]
