"""Scores from fewer resamples, for tests that look at something else than their intervals."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from seq2seq_cli.evaluation import metrics

USUAL = metrics.RESAMPLES
"""Before any test has less."""


@contextmanager
def resamples(count: int) -> Iterator[None]:
    """So many behind each interval meanwhile; of a test, as a decorator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "RESAMPLES", count)
        yield
