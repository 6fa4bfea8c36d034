"""Training in several processes: what the others do while the first one keeps the run directory.

The first one tells the vocabulary; then, at the beginning, after each setback and for the averaged weights, its whole
state, so that the others need no checkpoint of their own.
"""

from __future__ import annotations

from contextlib import suppress

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.subword import Subword, Subwords
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.signals import Stopped
from seq2seq_cli.training.checkpoint import snapshot, take_over
from seq2seq_cli.training.dev import dev_evaluator
from seq2seq_cli.training.gradients import Learner
from seq2seq_cli.training.interruption import Interruption
from seq2seq_cli.training.limit import OutOfTimeError
from seq2seq_cli.training.loop import train
from seq2seq_cli.training.progress import Diverged, Progress
from seq2seq_cli.training.setup import dev_tokenizer, new_learner, prepared_text, with_vocabulary


def share_vocabulary(subwords: Subwords, ranks: Ranks) -> None:
    """The first process tells the others which one to tokenise with, once the text is prepared."""
    ranks.tell((subwords.src.model, subwords.tgt.model))


def share_state(learner: Learner, progress: Progress) -> None:
    """The first process tells the others where to train from."""
    if learner.ranks.size > 1:
        learner.ranks.tell(snapshot(learner, progress))


def train_along(config: Config, threads: int, interruption: Interruption, ranks: Ranks) -> None:
    """The part of a process that is not the first. Raises Stopped where any is interrupted."""
    subwords = _vocabulary(*ranks.tell((b"", b"")))
    given = None if config.objective.from_run is None else subwords
    prepared = with_vocabulary(prepared_text(config, threads, subwords=given), subwords, config, threads)
    learner = new_learner(config, prepared.subwords, ranks, dev_tokenizer(config, prepared).name)
    progress = Progress()
    evaluate = dev_evaluator(prepared, config, learner, progress)
    _receive_state(learner, progress)
    with interruption.held():
        on = True
        while on:
            on = False
            for event in train(learner, prepared.train, config.training, progress, interruption.let_through(evaluate)):
                if isinstance(event, Diverged):
                    _receive_state(learner, progress)
                    on = True
                if ranks.any(interruption.asked):
                    raise Stopped(interruption.number)
    if ranks.tell(False):
        _receive_state(learner, progress)
        with suppress(OutOfTimeError):
            evaluate(learner.model.eval())


def _receive_state(learner: Learner, progress: Progress) -> None:
    state = learner.ranks.tell(snapshot(learner, progress))
    progress.become(take_over(learner, state, "the first process"))


def _vocabulary(src: bytes, tgt: bytes) -> Subwords:
    both = Subword(src)
    return Subwords(both, both if src == tgt else Subword(tgt))
