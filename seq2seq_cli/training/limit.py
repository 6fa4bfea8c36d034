"""The time that training may take (``training.max_minutes``): what of it is for updates and what for looks at dev, and how
long what follows may take."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from seq2seq_cli.config.sections import TrainingConfig
from seq2seq_cli.training.progress import Progress

UNKNOWN = 0.05
"""Share of the limit that is kept for a look at dev before one has been timed."""
FIRST = 0.1
"""Share of the limit that the first look at dev may take; where all of dev takes longer, a part is looked at."""
SAFETY = 1.25
"""A look may take so much longer than the one before."""
MOST_KEPT = 0.25
"""Share of the limit, at most, that is kept for looks to come."""
AFTERWARDS, SECONDS = 0.1, 5.0
"""Share of the limit that what follows training may take beyond it, and seconds, for what cannot be stopped halfway. A look
may use half of both."""


class OutOfTimeError(Exception):
    """The time for a piece of work was over before it was done."""


@dataclass(frozen=True)
class Deadline:
    """A moment of the monotonic clock by which work is to be over; the default never comes."""

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raises OutOfTimeError where it has passed."""
        if self.left < 0:
            raise OutOfTimeError


def seconds_of(config: TrainingConfig) -> float:
    """The limit; infinite where there is none."""
    return math.inf if config.max_minutes is None else 60 * config.max_minutes


def updating_seconds(config: TrainingConfig, progress: Progress) -> float:
    """How much of the limit is for updates and the looks between them: what the last look, that at the mean of the last
    weights and the update under way are expected to take is kept."""
    limit = seconds_of(config)
    if math.isinf(limit):
        return limit
    look = SAFETY * progress.look_seconds if progress.look_seconds else UNKNOWN * limit
    looks = 2 if config.average > 1 and progress.evaluations else 1
    return limit - min(MOST_KEPT * limit, looks * look + progress.step_seconds)


def look_seconds(config: TrainingConfig, progress: Progress) -> float:
    """How long a look at dev that begins now may take."""
    limit = seconds_of(config)
    return max(0.0, limit - progress.seconds) + (AFTERWARDS * limit + SECONDS) / 2


def sitting_seconds(config: TrainingConfig, progress: Progress) -> float:
    """How long a sitting that begins now may take with all that follows training, but for what cannot be stopped. As long as
    it takes, where training was over before: then somebody asks for what was left out."""
    limit = seconds_of(config)
    if progress.evaluations and progress.seconds >= updating_seconds(config, progress):
        return math.inf
    return max(0.0, limit - progress.seconds) + AFTERWARDS * limit + SECONDS / 2
