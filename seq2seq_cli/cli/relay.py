"""Passing warnings of libraries on to the user."""

from __future__ import annotations

import logging

SPEAKS = "sacrebleu"
"""The logger of sacreBLEU, which warns of text that looks tokenised, and the like."""


class Relay(logging.Handler):
    """Shows each warning once, however often text is scored."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        from seq2seq_cli import console

        message = record.getMessage()
        if message not in self.told:
            self.told.add(message)
            console.warn(f"sacreBLEU: {message}")


def relay_warnings() -> None:
    """Pass warnings on from now on. For the next command in this process, all warnings are new again."""
    logger = logging.getLogger(SPEAKS)
    for handler in [handler for handler in logger.handlers if isinstance(handler, Relay)]:
        logger.removeHandler(handler)
    logger.addHandler(Relay())
