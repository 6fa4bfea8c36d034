"""Fixtures for every test."""

import os

# Tiny models: two threads would spend their time waiting for each other. Read when torch is first loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["corpora", "commands", "browser"]
