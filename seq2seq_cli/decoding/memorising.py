"""A text into a memory: the model reads each pair by forced decoding, and what it has in mind before each piece is kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.data.subword import EOS
from seq2seq_cli.data.text import clean
from seq2seq_cli.decoding.reading import read_together, reading, usable
from seq2seq_cli.decoding.recalling import identity, require_same, untuned
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import Precision
from seq2seq_cli.errors import DataError, RunError
from seq2seq_cli.neighbours.growth import Growth, Piece, Report, changing
from seq2seq_cli.neighbours.layout import FORMAT, MemoryFiles, Record, read_record, write_record
from seq2seq_cli.neighbours.search import ExactSearch
from seq2seq_cli.neighbours.store import Store
from seq2seq_cli.runs import Run
from seq2seq_cli.wording import counted, without_folders

PART = 2000
"""Pairs whose keys are written together; at most so many are read once more after an interruption."""
STAGE = "remembering"
BATCH = 4096
"""Most target positions that are read together."""


def new_memory(translator: Translator, run: Run, directory: Path, dtype: str) -> Record:
    """What a memory of this model is of before it holds any text. Raises RunError where there is one in ``directory``, or
    something else."""
    files = MemoryFiles(directory)
    if files.record.exists():
        hint = "`seq2seq memory add` adds a text to it; or remove it, or name another folder with -o."
        raise RunError("there is a memory here already.", str(directory), hint)
    if directory.exists() and not directory.is_dir():
        raise RunError("is a file.", str(directory), "Name a folder with -o.")
    if directory.is_dir() and not files.growing.exists() and any(path != files.lock for path in directory.iterdir()):
        raise RunError("this folder holds something else.", str(directory), "Name another one with -o.")
    of = identity(run)
    src, tgt = _languages(run)
    return Record(
        format=FORMAT,
        model=of["model"],
        vocabulary=of["vocabulary"],
        run=run.directory.resolve().name,
        src=src,
        tgt=tgt,
        key="input of the vocabulary's projection",
        dtype=dtype,  # type: ignore[arg-type]
        size=_key_size(translator),
        pieces=len(translator.subwords.tgt),
        precision=computed_in(translator.precision),
        texts=[],
        source_bytes=0,
        target_bytes=0,
    )


def known_memory(run: Run, directory: Path) -> Record:
    """What the memory in ``directory`` is of. Raises RunError where it is none of this run."""
    record = read_record(MemoryFiles(directory))
    require_same(record, run, directory)
    return record


def memorise(translator: Translator, text: ParallelText, directory: Path, base: Record, report: Report) -> Record:
    """Add ``text`` to the memory in ``directory``, which holds what ``base`` says; go on where that was interrupted. Returns
    what the memory is of then. Raises DataError for a text that cannot be used or is in the memory already, RunError for a
    folder that cannot be written, and where the memory is not what ``base`` says."""
    files, digest = MemoryFiles(directory), text.digest()
    name = without_folders(text.where)
    if any(part.sha256 == digest for part in base.texts):
        raise DataError("this text is in the memory already.", text.where)
    total = _count(text, report)
    with changing(files, base if base.texts else None):
        growth = Growth.begin(files, base, name, digest)
        pairs = islice(text.pairs(), growth.read, None)
        report(STAGE, growth.read, total)
        while part := list(islice(pairs, PART)):
            growth.add(_read(translator, part))
            report(STAGE, growth.read, total)
        record = growth.finish(report)
        store = Store.open(directory)
        record = record.model_copy(update={"weights": untuned(store, ExactSearch(store, translator.device))})
        write_record(files, record)
        return record


def _count(text: ParallelText, report: Report) -> int:
    count, usable = 0, False
    for count, (src, tgt) in enumerate(text.pairs(), start=1):
        usable = usable or bool(clean(src) and clean(tgt))
        if count % 50_000 == 0:
            report("reading", count, 0)
    if not usable:
        raise DataError(f"{counted(count, 'pair')}, and none of them has two sides.", text.where)
    return count


def computed_in(precision: Precision) -> str:
    """What keys are computed in: 8-bit integers are for the steps of a search alone."""
    return "fp32" if precision.name == "int8" else precision.name


def _languages(run: Run) -> tuple[str | None, str | None]:
    try:
        return run.languages()
    except RunError:
        return None, None


def _key_size(translator: Translator) -> int:
    return int(keys_of(translator, [[]], [[]])[0].shape[1])


def _read(translator: Translator, pairs: Sequence[tuple[str, str]]) -> Piece:
    """What these pairs add. The same for the same pairs, however many came before."""
    sources, targets, src, tgt = usable(translator, pairs)
    keys, values = entries_of(translator, src, tgt)
    return Piece(keys, values, [len(one) + 1 for one in tgt], sources, targets, len(pairs))


def entries_of(
    translator: Translator, src: Sequence[list[int]], tgt: Sequence[list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """The key before each piece of each target, ``</s>`` included, and the pieces; sentences one after another."""
    keys: list[np.ndarray] = [np.zeros((0, 0))] * len(tgt)
    for rows in read_together(src, tgt, BATCH):
        for row, found in zip(rows, keys_of(translator, [src[i] for i in rows], [tgt[i] for i in rows]), strict=True):
            keys[row] = found
    ends = [[*one, EOS] for one in tgt]
    values = np.concatenate([np.array(one, dtype=np.int32) for one in ends]) if ends else np.zeros(0, np.int32)
    return np.concatenate(keys) if keys else np.zeros((0, _key_size(translator)), np.float32), values


@torch.inference_mode()
def keys_of(translator: Translator, src: Sequence[list[int]], tgt: Sequence[list[int]]) -> list[np.ndarray]:
    """The keys of each sentence, read together, in float32."""
    with translator.precision.autocast(translator.device):
        keys_NR = reading(translator, src, tgt).keys_NR.cpu().numpy()
    edges = np.cumsum([len(one) + 1 for one in tgt])[:-1]
    return np.split(keys_NR, edges)
