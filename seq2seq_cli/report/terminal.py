"""Attention heat maps for a terminal."""

from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.color import Color
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.evaluation.alignment import Grid, by_pieces, by_words

CELL = 3
"""Columns of a cell: 100% needs no more."""
PALE, DEEP = (222, 235, 247), (8, 48, 107)
"""Backgrounds of 0% and of 100%."""


@dataclass(frozen=True)
class TerminalHeatmap:
    """A rich renderable: a row for each target word, a numbered column for each source word, weights in percent.

    Digits say everything and colours only repeat it, so nothing is lost where there are no colours. What rounds to zero
    is a dot; what lies outside of a local window is blank. A grid wider than the terminal is continued below.
    """

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label_width = min(max(map(cell_len, self.grid.target)), options.max_width // 3)
        columns = max(1, (options.max_width - label_width - 1) // CELL)
        for start in range(0, len(self.grid.source), columns):
            stop = min(start + columns, len(self.grid.source))
            if start:
                yield Text()
            yield self._legend(start, stop)
            yield self._header(start, stop, label_width)
            for t in range(len(self.grid.target)):
                yield self._row(t, start, stop, label_width)

    def _legend(self, start: int, stop: int) -> Columns:
        words_of_block = enumerate(self.grid.source[start:stop], start=start + 1)
        return Columns([Text.assemble((str(number), "dim"), " ", word) for number, word in words_of_block])

    def _header(self, start: int, stop: int, label_width: int) -> Text:
        numbers = "".join(f"{s + 1:>{CELL}}" for s in range(start, stop))
        return Text(" " * (label_width + 1) + numbers, "dim", no_wrap=True)

    def _row(self, t: int, start: int, stop: int, label_width: int) -> Text:
        row = Text(self.grid.target[t], no_wrap=True)
        row.truncate(label_width, overflow="ellipsis")
        row.align("right", label_width)
        row.append(" ")
        for s in range(start, stop):
            if self.grid.seen_TS is None or self.grid.seen_TS[t, s]:
                row.append_text(_cell(float(self.grid.weights_TS[t, s])))
            else:
                row.append(" " * CELL)
        return row


def terminal_heatmap(alignment: Alignment, merge: bool) -> TerminalHeatmap:
    """``alignment`` for ``rich``'s ``Console.print``. ``merge``: show words instead of subword pieces."""
    return TerminalHeatmap(by_words(alignment) if merge else by_pieces(alignment))


def _cell(weight: float) -> Text:
    percent = round(100 * weight)
    if percent == 0:
        return Text("·".rjust(CELL), "dim")
    shade = np.clip(weight, 0, 1) * (np.array(DEEP) - PALE) + PALE
    ink = Color.parse("white" if weight > 0.5 else "black")
    return Text(f"{percent:>{CELL}}", Style(color=ink, bgcolor=Color.from_rgb(*shade)))
