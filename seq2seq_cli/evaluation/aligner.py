"""Word alignment by forced decoding: the weights a trained model gives each pair, and the links they make."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.links import Links
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.preceding import reach, within
from seq2seq_cli.data.subword import as_written
from seq2seq_cli.data.words import words_of_line
from seq2seq_cli.decoding.forced_decoding import Scoring
from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import RunError, UserError
from seq2seq_cli.evaluation.alignment import Grid, merged
from seq2seq_cli.evaluation.linking import strongest_links, symmetrised, transposed
from seq2seq_cli.runs import Run, written_whole

CHUNK = 1000
"""How many pairs have their weights in memory at once: enough for full batches."""


def check_reverse(run: Run, reverse: Run) -> None:
    """Raises RunError where ``reverse`` does not translate from ``run``'s target language to its source language."""
    src, tgt = run.languages()
    if reverse.languages() != (tgt, src):
        what = f"this run translates {' to '.join(reverse.languages())}, but {run.directory} {src} to {tgt}."
        hint = f"Languages are compared by name: train one the other way round, with --src {tgt} --tgt {src}."
        raise RunError(what, str(reverse.directory), hint)


class Aligned(NamedTuple):
    """A pair's weights from word to word (see ``Translator.score``), and its links; ``by_layer``: those of each layer of the
    decoder, if that was asked for."""

    grid: Grid
    links: Links
    by_layer: tuple[Links, ...]


def aligned(
    lines: Lines,
    forward: Translator,
    backward: Translator | None,
    method: str,
    posterior: bool,
    by_layer: bool = False,
) -> Iterator[Aligned]:
    """For each pair, in order, how ``forward`` aligns it.

    The links are the strongest ones of ``forward``. If there is ``backward``, a run of the opposite direction, they are
    symmetrised with the strongest ones of ``backward`` by ``method``. Words are what white space separates. A model that looks
    back sees the pairs before that ``lines.previous`` tells of.
    """
    for start in range(0, len(lines.src), CHUNK):
        rows = range(start, min(start + CHUNK, len(lines.src)))
        plain, layered = (Scoring(text=False, posterior=posterior, by_layer=every) for every in (False, by_layer))
        turned = Lines(lines.tgt, lines.src, previous=lines.previous)
        backs = None if backward is None else _grids(backward, turned, rows, plain)
        for own, *layers in _grids(forward, lines, rows, layered):
            links, *others = (strongest_links(grid.weights_TS) for grid in (own, *layers))
            if backs is not None:
                theirs = transposed(strongest_links(next(backs)[0].weights_TS))
                links, *others = (symmetrised(ours, theirs, method) for ours in (links, *others))
            yield Aligned(own, links, tuple(others))


def _grids(translator: Translator, lines: Lines, rows: range, scoring: Scoring) -> Iterator[list[Grid]]:
    """The weights of each of these pairs; behind them, if that is asked for, those of each layer."""
    # Row t of the weights belongs to the piece that step t produces, whether its context entered before the
    # recurrence or after: each step reads piece t - 1, attends once, and predicts piece t.
    context = translator.config.reads_before
    earlier = 0 if context is None or lines.previous is None else reach(lines.previous, rows.start, context.sentences)
    around = range(rows.start - earlier, rows.stop)
    src, tgt = (side[around.start : around.stop] for side in (lines.src, lines.tgt))
    previous = None if lines.previous is None else within(lines.previous, around)
    every = translator.score(src, tgt, scoring, previous, range(earlier, len(around)))
    for source, target, scored in zip(src[earlier:], tgt[earlier:], every, strict=True):
        assert scored.alignment is not None
        layers = [] if scored.attentions is None else [layer.mean for layer in scored.attentions.cross]
        yield [_by_words(alignment, source, target) for alignment in (scored.alignment, *layers)]


def _by_words(alignment: Alignment, source: str, target: str) -> Grid:
    return merged(
        alignment,
        words_of_line(source, [as_written(piece) for piece in alignment.source_pieces[:-1]]),
        words_of_line(target, [as_written(piece) for piece in alignment.target_pieces[:-1]]),
    )


@contextmanager
def weights_file(path: Path) -> Iterator[Callable[[int, Grid], None]]:
    """Within, an .npz file of the weights of many pairs is written pair by pair; it gets the name ``path`` when it is
    complete.

    Yields a function to be called with a pair's number n, from 0, and its grid. The keys are ``weights_n``, float32, a
    row for each target word, a column for each source word, ``</s>`` last in both; and, for a local mechanism,
    ``centres_n``, the middle of the window in each row, 0 being the first source word. A target word without a piece
    has NaN. Raises UserError where the file cannot be written.
    """
    try:
        with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:

            def put(name: str, values: np.ndarray) -> None:
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, values, allow_pickle=False)

            def add(number: int, grid: Grid) -> None:
                put(f"weights_{number}", grid.weights_TS)
                if grid.centre_T is not None:
                    put(f"centres_{number}", grid.centre_T)

            yield add
    except OSError as problem:
        raise UserError(f"cannot be written: {problem.strerror}.", str(path)) from None
