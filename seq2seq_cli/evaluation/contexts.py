"""What a model that looks back is given to look at in an evaluation: the sentences before, others, or none.

Gains by context are often gains by what it does to training (Kim et al. 2019; Lopes et al. 2020): a model that uses what is said
before is worse where that is another text's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Literal, get_args

import numpy as np

from seq2seq_cli.config.context import Context
from seq2seq_cli.config.loading import load
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.text import clean
from seq2seq_cli.decoding.documents import documents, lines_before
from seq2seq_cli.errors import ConfigError, DataError, suggestion
from seq2seq_cli.runs import Run

Control = Literal["real", "shuffled", "none"]
SEED = 1
"""Which documents stand in for which is drawn with it."""


def find_control(name: str) -> Control:
    """The control of this name. Raises ConfigError where there is none."""
    for known in get_args(Control):
        if name == known:
            found: Control = known
            return found
    hint = suggestion(name, get_args(Control)) or f"Known: {', '.join(get_args(Control))}."
    raise ConfigError(f'there is no context "{name}" to translate with.', "--context", hint)


def controls(names: Sequence[str], runs: Sequence[Run]) -> list[Control]:
    """The controls of these names, each once, for ``runs``; with the real context first where others' is to be tested against
    it, and alone where none are named. Raises ConfigError where there are no such controls, or no run looks back."""
    found = list(dict.fromkeys(map(find_control, names)))
    if not found:
        return ["real"]
    if not any(load(run.config).model.back.anywhere for run in runs):
        hint = 'Leave it out, or name a run trained with --set model.context="han-encoder" or the like.'
        raise ConfigError("no run here reads the sentences before, so context would change nothing.", "--context", hint)
    return ["real", *(one for one in found if one != "real")] if "shuffled" in found or "real" in found else found


def before_each_line(lines: Lines, context: Context | None, control: Control = "real") -> list[list[int]] | None:
    """The numbers of the lines that a model looks back at from each line, the nearest first; None where it looks at none.

    ``shuffled``: as many lines, and in their own order, of another document, each time the same one (of several where it is too
    short). Raises DataError where there is no other document.
    """
    if context is None or control == "none" or lines.previous is None:
        return None
    real = lines_before(lines.previous, context.sentences)
    return real if control == "real" else _of_others(real, lines.previous, lines.src)


def _of_others(real: list[list[int]], previous: Sequence[int], src: Sequence[str]) -> list[list[int]]:
    texts = documents([row for row, line in enumerate(src) if clean(line)], previous)
    if len(texts) < 2:
        raise DataError("there is a single document here, and no other one to look back at.")
    # Each stands in for the next one in a random circle, so none for itself; where it has too few sentences, so do those before.
    circle = np.random.default_rng(SEED).permutation(len(texts)).tolist()
    others = [list[int]() for _ in real]
    for place, number in enumerate(circle):
        for depth, row in enumerate(texts[number]):
            strangers = (texts[circle[place - steps]] for steps in range(1, len(circle)))
            # Not what comes later: its translation may not be there yet.
            lines = (other[line] for other in strangers for line in range(min(depth, len(other)) - 1, -1, -1))
            others[row] = list(islice(lines, len(real[row])))
    return others
