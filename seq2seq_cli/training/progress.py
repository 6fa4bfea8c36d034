"""How far a training has come: everything but weights, optimiser and random state. Plain data, no torch."""

from __future__ import annotations

from dataclasses import dataclass

from seq2seq_cli.evaluation.diagnostics import Diagnostics


@dataclass
class Progress:
    """Changed by the loop alone, saved with every checkpoint.

    ``batch`` is the next step within the buffer ``buffer`` of ``epoch``, which has trained on ``pairs`` of earlier
    buffers; ``seconds`` were spent training and evaluating, over all
    sittings; ``evaluated_step`` is the step of the last evaluation; ``stale`` counts the evaluations since the
    best one.
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


@dataclass(frozen=True)
class Stepped:
    """One update of the weights. ``loss``: smoothed cross-entropy a target token, in nats; ``share``: how much
    of the whole training is done, 0 to 1; ``guidance``: cross-entropy of the attention, in nats a target token with
    links, of which there were ``guided_tokens`` (None where there were none)."""

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


@dataclass(frozen=True)
class Evaluated:
    """One look at dev. ``loss``: unsmoothed, in nats a target token; ``bleu``: of greedy search; ``attention``: of some
    of its translations, None without attention or where they are empty."""

    epoch: int
    step: int
    number: int
    loss: float
    bleu: float
    best: bool
    seconds: float
    attention: Diagnostics | None = None

    def __str__(self) -> str:
        mark = " (best so far)" if self.best else ""
        verdict = "" if self.attention is None else f"; {self.attention.verdict}"
        return (
            f"epoch {self.epoch}, step {self.step}: dev BLEU {self.bleu:.2f}, dev loss {self.loss:.3f}{mark}{verdict}"
        )


@dataclass(frozen=True)
class Ended:
    """Training is over, and why."""

    reason: str
    steps: int
    seconds: float

    def __str__(self) -> str:
        return f"training ended after {self.steps} steps and {self.seconds / 60:.1f} minutes: {self.reason}"


@dataclass(frozen=True)
class Interval:
    """Several updates together: the mean ``loss`` a target token, the mean ``guidance`` a target token with links, and
    the last one's other figures."""

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

    def __str__(self) -> str:
        guidance = "" if self.guidance is None else f"guidance {self.guidance:.3f}, "
        return (
            f"epoch {self.epoch + 1}, step {self.step}: loss {self.loss:.3f}, {guidance}rate {self.learning_rate:.2e}, "
            f"{self.tokens_per_second:,.0f} target tokens/s"
        )


class Intervals:
    """Gathers updates into an ``Interval`` every ``steps`` of them, and before anything else that happens."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.gathered: list[Stepped] = []
        self.since: float | None = None

    def add(self, event: Stepped | Evaluated | Ended) -> Interval | None:
        """Take note of an event; the interval that it completes, if any."""
        if isinstance(event, Stepped):
            self.gathered.append(event)
            return self._close() if len(self.gathered) >= self.steps else None
        interval = self._close() if self.gathered else None
        self.since = event.seconds
        return interval

    def _close(self) -> Interval:
        last = self.gathered[-1]
        tokens = sum(step.target_tokens for step in self.gathered)
        # The very first update has no beginning on record: it counts for the loss alone.
        timed = self.gathered if self.since is not None else self.gathered[1:]
        elapsed = last.seconds - (self.since if self.since is not None else self.gathered[0].seconds)
        speed = sum(step.target_tokens for step in timed) / elapsed if elapsed > 0 else 0.0
        loss = sum(step.loss * step.target_tokens for step in self.gathered) / tokens
        guided = sum(step.guided_tokens for step in self.gathered)
        guidance = sum(step.guidance * step.guided_tokens for step in self.gathered if step.guidance is not None)
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
        )
