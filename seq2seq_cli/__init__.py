"""seq2seq: a translation trainer with swappable attention.

>>> from seq2seq_cli import Translator
>>> Translator.load("runs/x").translate(["Ein Satz."])
['A sentence.']
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq_cli.decoding.translator import Translator

__all__ = ["Translator"]

# oneDNN and torch keep a compiled primitive for each new shape of batch, without these about a gigabyte of them.
# They read the limits when torch is first loaded.
for _limit in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_limit, "64")


def __getattr__(name: str) -> Any:
    # Not imported before it is asked for: it needs torch, which takes a second to load.
    if name == "Translator":
        return import_module("seq2seq_cli.decoding.translator").Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
