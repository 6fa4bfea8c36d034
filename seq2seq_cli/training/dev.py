"""Evaluating a model on dev while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch

from seq2seq_cli.data.batching import cut, load_batch
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.decoding.documents import documents
from seq2seq_cli.decoding.every_line import MOST_PIECES, best_of_each
from seq2seq_cli.decoding.hypothesis import Alignment, Hypothesis
from seq2seq_cli.decoding.translator import Translator, Watch, nothing
from seq2seq_cli.errors import DataError, UnsearchableError
from seq2seq_cli.evaluation.contexts import before_each_line
from seq2seq_cli.evaluation.diagnostics import diagnose
from seq2seq_cli.evaluation.metrics import bleu
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.report.pictures import pick_sentences, spread
from seq2seq_cli.training.learner import Learner
from seq2seq_cli.training.limit import FIRST, Deadline, OutOfTimeError, look_seconds, seconds_of
from seq2seq_cli.training.loop import DevScores, Evaluate
from seq2seq_cli.training.sitting import Sitting

T = TypeVar("T")

DIAGNOSED = 100
"""At most how many dev sentences have their alignments measured at each evaluation."""
WATCHED = 3
"""How many dev sentences have their alignments drawn at each evaluation."""
LOSS_SHARE = 0.25
"""Share of an evaluation's time that the loss takes; the search takes the rest. It tells how much of an evaluation is
done."""
STAGE = "looking at dev"


def dev_evaluator(sitting: Sitting) -> Evaluate:
    """A function that evaluates a model: its loss on dev, the BLEU of greedy search, and where it looked meanwhile, in
    the same sentences each time. Several processes share the work and come to the same scores.

    Under a time limit, the function raises OutOfTimeError when the limit is over. If the first evaluation would take
    too much of the limit, all evaluations use only ``progress.dev_lines`` lines of dev, drawn with the seed.
    """
    scorer, training, progress = _DevScorer(sitting), sitting.config.training, sitting.progress

    def evaluate(model: Seq2Seq) -> DevScores:
        allowed = look_seconds(training, progress)
        deadline = Deadline.after(allowed)
        if progress.evaluations == 0 and progress.dev_lines is None and not math.isinf(allowed):
            try:
                return scorer.scores(model, None, Deadline.after(min(FIRST * seconds_of(training), allowed) / 2))
            except OutOfTimeError:
                progress.dev_lines = sitting.ranks.tell(scorer.part_done())
        return scorer.scores(model, progress.dev_lines, deadline)

    return evaluate


class _DevScorer:
    """Evaluates on dev, or on a part of it. ``done`` is how much of the current evaluation is done, 0 to 1."""

    FEWEST, LEAST, CAUTION = 20, 0.05, 0.8
    """For evaluating on a part of dev: the fewest lines; the share of dev to take when nothing of an evaluation was
    done in time; and how much to take of the share that was done in time."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting, self.training = sitting, sitting.config.training
        self.dev, self.lines = sitting.prepared.dev, sitting.prepared.dev_lines
        self.count = len(self.lines.src)
        self.tokenizer = sitting.tokenizer.name
        # So that evaluating takes no more memory than an update.
        tokens = self.training.batch_tokens
        self.at_a_time = AtATime(tokens, tokens * (sitting.config.data.max_length + 1))
        self.done = 0.0
        if not is_of_a_length(self.dev).any():
            what = f"every dev line is longer than {MOST_PIECES:,} pieces."
            raise DataError(what, sitting.prepared.corpus_name, "Cut these lines into sentences.")

    def part_done(self) -> int | None:
        """The number of dev lines to evaluate from now on, after the time was too short for all: about as many
        as were done in time. None means all."""
        lines = max(self.FEWEST, int(self.CAUTION * self.count * max(self.done, self.LEAST)))
        return lines if lines < self.count else None

    def scores(self, model: Seq2Seq, lines: int | None, deadline: Deadline) -> DevScores:
        """The scores on ``lines`` lines of dev (None: all). Raises OutOfTimeError in all processes where the deadline
        of one has passed."""
        rows = self._drawn(lines)
        learner, ranks, dev = self.sitting.learner, self.sitting.ranks, self.lines
        watch = self._watch(0.0, LOSS_SHARE, len(rows), deadline)
        loss = dev_loss(model, self.dev, rows, self.at_a_time, learner, watch)
        watch = self._watch(LOSS_SHARE, 1.0, len(rows), deadline)
        units = self._units(rows)
        mine = ranks.share(units)
        of_mine = list(chain.from_iterable(mine))
        translated = _in_all_processes(ranks, lambda: _translated(self.sitting, model, of_mine, watch))
        found = dict(zip(of_mine, translated, strict=True))
        diagnosed = set(spread([i for i in rows if dev.src[i].strip()], DIAGNOSED))
        told = [
            [_Told(i, found[i].text, found[i].alignment if i in diagnosed else None) for i in unit] for unit in mine
        ]
        every = sorted(chain.from_iterable(ranks.gather(told)), key=lambda one: one.row)
        looked = [one.alignment for one in every]
        score = bleu([one.text for one in every], [dev.tgt[i] for i in rows], self.tokenizer)
        return DevScores(loss, score, diagnose(alignment for alignment in looked if alignment is not None))

    def _drawn(self, lines: int | None) -> list[int]:
        if lines is None:
            return list(range(self.count))
        units = self._units(range(self.count))
        drawn = (units[number] for number in np.random.default_rng(self.training.seed).permutation(len(units)))
        rows: list[int] = []
        while len(rows) < lines:
            rows += next(drawn)
        return sorted(rows)

    def _units(self, rows: Sequence[int]) -> list[list[int]]:
        """What a process translates as a whole: sentences, or documents where a sentence waits for the one before it."""
        if self.lines.previous is not None and self.sitting.config.model.back.decoder:
            return documents(rows, self.lines.previous)
        return [[row] for row in rows]

    def _watch(self, begin: float, end: float, lines: int, deadline: Deadline) -> Watch:
        def watch(done: int, total: int) -> None:
            self.done = begin + (end - begin) * done / max(1, total)
            self.sitting.report(STAGE, round(self.done * lines), lines)
            deadline.check()

        return watch


class _Told(NamedTuple):
    """What a process tells the others of a line of dev."""

    row: int
    text: str
    alignment: Alignment | None


def _in_all_processes(ranks: Ranks, work: Callable[[], T]) -> T:
    """What ``work`` makes in this process. Raises OutOfTimeError in all processes if any of them runs out of time, so
    that nobody waits for it."""
    made, over = None, False
    try:
        made = work()
    except OutOfTimeError:
        over = True
    if ranks.any(over):
        raise OutOfTimeError
    return cast(T, made)


def is_of_a_length(dev: TokenisedSplit) -> np.ndarray:
    """Which pairs are short enough on both sides to be translated and scored: of at most MOST_PIECES pieces."""
    short: np.ndarray = np.maximum(dev.src_lengths, dev.tgt_lengths) <= MOST_PIECES
    return short


def too_long(dev: TokenisedSplit) -> list[str]:
    """A note on the pairs that are too long, if there are any."""
    count = int((~is_of_a_length(dev)).sum())
    if not count:
        return []
    have, they = ("pair has", "it is") if count == 1 else ("pairs have", "they are")
    return [
        f"{count:,} dev {have} more than {MOST_PIECES:,} pieces on a side: at each look at dev a source as long is left "
        f"untranslated, and {they} not in the loss."
    ]


def dev_alignments(sitting: Sitting) -> Callable[[], dict[str, Alignment]]:
    """A function that tells where the model looks by now, in its own translations of a few dev sentences, always the
    same."""
    sources, model = sitting.prepared.dev_lines.src, sitting.learner.model
    chosen = pick_sentences(sources, WATCHED)

    def look() -> dict[str, Alignment]:
        model.eval()
        found = _translated(sitting, model, chosen)
        model.train()
        pairs = zip(chosen, found, strict=True)
        return {f"dev line {i + 1}": one.alignment for i, one in pairs if one.alignment is not None}

    return look


def _translated(sitting: Sitting, model: Seq2Seq, rows: Sequence[int], watch: Watch | None = None) -> list[Hypothesis]:
    """The greedy translation of each of these lines of dev. If the probabilities of the model are NaN for now, all are
    empty: the loss shows it, and training may recover."""
    config, learner, dev = sitting.config, sitting.learner, sitting.prepared.dev_lines
    translator = Translator(model, sitting.prepared.subwords, config, learner.device, learner.precision)
    try:
        before, greedy = before_each_line(dev, config.reads_before), config.decoding.with_beam(1)
        return best_of_each(translator, dev.src, greedy, watch, before=before, rows=rows).hypotheses
    except UnsearchableError:
        return [nothing() for _ in rows]


class AtATime(NamedTuple):
    """How much of dev is computed together: ``tokens`` of a batch, as `cut` counts them, and ``cells`` of attention (see
    ``Seq2Seq.nll``)."""

    tokens: int
    cells: int


@torch.inference_mode()
def dev_loss(
    model: Seq2Seq,
    dev: TokenisedSplit,
    rows: Sequence[int],
    at_a_time: AtATime,
    learner: Learner,
    watch: Watch,
) -> float:
    """Negative log-likelihood of these ``rows`` of dev in nats a target token; pairs of more than MOST_PIECES are left
    out. ``learner``: on what device, how precisely and in how many processes it is computed. ``watch`` as in a
    search."""
    among = np.asarray(rows)
    among = among[is_of_a_length(dev)[among]]
    order = among[np.lexsort((dev.src_lengths[among], dev.tgt_lengths[among]))]
    batches = learner.ranks.share(cut(dev.tgt_lengths[order] + 1, dev.src_lengths[order] + 1, at_a_time.tokens))

    def sums() -> tuple[float, int]:
        total, tokens = 0.0, 0
        for number, part in enumerate(batches):
            watch(number, len(batches))
            batch = load_batch(dev, order[part]).to(learner.device)
            with learner.precision.autocast(learner.device):
                total += float(model.nll(batch, at_a_time.cells))
            tokens += batch.target_tokens
        return total, tokens

    total, all_tokens = learner.ranks.sum(*_in_all_processes(learner.ranks, sums))
    return total / all_tokens if all_tokens else math.nan
