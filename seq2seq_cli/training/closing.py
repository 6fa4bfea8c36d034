"""What follows training: averaging the last weights, the test, what training has changed, pictures. Under a time limit,
this has a limit of its own; what does not fit into it is left out, and the user is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from seq2seq_cli.decoding.every_line import best_of_each
from seq2seq_cli.decoding.translator import Translator, Watch
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.contexts import before_each_line
from seq2seq_cli.evaluation.systems import Evaluation, evaluate_run
from seq2seq_cli.model.weights import restore, save_weights, state_of
from seq2seq_cli.report.pictures import Pictures, draw_pictures, spread
from seq2seq_cli.training.change import Change, changes
from seq2seq_cli.training.checkpoint import average
from seq2seq_cli.training.limit import Deadline, OutOfTimeError
from seq2seq_cli.training.loop import DevScores, Evaluate
from seq2seq_cli.training.sitting import Sitting
from seq2seq_cli.wording import counted, shell_word

T = TypeVar("T")

HOPELESS = 2.0
"""Work is not begun if it is expected to take this many times as long as there is time: expectations are rough."""
PROBED = 16
"""How many test lines are translated beforehand, to estimate how long all of them will take."""


@dataclass(frozen=True)
class Averaged:
    """The mean of the weights of the last ``checkpoints`` evaluations, with its dev scores. ``kept``: whether it is
    better than the best single checkpoint, and so kept in its place."""

    checkpoints: int
    scores: DevScores
    kept: bool

    def __str__(self) -> str:
        kept = "better, so it is the one kept" if self.kept else "the best single one is kept"
        return f"mean of the last {counted(self.checkpoints, 'evaluation')}: dev BLEU {self.scores.bleu:.2f}; {kept}"


@dataclass(frozen=True)
class Following:
    """What will follow a training under a time limit, how many ``seconds`` it may take, and how many the test is
    expected to take (None: there is no test, or no estimate). A test that is not in ``what`` does not fit in."""

    what: list[str]
    seconds: float
    test_seconds: float | None

    def __str__(self) -> str:
        said = ""
        if self.test_seconds is not None and TEST in self.what:
            tight = self.test_seconds > self.seconds
            said = f"{', if it can be done in time' if tight else ''} (about {max(1, round(self.test_seconds))} s)"
        parts = ", ".join(part + said if part == TEST else part for part in self.what) or "nothing"
        left_out = f"; not {TEST}, which would take about {self.test_seconds:.0f} s" if self.hopeless else ""
        return f"still to come, within {self.seconds:.0f} s: {parts}{left_out}"

    @property
    def hopeless(self) -> bool:
        """Whether there is a test but no time for it."""
        return self.test_seconds is not None and TEST not in self.what


@dataclass(frozen=True)
class LeftOut:
    """Something that the time limit leaves no time for, and the ``command`` that makes up for it."""

    what: str
    command: str

    def __str__(self) -> str:
        return f"no time was left for {self.what}. Make up for it with: {self.command}"


MEAN, TEST, CHANGE, PICTURES = "the mean of the last weights", "the test", "what training has changed", "the pictures"


class Closing:
    """What follows the training of ``sitting``, until ``deadline``; ``evaluate`` scores a model on dev."""

    def __init__(self, sitting: Sitting, evaluate: Evaluate, deadline: Deadline) -> None:
        self.sitting, self.evaluate, self.deadline = sitting, evaluate, deadline
        self.run, self.config, self.prepared = sitting.run, sitting.config, sitting.prepared
        self.learner, self.progress = sitting.learner, sitting.progress

    def happenings(self, pictures: int) -> Iterator[Following | Averaged | Evaluation | Change | Pictures | LeftOut]:
        """Do one thing after the other, and yield what came of it. ``pictures`` is the number of dev sentences to be
        drawn."""
        translator = following = None
        if not math.isinf(self.deadline.at):
            translator = self._translator()
            each = torch.get_num_threads()
            set_threads(self.config.training.threads)  # as the test will have them; other processes wait meanwhile
            following = self._following(translator)
            torch.set_num_threads(each)
            yield following
        averaged = self._mean_in_time()
        if averaged is not None:
            yield averaged
        set_threads(self.config.training.threads)  # the other processes, if there were any, have ended
        if translator is None or (isinstance(averaged, Averaged) and averaged.kept):
            translator = self._translator()
        tested = None
        if self.prepared.test_lines is not None:
            told = self._tested(translator, following)
            yield told
            tested = told if isinstance(told, Evaluation) else None
        if self.config.objective.from_run is not None:
            watch = self._watch(CHANGE)
            made = self._in_time(
                lambda: list(changes(self.sitting, translator, tested, watch)),
                CHANGE,
                self.run.resume_command,
            )
            yield from [made] if isinstance(made, LeftOut) else made
        if self.config.attention.row.attends:
            watch = self._watch(PICTURES)
            again = f'seq2seq plot --run {shell_word(self.run.directory)} "..."'
            yield self._in_time(
                lambda: draw_pictures(self.run, translator, self.prepared.dev_lines, pictures, watch), PICTURES, again
            )

    def _translator(self) -> Translator:
        return Translator.load(self.run.directory, str(self.learner.device), "fp32")

    def _following(self, translator: Translator) -> Following:
        kept = [path for path in self._last_weights() if path.is_file()]
        expected = self._test_seconds(translator)
        left = max(0.0, self.deadline.left)
        there = {
            MEAN: len(kept) >= 2,
            TEST: self.prepared.test_lines is not None and (expected is None or expected <= HOPELESS * left),
            CHANGE: self.config.objective.from_run is not None,
            PICTURES: self.config.attention.row.attends,
        }
        return Following([what for what, is_there in there.items() if is_there], left, expected)

    def _in_time(self, work: Callable[[], T], what: str, command: str) -> T | LeftOut:
        try:
            self.deadline.check()
            return work()
        except OutOfTimeError:
            return LeftOut(what, command)

    def _watch(self, what: str) -> Watch:
        def watch(done: int, total: int) -> None:
            self.sitting.report(what, done, total)
            self.deadline.check()

        return watch

    def _last_weights(self) -> list[Path]:
        """The files of the weights of the last evaluations, those that are there."""
        progress, count = self.progress, self.config.training.average
        return [self.run.kept(n) for n in range(max(1, progress.evaluations - count + 1), progress.evaluations + 1)]

    def _mean_in_time(self) -> Averaged | LeftOut | None:
        """The mean of the last weights, if there is time. The other processes wait to hear whether they will evaluate
        it with this one."""
        paths = [path for path in self._last_weights() if path.is_file()]
        there, in_time = len(paths) >= 2 and self.progress.best_score is not None, self.deadline.left >= 0
        if not self.learner.ranks.tell(there and in_time):
            return None if in_time or not there else LeftOut(MEAN, self.run.resume_command)
        # The others evaluate it now, and so must this process, even if time has run out since.
        try:
            return self._averaged(paths)
        except OutOfTimeError:
            return LeftOut(MEAN, self.run.resume_command)

    def _averaged(self, paths: list[Path]) -> Averaged:
        learner, best = self.learner, self.progress.best_score
        assert best is not None
        restore(learner.model, average(paths), "average")
        self.sitting.tell_state()
        learner.model.eval()
        scores = self.evaluate(learner.model)
        kept = (scores.bleu if self.config.training.stop_on == "bleu" else -scores.loss) > best
        if kept:
            save_weights(state_of(learner.model), self.run.best)
        return Averaged(len(paths), scores, kept)

    def _tested(self, translator: Translator, following: Following | None) -> Evaluation | LeftOut:
        test = self.prepared.test_lines
        assert test is not None
        again = f"seq2seq eval {shell_word(self.run.directory)}"
        if following is not None and following.hopeless:
            return LeftOut(TEST, again)
        return self._in_time(lambda: evaluate_run(self.run, test, translator, self._watch(TEST)), TEST, again)

    def _test_seconds(self, translator: Translator) -> float | None:
        """About how long the test will take, extrapolated from some of its lines."""
        test = self.prepared.test_lines
        if test is None:
            return None
        rows = spread(list(range(len(test.src))), PROBED)
        some, before = [test.src[row] for row in rows], before_each_line(test, self.config.reads_before)
        began = self.deadline.left
        try:
            best_of_each(translator, test.src, watch=self._watch(TEST), before=before, rows=rows)
        except OutOfTimeError:
            return None
        return (began - self.deadline.left) * sum(map(len, test.src)) / max(1, sum(map(len, some)))
