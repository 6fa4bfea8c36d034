"""Stopping when the user or the system asks for it, and where nothing is lost by it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class CutShort(KeyboardInterrupt):
    """The first signal came where all is in order: what training has come to can be saved. (A second one comes as a
    plain KeyboardInterrupt, maybe amid an update.)"""


class Interruption:
    """While entered, the first SIGINT or SIGTERM raises CutShort; but where they are ``held``, it is only noted, in
    ``asked``. A second one does what it always does.

    A signal that is ignored, as in the background of a shell, stays so. Does nothing outside the main thread, where
    Python lets nobody handle signals.
    """

    def __init__(self) -> None:
        self.asked = False
        self.holding = False
        self.before: dict[int, signal.Handlers] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self.before[number] = signal.signal(number, self._note)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

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
                    raise CutShort
                return work(*args, **kwargs)
            finally:
                self.holding = holding

        return done

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self.before[number])
        if not self.holding:
            raise CutShort
