"""What training has changed of the run that it started from, and whether that may be chance."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace

from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.prepare import Prepared
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.sentences import BEST_TEXT
from seq2seq_cli.decoding.translator import Translator, Watch
from seq2seq_cli.evaluation.metrics import RANDOMISATION, PValues, Score, Scores, paired, score_system
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.model.weights import read_weights, restore
from seq2seq_cli.report.tables import shown_p
from seq2seq_cli.runs import Run, write_json
from seq2seq_cli.training.setup import dev_tokenizer

LEVEL = 0.05
"""Of p, below which a change is called significant."""


@dataclass(frozen=True)
class Change:
    """Scores on ``split`` of the weights that training started from and of those that it kept, decoded alike (``beam``), and
    the paired significance of their difference."""

    split: str
    beam: int
    before: Scores
    after: Scores
    p: PValues

    @property
    def verdict(self) -> str:
        """In words."""
        told = []
        for before, after, p in self._pairs:
            if p < LEVEL:
                told.append(f"{after.name} is significantly {'better' if after.value > before.value else 'worse'}")
        return " and ".join(told) or "no significant change"

    def __str__(self) -> str:
        figures = (
            f"{after.name} {before.value:.2f} before, {after.value:.2f} now ({after.value - before.value:+.2f}, p {shown_p(p)})"
            for before, after, p in self._pairs
        )
        return f"{self.split}, beam {self.beam}: {', '.join(figures)}: {self.verdict}"

    @property
    def _pairs(self) -> list[tuple[Score, Score, float]]:
        return [
            (self.before.bleu, self.after.bleu, self.p.bleu),
            (self.before.chrf, self.after.chrf, self.p.chrf),
        ]

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "test": str(RANDOMISATION), "verdict": self.verdict}


def changes(
    run: Run, prepared: Prepared, translator: Translator, tested: Evaluation | None, watch: Watch | None = None
) -> Iterator[Change]:
    """On dev, and on test where it was ``tested``; ``translator`` has the weights that training kept. Writes them into
    the run's ``change.json``."""
    start = replace(translator, model=deepcopy(translator.model))
    restore(start.model, read_weights(run.start), str(run.start))
    tokenizer = dev_tokenizer(translator.config, prepared).name
    said = _translated(translator, prepared.dev_lines, watch)
    made = [_change("dev", prepared.dev_lines, start, said, tokenizer, watch)]
    if tested is not None:
        made.append(_change("test", tested.lines, start, tested.hypotheses, tested.tokenizer.name, watch))
    write_json(run.change, [change.to_json() for change in made])
    yield from made


def _translated(translator: Translator, lines: Lines, watch: Watch | None) -> list[str]:
    found = best_of_each(translator, lines.src, watch=watch, details=BEST_TEXT)
    return [hypothesis.text for hypothesis in found.hypotheses]


def _change(
    split: str, lines: Lines, start: Translator, after: list[str], tokenizer: str, watch: Watch | None
) -> Change:
    before = _translated(start, lines, watch)
    [p] = paired(before, [after], lines.tgt, tokenizer, more=lines.more)
    then, now = (score_system(said, lines.tgt, tokenizer, more=lines.more) for said in (before, after))
    return Change(split, start.config.decoding.beam, then, now, p)
