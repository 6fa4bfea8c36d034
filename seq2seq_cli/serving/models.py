"""The runs that are served: loading, names and descriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq_cli.data.glossary import Glossary
from seq2seq_cli.decoding.confidence import is_calibrated
from seq2seq_cli.decoding.recalling import AS_IT_SAYS, Given, memories_of, open_memory
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import RunError
from seq2seq_cli.runs import Run, open_run
from seq2seq_cli.wording import short_names


@dataclass(frozen=True)
class Served:
    """A run, with the name by which requests call it. Languages are None where the run does not record them. ``calibrated``:
    whether it knows how sure it is, as none with a memory does."""

    name: str
    translator: Translator
    src: str | None
    tgt: str | None
    calibrated: bool = False

    @property
    def memory(self) -> str | None:
        """Its memory, in words, if it has one."""
        memory = self.translator.memory
        return None if memory is None else f"{memory.store.name}: {memory}"


def load_runs(
    directories: Sequence[Path],
    device: str,
    precision: str,
    memories: Sequence[Path] = (),
    given: Given = AS_IT_SAYS,
    glossary: Glossary | None = None,
) -> list[Served]:
    """The models of these runs, in order; of the newest run where none is named. Each of the ``memories`` takes part in the
    translations of the run that it is of, weighed as it says itself or as is ``given``. All translations obey ``glossary``.

    Raises RunError where a run is missing, damaged, or named twice, or lacks what its settings of a search need; and where a
    memory is of none of them, or a second one of the same run.
    """
    runs = [open_run(directory) for directory in directories] or [open_run(None)]
    for path, times in Counter(run.directory.resolve() for run in runs).items():
        if times > 1:
            raise RunError("this run is named more than once.", str(path))
    of_runs = memories_of(runs, memories)
    for run, own in zip(runs, of_runs, strict=True):
        if len(own) > 1:
            what = f"{own[0]} is a memory of {run.directory} as well."
            raise RunError(what, str(own[1]), "Name one of them.")
    served = []
    for run, name, own in zip(runs, _names(runs), of_runs, strict=True):
        translator = Translator.load(run.directory, device, precision)
        if own:
            translator = translator.remembering(open_memory(run, own[0], translator.device, given))
        calibrated = translator.memory is None and is_calibrated(run)
        served.append(Served(name, _ready(translator, glossary), *_languages(run), calibrated))
    return served


def _ready(translator: Translator, glossary: Glossary | None) -> Translator:
    """The same, with what its searches need: now, so that no request waits for it or finds that it is missing."""
    if glossary is not None:
        translator = translator.obeying(glossary)
    translator.get_ready(translator.config.decoding)
    _ = translator.attention_layers
    return translator


def _names(runs: Sequence[Run]) -> list[str]:
    return short_names([run.directory for run in runs])


def _languages(run: Run) -> tuple[str | None, str | None]:
    try:
        return run.languages()
    except RunError:  # moved without run.json, it translates all the same
        return None, None
