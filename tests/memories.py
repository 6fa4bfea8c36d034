"""Memories for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.decoding.memorising import known_memory, memorise, new_memory
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.neighbours.growth import Growth, Piece, writing
from seq2seq_cli.neighbours.layout import FORMAT, MemoryFiles, Record
from seq2seq_cli.neighbours.store import Store

DIGEST = "0" * 64


def quiet(stage: str, done: int, total: int) -> None:
    """A report that nobody hears."""


def blank(size: int, pieces: int, dtype: str = "float32") -> Record:
    """What a memory is of that holds no text yet."""
    return Record(
        format=FORMAT,
        model=DIGEST,
        vocabulary=DIGEST,
        run="x",
        src="xx",
        tgt="yy",
        key="input of the vocabulary's projection",
        dtype=dtype,  # type: ignore[arg-type]
        size=size,
        pieces=pieces,
        precision="fp32",
        texts=[],
        source_bytes=0,
        target_bytes=0,
    )


def made(directory: Path, keys: torch.Tensor, values: list[int], pieces: int = 50, dtype: str = "float32") -> Store:
    """A memory of these keys and values, a sentence for each."""
    files = MemoryFiles(directory)
    lines = [str(number) for number in range(len(values))]
    with writing(files):
        growth = Growth.begin(files, blank(keys.shape[1], pieces, dtype), "text", DIGEST)
        piece = Piece(keys.numpy(), np.array(values), [1] * len(values), lines, lines, read=len(values))
        growth.add(piece)
        growth.finish(quiet)
    return Store.open(directory)


def remember(translator: Translator, text: Path, directory: Path, report: Callable[..., None] = quiet) -> None:
    """Make a memory of a text, or add it."""
    assert translator.run is not None
    whole = MemoryFiles(directory).record.exists()
    base = (known_memory if whole else lambda run, at: new_memory(translator, run, at, "float16"))(
        translator.run, directory
    )
    memorise(translator, open_text(str(text), "train", "xx", "yy"), directory, base, report)
