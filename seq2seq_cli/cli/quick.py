"""What makes a command start and end quickly: Python's garbage collector looks for nothing where there is nothing to find.

Loading torch makes a quarter of a million objects that stay until the end. The collector goes through them again and again
while they become more (0.1 of the 1.3 s that `import torch` takes), and once more when the process ends (0.4 s).
"""

from __future__ import annotations

import atexit
import gc
import sys


def load_torch() -> None:
    """Load torch, and hide it from the collector. To be called before anything that imports torch."""
    if "torch" in sys.modules:
        return
    gc.disable()
    try:
        import torch  # noqa: F401 (for those that come after)
    finally:
        gc.freeze()
        gc.enable()


def end_quickly() -> None:
    """Let the process end without a last search for garbage: the system takes all of its memory back anyway. (Files and
    threads are closed before, by whoever has opened them.)"""
    atexit.register(gc.freeze)
