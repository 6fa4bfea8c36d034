"""Where to compute, and in which number format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from seq2seq_cli.config.sections import MOST_THREADS, TrainingConfig
from seq2seq_cli.cores import available_cores
from seq2seq_cli.errors import ConfigError, suggestion
from seq2seq_cli.processor import choices
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.siblings import POSSIBLE
from seq2seq_cli.waiting import watch_waits
from seq2seq_cli.wording import counted

FEW_THREADS, CROWDED = 16, 4
"""So many threads may be used on any machine; and so many for each core."""

WORTH_STARTING = 5000
"""From so many pairs on, starting processes, which takes three seconds, may pay."""

WORTH_SHARING = 2000
"""From so many target tokens an update for each on, processes are quicker than threads of one process (measured on two
cores of a Zen 5: at 2,500 tokens each by 6 to 15%; at 750 each neither is)."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """``name`` is fp32, bf16, fp16 or, for search alone, int8; ``reason`` says why it was chosen."""

    name: str
    reason: str

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """A context in which products are computed in this precision; parameters stay in float32. Under int8, products
        that are not in integers stay in float32, too: bfloat16 took as long for them, and made a translation depend on
        those beside it."""
        if self.name in ("fp32", "int8"):
            return contextlib.nullcontext()
        return torch.autocast(device.type, DTYPES[self.name])


def choose_device(name: str, called: str = "training.device") -> torch.device:
    """The device of that name; "auto" prefers a GPU. Raises ConfigError where this machine has no such device;
    ``called`` is the name of the setting in its message."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    _check(name, ("auto", *available), called)
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[name]:
        raise ConfigError(f'device "{name}" is not available here.', called, 'Use "auto" or "cpu".')
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> Precision:
    """The number format of that name; "auto" is the quickest that trains well on ``device``. Raises ConfigError for an
    unknown name."""
    _check(name, ("auto", *DTYPES), "training.precision")
    if name != "auto":
        return Precision(name, "as asked")
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] >= 8:
            return Precision("bf16", "this GPU computes it natively")
        return Precision("fp16", "this GPU has no bf16")
    if device.type == "cpu" and choices().bf16:
        return Precision("bf16", "this processor computes it natively")
    return Precision("fp32", f"this {device.type} does not compute bf16 natively")


def choose_search_precision(name: str, device: torch.device) -> Precision:
    """The same for decoding; "auto" is int8 where that is native, since it is the quickest. Raises ConfigError also
    where int8 is asked for but not native."""
    _check(name, ("auto", "int8", *DTYPES), "--precision")
    if name in ("auto", "int8") and device.type == "cpu" and choices().int8:
        return Precision("int8", "this processor computes it natively" if name == "auto" else "as asked")
    if name == "int8":
        raise ConfigError(f"this {device.type} does not compute int8 natively.", "--precision", 'Use "auto".')
    return choose_precision(name, device)


def _check(name: str, known: Iterable[str], key: str) -> None:
    known = list(known)
    if name not in known:
        hint = suggestion(name, known) or f"Known: {', '.join(known)}."
        raise ConfigError(f'"{name}" is unknown.', key, hint)


def _are(cores: int) -> str:
    return f"{'is' if cores == 1 else 'are'} {counted(cores, 'core')}"


def set_threads(threads: int | None) -> int:
    """Use that many processor threads; 0 or None means all cores that this process may run on, at most 8. Returns how
    many are used. Raises ConfigError for many more threads than this machine has cores: they would wait for each other,
    and in the end the system refuses to make more."""
    cores = available_cores()
    most = min(MOST_THREADS, max(FEW_THREADS, CROWDED * cores))
    if threads is not None and not 0 <= threads <= most:
        hint = f"Use {most:,} at most, or 0 for all cores."
        raise ConfigError(f"{counted(threads, 'thread')}, where there {_are(cores)}.", "--threads", hint)
    chosen = threads or min(8, cores)
    torch.set_num_threads(chosen)
    if chosen > 1:
        watch_waits()
    return chosen


def choose_processes(
    training: TrainingConfig, device: torch.device, threads: int, ranks: Ranks, pairs: int | None
) -> int:
    """How many processes are to share the updates of a training on ``pairs`` pairs (None: not known yet): as many as
    ``training`` says or, where it says 0, one a thread if that pays. Raises ConfigError where several are wanted but
    cannot be."""
    wanted = training.processes
    if ranks.size > 1 or ranks.meeting is not None:
        reason = "torchrun has started the processes"
    elif device.type != "cpu":
        reason = f"several processes on one {device.type} would wait for each other (for several GPUs, use torchrun)"
    elif not POSSIBLE:
        reason = "this system cannot share memory so"
    elif training.precision == "fp16":
        reason = "in fp16, one process alone finds the scale of the loss"
    elif wanted > threads:
        reason = f"there {'is' if threads == 1 else 'are'} {counted(threads, 'thread')} for all of them"
    elif wanted:
        return wanted
    else:
        each = training.batch_tokens * training.accumulate // threads
        return threads if pairs is not None and pairs >= WORTH_STARTING and each >= WORTH_SHARING else 1
    if wanted > 1:
        what = f"{wanted} processes: {reason}."
        raise ConfigError(what, "training.processes", "Use fewer processes, or leave it out.")
    return 1
