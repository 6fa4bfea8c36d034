"""Measurements of speed, memory and quality for time; each module is a command (`python -m benchmarks.NAME`)."""
