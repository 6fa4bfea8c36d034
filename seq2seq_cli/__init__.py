"""seq2seq: a translation trainer with swappable attention.

>>> from seq2seq_cli import Translator
>>> Translator.load("runs/x").translate(["Ein Satz."])
['A sentence.']
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq_cli.api import evaluate, train
    from seq2seq_cli.decoding.forced_decoding import Scoring
    from seq2seq_cli.decoding.translator import Sampling, Translator
    from seq2seq_cli.errors import UserError
    from seq2seq_cli.evaluation.systems import Evaluation
    from seq2seq_cli.training.experiment import Begun
    from seq2seq_cli.training.progress import Ended, Evaluated, Stepped

__all__ = [
    "Begun",
    "Ended",
    "Evaluated",
    "Evaluation",
    "Sampling",
    "Scoring",
    "Stepped",
    "Translator",
    "UserError",
    "evaluate",
    "train",
]

_FROM = {
    "Begun": "training.experiment",
    "Ended": "training.progress",
    "Evaluated": "training.progress",
    "Evaluation": "evaluation.systems",
    "Sampling": "decoding.translator",
    "Scoring": "decoding.forced_decoding",
    "Stepped": "training.progress",
    "Translator": "decoding.translator",
    "UserError": "errors",
    "evaluate": "api",
    "train": "api",
}

# Read when torch is first loaded.
_FOR_TORCH = {
    # oneDNN and torch keep a compiled primitive for each new shape: about a gigabyte, without limits. A training has some 350
    # shapes, of half a megabyte each where they are products; these many are those that it needs all the time. (With 64 it
    # compiles 19 in an update, with these 11.)
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "64",
    # Large tensors in huge pages: the system clears 4 KiB at a time otherwise, 13% of a training step.
    "THP_MEM_ALLOC_ENABLE": "1",
}
for _name, _value in _FOR_TORCH.items():
    os.environ.setdefault(_name, _value)


def __getattr__(name: str) -> Any:
    # Not imported before it is asked for: most of it needs torch, which takes a second to load.
    if name in _FROM:
        return getattr(import_module(f"seq2seq_cli.{_FROM[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
