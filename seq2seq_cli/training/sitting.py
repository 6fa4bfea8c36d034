"""A sitting: the training of one process, from where it begins or resumes until it ends or is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.guidance import GuideFile
from seq2seq_cli.data.prepare import Prepared, Report, prepare, silent
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.errors import RunError
from seq2seq_cli.evaluation.tokenizers import Tokenizer, choose_tokenizer
from seq2seq_cli.files import expanded
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.runs import Run
from seq2seq_cli.training import start
from seq2seq_cli.training.checkpoint import LastCheckpoint, snapshot, take_over
from seq2seq_cli.training.interruption import Interruption
from seq2seq_cli.training.learner import Learner, new_learner
from seq2seq_cli.training.loop import SKIPPED_IN_A_ROW
from seq2seq_cli.training.optim import AFTER_SETBACK
from seq2seq_cli.training.progress import Diverged, Progress, WentBack

MOST_SETBACKS = 3
"""How often training goes back, to try a lower rate, before it gives up."""


@dataclass(frozen=True)
class Sitting:
    """What all parts of a training need: its settings and text, what learns from them, and how far it has come.

    ``learner`` and ``progress`` change as training goes on; together they are a checkpoint. Of several processes each
    has its own sitting, and all come to the same result, but only the first writes the files of ``run``.
    ``interruption`` hears of signals, ``report`` of work that takes long.
    """

    config: Config
    run: Run
    prepared: Prepared
    learner: Learner
    progress: Progress
    interruption: Interruption
    report: Report

    @classmethod
    def untrained(
        cls, config: Config, run: Run, prepared: Prepared, ranks: Ranks, interruption: Interruption, report: Report
    ) -> Sitting:
        """With a new model, before the first step."""
        learner = new_learner(config, prepared.subwords, ranks, dev_tokenizer(config, prepared).name)
        return cls(config, run, prepared, learner, Progress(), interruption, report)

    @cached_property
    def last(self) -> LastCheckpoint:
        """The checkpoint that a stopped training is resumed from."""
        return LastCheckpoint(self.run)

    @property
    def ranks(self) -> Ranks:
        return self.learner.ranks

    @property
    def tokenizer(self) -> Tokenizer:
        """See `dev_tokenizer`."""
        return dev_tokenizer(self.config, self.prepared)

    @property
    def is_stopped(self) -> bool:
        """Whether any process has heard a signal that asks to end."""
        return self.ranks.any(self.interruption.asked)

    def begin(self) -> list[str]:
        """Go to where training begins, taking weights from another run if it starts from one; returns notes for the
        user."""
        told = start.keep_start(self.run, self.config)
        self.progress.become(start.begin(self.learner, self.run, self.config))
        return told

    def resume(self) -> list[str]:
        """Go to where the run stopped; returns notes for the user. Raises what `LastCheckpoint.load` does."""
        self.progress.become(start.begin(self.learner, self.run, self.config))
        found, told = self.last.load(self.learner)
        if found is not None:
            self.progress.become(found)
        return told

    def save(self) -> None:
        """Write a new last checkpoint."""
        self.last.save(self.learner, self.progress)

    def go_back(self, diverged: Diverged) -> WentBack:
        """Go back to the latest milestone, or to the beginning. Raises RunError where that was done too often."""
        if diverged.setbacks >= MOST_SETBACKS:
            what = (
                f"training diverges: {SKIPPED_IN_A_ROW} steps in a row, up to step {diverged.step}, had no finite loss and "
                f"gradient, after going back {diverged.setbacks} times, at last with {AFTER_SETBACK**diverged.setbacks:g} of "
                "the learning rate."
            )
            hint = 'Start again with a lower training.learning_rate, training.clip_norm = 1 or training.precision = "fp32".'
            raise RunError(what, str(self.run.directory), hint)
        earlier = self.last.go_back(self.learner)
        if earlier is None:
            fresh = new_learner(self.config, self.prepared.subwords)
            earlier = start.begin(fresh, self.run, self.config)
            self.learner.become(fresh)
        self.progress.go_back(earlier)
        self.tell_state()
        progress = self.progress
        rate_share = AFTER_SETBACK**progress.setbacks
        return WentBack(progress.step, diverged.step, progress.setbacks, rate_share, progress.seconds)

    def tell_state(self) -> None:
        """The first process tells the others where to train from; they call `hear_state`. It does so at the beginning,
        after each setback, and for the averaged weights, so that the others need no checkpoints of their own."""
        if self.ranks.size > 1:
            self.ranks.tell(snapshot(self.learner, self.progress))

    def hear_state(self) -> None:
        """Go to where the first process is, as it tells by `tell_state`."""
        state = self.ranks.tell(snapshot(self.learner, self.progress))
        self.progress.become(take_over(self.learner, state, "the first process"))


def prepared_text(config: Config, threads: int, report: Report = silent, subwords: Subwords | None = None) -> Prepared:
    """The text of ``config``, tokenised, with the word links that guide attention, if there are any."""
    guided = config.training.guided_alignment
    links = None if guided is None else GuideFile(expanded(guided), config.training.guided_from)
    return prepare(config.data, config.subword, threads, report, subwords, links, config.reads_before)


def with_vocabulary(
    prepared: Prepared, subwords: Subwords, config: Config, threads: int, report: Report = silent
) -> Prepared:
    """``prepared``, if it is tokenised by ``subwords``; otherwise the same text tokenised by them."""
    if (subwords.src.model, subwords.tgt.model) == (prepared.subwords.src.model, prepared.subwords.tgt.model):
        return prepared
    return prepared_text(config, threads, report, subwords)


def dev_tokenizer(config: Config, prepared: Prepared) -> Tokenizer:
    """The tokenizer of sacreBLEU for BLEU on dev, and for rewards."""
    return choose_tokenizer(config.evaluation.tokenizer, prepared.tgt, prepared.dev_lines.tgt)
