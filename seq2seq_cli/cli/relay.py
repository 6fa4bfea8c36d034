"""What libraries have to say, passed on to the user."""

from __future__ import annotations

import logging

SPEAKS = "sacrebleu"
"""The name of its logger: it warns of text that looks tokenised, and the like."""


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
    """From now on; to a command that follows in this process, all is new."""
    logger = logging.getLogger(SPEAKS)
    for handler in [handler for handler in logger.handlers if isinstance(handler, Relay)]:
        logger.removeHandler(handler)
    logger.addHandler(Relay())
