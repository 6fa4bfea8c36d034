"""Fixtures for every test."""

pytest_plugins = ["corpora", "commands"]
