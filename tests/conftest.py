"""Fixtures for every test."""

import os

from hypothesis import settings

# How long an input takes says nothing where other programs keep the processor busy.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# Tiny models: two threads would spend their time waiting for each other. Read when torch is first loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["corpora", "commands", "browser"]
