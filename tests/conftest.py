"""Fixtures for every test."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("seq2seq_cli.contract")

# How long an input takes says nothing where other programs keep the processor busy.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# Tiny models: two threads would spend their time waiting for each other. Read when torch is first loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["corpora", "commands", "browser"]


@pytest.fixture
def two_threads() -> Iterator[None]:
    """For a test that is about threads; what it computes must be large enough for torch to share it out."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# A suite that nohup started ignores SIGHUP, and so would all that it starts.
with contextlib.suppress(ValueError):
    signal.signal(getattr(signal, "SIGHUP", signal.SIGTERM), signal.SIG_DFL)
