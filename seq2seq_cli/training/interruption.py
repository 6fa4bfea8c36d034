"""Stopping when the user or the system asks for it, at a point where nothing is lost."""

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
    """The first signal came at a point where the state is consistent, so that training so far can be saved. (A second
    signal comes as a plain KeyboardInterrupt, perhaps in the middle of an update.)"""


class Interruption:
    """While entered, the first of the signals that ask to end (``signals.STOPPING``) raises CutShort. While signals are
    ``held``, it is only noted: ``asked`` becomes True, and ``number`` is the signal's. A second signal does what it
    always does."""

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
        """Within, signals do not interrupt: the caller completes the work under way and checks ``asked`` in between."""
        self.holding = True
        try:
            yield
        finally:
            self.holding = False

    def let_through(self, work: Callable[P, T]) -> Callable[P, T]:
        """``work`` such that a signal cuts it short even while signals are held: for work that takes long and can be
        repeated."""

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
