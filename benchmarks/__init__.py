"""Measurements of speed, memory and quality for time; each module is a command (`python -m benchmarks.NAME`)."""

import seq2seq_cli  # noqa: F401 (before torch, which reads when it is loaded what this sets in the environment)
