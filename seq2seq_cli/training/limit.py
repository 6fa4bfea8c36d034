"""How the time that training may take (``training.max_minutes``) is divided between updates and evaluations on dev, and
how long what follows may take. A look at dev is an evaluation on it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from seq2seq_cli.config.sections import TrainingConfig
from seq2seq_cli.training.progress import Progress

UNKNOWN = 0.05
"""Share of the limit that is reserved for a look at dev until one has been timed."""
FIRST = 0.1
"""Share of the limit that the first look at dev may take. If all of dev would take longer, a part of dev is used."""
SAFETY = 1.25
"""How many times as long as the look before a look may take."""
MOST_KEPT = 0.25
"""Largest share of the limit that is reserved for looks to come."""
AFTERWARDS, SECONDS = 0.1, 5.0
"""How long, beyond the limit, what follows training may take: a share of the limit, plus seconds for work that cannot
be stopped halfway. A look may overrun by half of both."""


class OutOfTimeError(Exception):
    """Time ran out before a piece of work was done."""


@dataclass(frozen=True)
class Deadline:
    """The moment, by the monotonic clock, at which work must be done; by default never."""

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raises OutOfTimeError where the deadline has passed."""
        if self.left < 0:
            raise OutOfTimeError


def seconds_of(config: TrainingConfig) -> float:
    """The limit in seconds; infinite where there is none."""
    return math.inf if config.max_minutes is None else 60 * config.max_minutes


def updating_seconds(config: TrainingConfig, progress: Progress) -> float:
    """How much of the limit is for updates and the looks between them. The rest is reserved for the last look, the look
    at the averaged weights, and the update under way, as long as they are expected to take."""
    limit = seconds_of(config)
    if math.isinf(limit):
        return limit
    look = SAFETY * progress.look_seconds if progress.look_seconds else UNKNOWN * limit
    looks = 2 if config.average > 1 and progress.evaluations else 1
    return limit - min(MOST_KEPT * limit, looks * look + progress.step_seconds)


def look_seconds(config: TrainingConfig, progress: Progress) -> float:
    """How long a look at dev may take that begins now."""
    limit = seconds_of(config)
    return max(0.0, limit - progress.seconds) + (AFTERWARDS * limit + SECONDS) / 2


def sitting_seconds(config: TrainingConfig, progress: Progress) -> float:
    """How long a sitting that begins now may take with all that follows training, apart from work that cannot be stopped.
    Without a limit where training was over before: then somebody asks for what was left out."""
    limit = seconds_of(config)
    if progress.evaluations and progress.seconds >= updating_seconds(config, progress):
        return math.inf
    return max(0.0, limit - progress.seconds) + AFTERWARDS * limit + SECONDS / 2
