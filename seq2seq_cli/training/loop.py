"""The training loop: a generator of what happened. Saving, printing and plotting are its caller's business."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch

from seq2seq_cli.config.sections import TrainingConfig
from seq2seq_cli.data.batching import plan
from seq2seq_cli.data.epochs import TrainingText
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.evaluation.diagnostics import Diagnostics
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.training import optim
from seq2seq_cli.training.gradients import add_gradients
from seq2seq_cli.training.learner import Learner
from seq2seq_cli.training.limit import OutOfTimeError, updating_seconds
from seq2seq_cli.training.progress import Diverged, Ended, Evaluated, Event, Progress, Skipped, Stepped, Unjudged
from seq2seq_cli.wording import counted

SKIPPED_IN_A_ROW = 10
"""After this many steps in a row without a finite loss and gradient, going on is no use."""


class DevScores(NamedTuple):
    """``loss`` in nats a target token, ``bleu`` of greedy search, and diagnostics of the ``attention`` in some
    translations (None for a model without attention, or where the translations are empty)."""

    loss: float
    bleu: float
    attention: Diagnostics | None = None


Evaluate = Callable[[Seq2Seq], DevScores]
"""A function that scores a model on dev; it may raise OutOfTimeError."""


def train(
    learner: Learner,
    data: TrainingText,
    config: TrainingConfig,
    progress: Progress,
    evaluate: Evaluate,
) -> Iterator[Event | Diverged]:
    """Train until the epochs, the minutes or the patience run out (``Ended``), or until going on is no use
    (``Diverged``).

    At every yield the learner and ``progress`` together are a complete checkpoint: training on from them is bit for bit
    the same as never having stopped. The exception is a time limit that takes effect: then the clock decides where
    training ends, how the cosine falls and, if time is short, how many lines of dev are used.
    """
    loop = _Loop(learner, data, config, progress, evaluate, _Clock(progress, learner.ranks))
    # Frozen, because Python's collector would otherwise search all imported objects again and again: 3% of the time.
    # Unfrozen first, or what an earlier training in this process has left would be frozen as well.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    yield from loop.happenings()


class _Loop(NamedTuple):
    """What ``train`` is given, and the time that it takes."""

    learner: Learner
    data: TrainingText
    config: TrainingConfig
    progress: Progress
    evaluate: Evaluate
    clock: _Clock

    def happenings(self) -> Iterator[Event | Diverged]:
        """What ``train`` yields."""
        progress = self.progress
        while True:
            if self.has_diverged():
                yield Diverged(progress.step, progress.setbacks, progress.seconds)
                return
            reason = self.reason_to_end()
            if self.evaluation_due(ending=bool(reason)):
                yield self.look_at_dev()
                reason = self.reason_to_end()
            if reason:
                break
            yield from self.buffer()
        yield Ended(reason, progress.step, progress.seconds, progress.skipped, progress.setbacks)

    def has_diverged(self) -> bool:
        """Whether going on is no use."""
        return self.progress.skipped_in_a_row >= SKIPPED_IN_A_ROW

    def buffer(self) -> Iterator[Stepped | Skipped | Evaluated | Unjudged]:
        """Train on the rest of one buffer. When it returns, nothing of the buffer is in memory any more."""
        config, progress = self.config, self.progress
        buffers = self.data.buffers(config.seed, progress.epoch)
        split = self.data.load(buffers[progress.buffer])
        batches = plan(split, config.batch_tokens, config.seed, progress.epoch, progress.buffer)
        groups = [batches[i : i + config.accumulate] for i in range(0, len(batches), config.accumulate)]
        place = progress.epoch, progress.buffer
        if progress.batch >= len(groups):  # nothing to train on, or a place in batches that another version cut
            progress.close_buffer(len(split), len(buffers))
        self.learner.model.train()
        while (progress.epoch, progress.buffer) == place:
            if self.reason_to_end() or self.has_diverged():
                return
            if self.evaluation_due(ending=False):
                yield self.look_at_dev()
                continue
            share = (progress.pairs + len(split) * (progress.batch / len(groups))) / len(self.data)
            event = self.step(split, groups[progress.batch], share)
            if progress.batch == len(groups):
                progress.close_buffer(len(split), len(buffers))
            yield event

    def reason_to_end(self) -> str:
        """Why training is over now; "" while it is not."""
        config, progress = self.config, self.progress
        if progress.stale >= config.patience:
            return f"no better on dev for {counted(config.patience, 'evaluation')}"
        if progress.epoch >= config.epochs:
            return f"{counted(progress.epoch, 'epoch')} done"
        if config.max_minutes is not None and progress.seconds >= updating_seconds(config, progress):
            return "1 minute is over" if config.max_minutes == 1 else f"{config.max_minutes:g} minutes are over"
        return ""

    def evaluation_due(self, ending: bool) -> bool:
        """Whether to evaluate on dev before the next step, or before the end (``ending``). It depends on ``progress``
        alone, so that a training that was stopped between a step and its evaluation, or during it, makes up for it when
        resumed."""
        every, progress = self.config.evaluate_every, self.progress
        due = progress.step % every == 0 if every else progress.batch == progress.buffer == 0
        return (due or ending) and progress.evaluated_step < progress.step

    def step(self, split: TokenisedSplit, group: list[np.ndarray], epoch_share: float) -> Stepped | Skipped:
        """An update by the batches of ``group``, at that share of the epoch."""
        learner, config, progress = self.learner, self.config, self.progress
        weight = optim.guided_weight(config, optim.share_done(config, progress, epoch_share))
        _seed(config.seed, progress, learner.ranks)
        sums = add_gradients(learner, split, group, weight)
        rate = optim.learning_rate(config, progress, epoch_share)
        finite = math.isfinite(sums.loss)
        # The gradients are the mean over the processes, not the sum.
        tokens = sums.tokens / learner.ranks.size
        norm = optim.step(learner.optimizer, rate, tokens, config.clip_norm, learner.scaler, finite, learner.shared)
        took = self.clock.lap()
        progress.step_seconds = took if config.max_minutes is not None else 0.0
        progress.step += 1
        progress.batch += 1
        # In fp16 a gradient may also be infinite because the loss scale is too large; then the scaler has lowered it by now.
        if not finite or not (math.isfinite(norm) or learner.scaler.is_enabled()):
            progress.skipped += 1
            progress.skipped_in_a_row += 1
            what: Literal["loss", "gradient"] = "gradient" if finite else "loss"
            return Skipped(progress.epoch, progress.step, what, progress.skipped, progress.seconds)
        progress.skipped_in_a_row = 0
        return Stepped(
            epoch=progress.epoch,
            step=progress.step,
            loss=sums.loss / sums.tokens,
            target_tokens=sums.tokens,
            learning_rate=rate,
            gradient_norm=norm,
            seconds=progress.seconds,
            share=optim.share_done(config, progress, epoch_share),
            guidance=sums.guidance / sums.guided_tokens if sums.guided_tokens else None,
            guided_tokens=sums.guided_tokens,
            split_into=sums.parts if sums.parts > len(group) else None,
            reward=100 * sums.reward / sums.rewarded if sums.rewarded else None,
            rewarded=sums.rewarded,
            coverage=sums.coverage / sums.tokens if config.coverage_weight else None,
        )

    def look_at_dev(self) -> Evaluated | Unjudged:
        """Judge the model, and note how it did."""
        learner, config, progress = self.learner, self.config, self.progress
        learner.model.eval()
        try:
            scores = self.evaluate(learner.model)
        except OutOfTimeError:
            return self.unjudged()
        finally:
            learner.model.train()
        progress.evaluations += 1
        progress.evaluated_step = progress.step
        score = scores.bleu if config.stop_on == "bleu" else -scores.loss
        score = -math.inf if math.isnan(score) else score
        best = progress.best_score is None or score > progress.best_score
        if best:
            progress.best_score, progress.best_step, progress.stale = score, progress.step, 0
        else:
            progress.stale += 1
        lowest = math.inf if progress.lowest_loss is None else progress.lowest_loss
        if scores.loss < lowest:
            progress.lowest_loss = scores.loss
        else:
            progress.plateau_factor /= 2
        took = self.clock.lap()
        progress.look_seconds = took if config.max_minutes is not None else 0.0
        return Evaluated(
            epoch=progress.epochs_begun,
            step=progress.step,
            number=progress.evaluations,
            loss=scores.loss,
            bleu=scores.bleu,
            best=best,
            seconds=progress.seconds,
            attention=scores.attention,
            dev_lines=progress.dev_lines,
        )

    def unjudged(self) -> Unjudged:
        """Note that there was no time to judge the model."""
        progress = self.progress
        kept = progress.best_score is None
        progress.evaluated_step = progress.step
        progress.best_step = progress.step if kept else progress.best_step
        progress.look_seconds = max(progress.look_seconds, self.clock.lap())
        return Unjudged(progress.epochs_begun, progress.step, progress.seconds, kept)


def _seed(seed: int, progress: Progress, ranks: Ranks) -> None:
    """Seed the random numbers of a step from its place in the training alone, so that no checkpoint need keep a random
    state."""
    place = np.random.SeedSequence((seed, progress.step, ranks.rank))
    torch.manual_seed(int(place.generate_state(1, np.uint64)[0]))


class _Clock:
    """Adds the time since the last lap to ``progress.seconds``; time between sittings does not count. All processes use
    the clock of the first one."""

    def __init__(self, progress: Progress, ranks: Ranks) -> None:
        self.progress = progress
        self.ranks = ranks
        self.last = time.monotonic()

    def lap(self) -> float:
        """Begin a new lap; returns the seconds of the last one."""
        now, before = time.monotonic(), self.progress.seconds
        seconds = before + now - self.last
        self.last = now
        [self.progress.seconds] = self.ranks.sum(seconds if self.ranks.first else 0.0)
        return self.progress.seconds - before
