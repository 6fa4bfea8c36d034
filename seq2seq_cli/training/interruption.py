"""Stopping when the user or the system asks for it, and where nothing is lost by it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

from seq2seq_cli import signals

P = ParamSpec("P")
T = TypeVar("T")


class CutShort(signals.Stopped):
    """The first signal came where all is in order: what training has come to can be saved. (A second one comes as a
    plain KeyboardInterrupt, maybe amid an update.)"""


class Interruption:
    """While entered, the first of the signals that ask to end (``signals.STOPPING``) raises CutShort; but where they are
    ``held``, it is only noted, in ``asked``, and which one it was in ``number``. A second one does what it always does.
    """

    def __init__(self) -> None:
        self.asked = False
        self.holding = False
        self.number: int = signal.SIGINT
        self.before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        self.before = signals.install(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signals.restore(self.before)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, what is under way is brought to its end first: the caller looks at ``asked`` in between."""
        self.holding = True
        try:
            yield
        finally:
            self.holding = False

    def let_through(self, work: Callable[P, T]) -> Callable[P, T]:
        """``work``, which may take long and can be done over: a signal cuts it short even while others are held."""

        def done(*args: P.args, **kwargs: P.kwargs) -> T:
            holding, self.holding = self.holding, False
            try:
                if self.asked:
                    raise CutShort(self.number)
                return work(*args, **kwargs)
            finally:
                self.holding = holding

        return done

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked, self.number = True, number
        signals.restore({number: self.before[number]})
        if not self.holding:
            raise CutShort(number)
