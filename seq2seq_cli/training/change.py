"""What training has changed compared with the run that it started from, and whether the change may be chance."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace

from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.sentences import BEST_TEXT
from seq2seq_cli.decoding.translator import Translator, Watch
from seq2seq_cli.evaluation.contexts import before_each_line
from seq2seq_cli.evaluation.metrics import RANDOMISATION, PValues, Score, Scores, paired, score_system
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.report.exports import shown_p
from seq2seq_cli.runs import write_json
from seq2seq_cli.training.sitting import Sitting
from seq2seq_cli.training.start import restore_start, started_looking_back

LEVEL = 0.05
"""The p-value below which a change is called significant."""


@dataclass(frozen=True)
class Change:
    """Scores on ``split`` before and after: of the weights that training started from, and of those that it kept. Both
    are decoded alike (``beam``); ``p`` is the paired significance of the difference."""

    split: str
    beam: int
    before: Scores
    after: Scores
    p: PValues

    @property
    def verdict(self) -> str:
        """Whether training has changed anything, in words."""
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


def changes(sitting: Sitting, translator: Translator, tested: Evaluation | None, watch: Watch) -> Iterator[Change]:
    """The changes on dev and, if the test was run (``tested``), on test. ``translator`` has the weights that training
    kept. Also writes them into the run's ``change.json``. ``watch`` hears how far each search has come."""
    run, dev = sitting.run, sitting.prepared.dev_lines
    start = replace(translator, model=deepcopy(translator.model))
    # Where the run that training started from did not look back, neither does this.
    looked_back = restore_start(start.model, run) and started_looking_back(sitting.config)
    said = _translated(translator, dev, watch)
    known = dev if looked_back else replace(dev, previous=None)
    made = [_change("dev", known, start, said, sitting.tokenizer.name, watch)]
    if tested is not None:
        known = tested.lines if looked_back else replace(tested.lines, previous=None)
        made.append(_change("test", known, start, tested.hypotheses, tested.tokenizer.name, watch))
    write_json(run.change, [change.to_json() for change in made])
    yield from made


def _translated(translator: Translator, lines: Lines, watch: Watch) -> list[str]:
    before = before_each_line(lines, translator.config.reads_before)
    found = best_of_each(translator, lines.src, watch=watch, details=BEST_TEXT, before=before)
    return [hypothesis.text for hypothesis in found.hypotheses]


def _change(split: str, lines: Lines, start: Translator, after: list[str], tokenizer: str, watch: Watch) -> Change:
    before = _translated(start, lines, watch)
    [p] = paired(before, [after], lines.references, tokenizer)
    then, now = (score_system(said, lines.references, tokenizer) for said in (before, after))
    return Change(split, start.config.decoding.beam, then, now, p)
