"""How far a training has come: everything but weights, optimiser and random state; and what happens in it. Plain data,
no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from seq2seq_cli.evaluation.diagnostics import Diagnostics
from seq2seq_cli.wording import counted

MILESTONE_STEPS = 1000
"""There is a milestone at least every this many steps."""


@dataclass
class Progress:
    """Changed by the training loop alone, saved with every checkpoint.

    ``batch`` is the next step within the buffer ``buffer`` of ``epoch``; earlier buffers of the epoch held ``pairs``
    pairs. ``seconds`` were spent training and evaluating, over all sittings. ``evaluated_step`` is the step of the last
    evaluation, and ``stale`` counts the evaluations since the best one. ``skipped`` counts the steps that were left out
    because loss or gradient was not finite, ``setbacks`` how often training went back for that. Under a time limit,
    ``step_seconds`` and ``look_seconds`` are how long the last update and the last evaluation took, and ``dev_lines``
    is how many lines of dev are used if there is no time for all.
    """

    epoch: int = 0
    buffer: int = 0
    batch: int = 0
    pairs: int = 0
    step: int = 0
    seconds: float = 0.0
    evaluations: int = 0
    evaluated_step: int = 0
    best_score: float | None = None
    best_step: int = 0
    stale: int = 0
    lowest_loss: float | None = None
    plateau_factor: float = 1.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    setbacks: int = 0
    step_seconds: float = 0.0
    look_seconds: float = 0.0
    dev_lines: int | None = None

    @property
    def milestone(self) -> bool:
        """Whether training may come back to here. This does not depend on the clock, so that a resumed training goes
        back to the same steps as one that never stopped."""
        return (self.step == self.evaluated_step or self.step % MILESTONE_STEPS == 0) and not self.skipped_in_a_row

    @property
    def epochs_begun(self) -> int:
        """How many epochs have begun: those done, and the one under way."""
        return self.epoch + (self.buffer > 0 or self.batch > 0)

    def close_buffer(self, pairs: int, buffers: int) -> None:
        """Note that a buffer of ``pairs`` pairs is done; the epoch has ``buffers`` of them."""
        self.buffer, self.batch, self.pairs = self.buffer + 1, 0, self.pairs + pairs
        if self.buffer == buffers:
            self.epoch, self.buffer, self.pairs = self.epoch + 1, 0, 0

    def become(self, other: Progress) -> None:
        """Copy everything from ``other``."""
        for field in fields(self):
            setattr(self, field.name, getattr(other, field.name))

    def go_back(self, earlier: Progress) -> None:
        """Copy everything from ``earlier`` except what counts over the whole training."""
        kept = self.seconds, self.skipped, self.setbacks + 1
        self.become(earlier)
        self.seconds, self.skipped, self.setbacks = kept


@dataclass(frozen=True)
class Stepped:
    """One update of the weights. ``loss``: of the objective, in nats a target token. ``share``: how much of the whole
    training is done, 0 to 1. ``guidance``: cross-entropy of the attention, in nats a target token with links, of which
    there were ``guided_tokens`` (None where there were none). ``split_into``: into how many batches it was split for
    lack of memory (None: it was not). ``reward``: the mean of what was drawn for ``rewarded`` sentences, in points
    (None where nothing was drawn). ``coverage``: the coverage loss a target token (None where it is not wanted)."""

    epoch: int
    step: int
    loss: float
    target_tokens: int
    learning_rate: float
    gradient_norm: float
    seconds: float
    share: float
    guidance: float | None = None
    guided_tokens: int = 0
    split_into: int | None = None
    reward: float | None = None
    rewarded: int = 0
    coverage: float | None = None


@dataclass(frozen=True)
class Skipped:
    """A step that changed nothing, because ``what`` (loss or gradient) was not finite. It is the ``skipped``-th such
    step."""

    epoch: int
    step: int
    what: Literal["loss", "gradient"]
    skipped: int
    seconds: float

    def __str__(self) -> str:
        return f"step {self.step} skipped: its {self.what} is not a finite number"


@dataclass(frozen=True)
class Diverged:
    """So many steps in a row were skipped, up to ``step``, that going on is no use. ``setbacks``: how often training
    had gone back before."""

    step: int
    setbacks: int
    seconds: float

    def __str__(self) -> str:
        return f"no finite loss and gradient in the steps before step {self.step}"


@dataclass(frozen=True)
class WentBack:
    """Training goes on from an earlier ``step`` with a lower rate, for the ``setbacks``-th time."""

    step: int
    diverged_step: int
    setbacks: int
    rate_share: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"no finite loss and gradient up to step {self.diverged_step}: back to step {self.step}, with "
            f"{self.rate_share:g} of the learning rate"
        )


@dataclass(frozen=True)
class Evaluated:
    """An evaluation on dev during or after ``epoch`` (1 is the first; 0: before the first). ``loss``: unsmoothed, in
    nats a target token. ``bleu``: of greedy search. ``attention``: diagnostics of some of its translations (None for a
    model without attention, or where they are empty). ``dev_lines``: how many lines were used, if a time limit leaves
    no time for all; they are drawn once for the whole training."""

    epoch: int
    step: int
    number: int
    loss: float
    bleu: float
    best: bool
    seconds: float
    attention: Diagnostics | None = None
    dev_lines: int | None = None

    def __str__(self) -> str:
        mark = " (best so far)" if self.best else ""
        part = "" if self.dev_lines is None else f" of {self.dev_lines:,} dev lines, for which there is time"
        verdict = "" if self.attention is None else f"; {self.attention.verdict}"
        return f"epoch {self.epoch}, step {self.step}: dev BLEU {self.bleu:.2f}, dev loss {self.loss:.3f}{part}{mark}{verdict}"


@dataclass(frozen=True)
class Unjudged:
    """The time limit has cut an evaluation short, so that nothing is known of the weights of ``step``. ``kept``:
    whether they are kept nevertheless, because there are no others."""

    epoch: int
    step: int
    seconds: float
    kept: bool

    def __str__(self) -> str:
        kept = "kept all the same, as there are no others" if self.kept else "not kept"
        return f"epoch {self.epoch}, step {self.step}: no time was left to look at dev; these weights are {kept}"


@dataclass(frozen=True)
class Ended:
    """Training is over, for this ``reason``. ``skipped`` of its steps changed nothing, and it went back ``setbacks``
    times."""

    reason: str
    steps: int
    seconds: float
    skipped: int = 0
    setbacks: int = 0

    def __str__(self) -> str:
        told = f"training ended after {counted(self.steps, 'step')} and {self.seconds / 60:.1f} minutes: {self.reason}"
        if not self.skipped:
            return told
        steps = f"{counted(self.skipped, 'step')} {'was' if self.skipped == 1 else 'were'}"
        times = "once" if self.setbacks == 1 else f"{self.setbacks} times"
        back = f", going back {times}" if self.setbacks else ""
        return f"{told}; {steps} skipped, not being finite{back}"


Event = Stepped | Skipped | Evaluated | Unjudged | WentBack | Ended
"""What is recorded and shown of a training."""


@dataclass(frozen=True)
class Interval:
    """Several updates together: the mean ``loss`` a target token, the mean ``guidance`` a target token with links, the
    mean ``reward`` of what was drawn for a sentence, the mean ``coverage`` loss a target token; the other figures are those of the last update."""

    epoch: int
    step: int
    loss: float
    target_tokens: int
    tokens_per_second: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    share: float
    guidance: float | None = None
    reward: float | None = None
    coverage: float | None = None

    @property
    def besides(self) -> list[str]:
        """The figures other than the loss, in words."""
        figures = {"guidance": (self.guidance, 3), "coverage": (self.coverage, 3), "reward": (self.reward, 2)}
        return [f"{name} {value:.{digits}f}" for name, (value, digits) in figures.items() if value is not None]

    def __str__(self) -> str:
        losses = ", ".join([f"loss {self.loss:.3f}", *self.besides])
        return (
            f"epoch {self.epoch + 1}, step {self.step}: {losses}, rate {self.learning_rate:.2e}, "
            f"{self.tokens_per_second:,.0f} target tokens/s"
        )


class Intervals:
    """Gathers updates into an ``Interval`` every ``steps`` of them or every ``seconds``, and before any other event.
    Skipped steps are in no interval."""

    def __init__(self, steps: int, seconds: float = math.inf) -> None:
        self.steps, self.seconds = steps, seconds
        self.gathered: list[Stepped] = []
        self.since: float | None = None

    def add(self, event: Event) -> Interval | None:
        """Note an event; returns the interval that it completes, if any."""
        if isinstance(event, Skipped):
            return None
        if isinstance(event, WentBack):  # what was gathered is undone
            self.gathered, self.since = [], event.seconds
            return None
        if isinstance(event, Stepped):
            self.gathered.append(event)
            return self._close() if self._is_full else None
        interval = self._close() if self.gathered else None
        self.since = event.seconds
        return interval

    @property
    def _is_full(self) -> bool:
        since = self.gathered[0].seconds if self.since is None else self.since
        return len(self.gathered) >= self.steps or self.gathered[-1].seconds - since >= self.seconds

    def _close(self) -> Interval:
        last = self.gathered[-1]
        tokens = sum(step.target_tokens for step in self.gathered)
        # Nobody knows when the very first update began: it counts for the loss, not for the speed.
        timed = self.gathered if self.since is not None else self.gathered[1:]
        elapsed = last.seconds - (self.since if self.since is not None else self.gathered[0].seconds)
        speed = sum(step.target_tokens for step in timed) / elapsed if elapsed > 0 else 0.0
        loss = sum(step.loss * step.target_tokens for step in self.gathered) / tokens
        guided = sum(step.guided_tokens for step in self.gathered)
        guidance = sum(step.guidance * step.guided_tokens for step in self.gathered if step.guidance is not None)
        covered = [step.coverage * step.target_tokens for step in self.gathered if step.coverage is not None]
        rewarded = sum(step.rewarded for step in self.gathered)
        reward = sum(step.reward * step.rewarded for step in self.gathered if step.reward is not None)
        self.gathered, self.since = [], last.seconds
        return Interval(
            epoch=last.epoch,
            step=last.step,
            loss=loss,
            target_tokens=tokens,
            tokens_per_second=speed,
            learning_rate=last.learning_rate,
            gradient_norm=last.gradient_norm,
            seconds=last.seconds,
            share=last.share,
            guidance=guidance / guided if guided else None,
            reward=reward / rewarded if rewarded else None,
            coverage=sum(covered) / tokens if covered else None,
        )
