"""An index by faiss (Johnson, Douze & Jegou 2017), an optional package: keys in lists around centres, of which a search looks
through those nearest to the query. Nearly all neighbours are found, and much sooner, in a large memory."""

from __future__ import annotations

import importlib
import math
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seq2seq_cli.data.text import sha256
from seq2seq_cli.errors import DamagedError, UserError
from seq2seq_cli.neighbours.codes import SPAN, centred
from seq2seq_cli.neighbours.growth import Report, changing, require_unchanged
from seq2seq_cli.neighbours.layout import Record, write_record
from seq2seq_cli.neighbours.search import SPARE, TOGETHER, Nearest, exactly
from seq2seq_cli.neighbours.store import Store
from seq2seq_cli.runs import written_whole

PROBES = 32
"""Lists that are looked through for a query: 95% of the neighbours are in them (10,000 to 500,000 entries)."""
PER_LIST = 39
"""Keys by which a centre is found: what faiss asks for at least."""
ROUNDS = 6
"""In so many rounds."""
TRAINING = "finding centres"
FILLING = "listing"


def faiss() -> Any:
    """The package. Raises UserError where it is not installed."""
    if find_spec("faiss") is None:
        hint = "Install it with `pip install faiss-cpu`; or do without it: `seq2seq memory index MEMORY --remove`."
        raise UserError("an index needs the package faiss-cpu, which is not installed.", "faiss", hint)
    return importlib.import_module("faiss")


def lists_for(entries: int) -> int:
    """How many lists a memory of so many entries is parted into: four times the root of their number, as is usual."""
    return max(1, min(entries // PER_LIST, round(4 * math.sqrt(entries))))


def make_index(store: Store, report: Report) -> Record:
    """Make the index of a memory, the same for the same memory, and write it down in its record. Raises RunError where
    the memory has changed meanwhile."""
    package, entries = faiss(), len(store)
    require_unchanged(store.files, store.record)  # before hours of work, as well as after them
    index = package.index_factory(store.record.size, f"IVF{lists_for(entries)},SQ8")
    index.cp.niter, index.cp.seed = ROUNDS, 1
    every = max(1, entries // (PER_LIST * lists_for(entries)))
    report(TRAINING, 0, 0)
    index.train(_numbers(store.keys[::every], store.centre))
    for begin in range(0, entries, SPAN):
        report(FILLING, begin, entries)
        index.add(_numbers(store.keys[begin : begin + SPAN], store.centre))
    path = store.files.index(entries)
    with changing(store.files, store.record):
        with written_whole(path) as temporary:
            package.write_index(index, str(temporary))
        record = store.record.model_copy(update={"index": sha256(path)})
        write_record(store.files, record)
    return record


def remove_index(store: Store) -> Record:
    """Leave the memory without an index. Raises RunError where it has changed since it was opened."""
    with changing(store.files, store.record):
        record = store.record.model_copy(update={"index": None})
        write_record(store.files, record)
        store.files.index(len(store)).unlink(missing_ok=True)
    return record


def _numbers(rows_NR: np.ndarray, centre_R: np.ndarray) -> np.ndarray:
    """Rows less the centre, as faiss takes them: what is no number is zero, what is infinite the largest number."""
    apart_NR = centred(torch.from_numpy(rows_NR), torch.from_numpy(centre_R))
    return np.asarray(apart_NR.nan_to_num_())


class IndexSearch:
    """Looks through the lists nearest to each query; distances of what it finds there are computed exactly. Raises DamagedError
    where the file is not the one that was made, UserError where faiss is not installed."""

    def __init__(self, store: Store, device: torch.device) -> None:
        self.device = device
        self.package = faiss()
        path = store.files.index(len(store))
        hint = "Make it anew: `seq2seq memory index`."
        if not path.exists():
            raise DamagedError("is missing.", str(path), hint)
        if sha256(path) != store.record.index:
            raise DamagedError("is damaged: it does not match its checksum.", str(path), hint)
        self.index = self.package.read_index(str(path), self.package.IO_FLAG_MMAP)
        self.index.nprobe = PROBES
        self.keys_MR = torch.from_numpy(store.keys)
        self.centre_R = store.centre

    def nearest(self, rows_NR: Tensor, count: int) -> Nearest:
        """The ``count`` nearest entries of each query, of those in the lists that are looked through."""
        rows_NR = rows_NR.float().cpu()
        count = min(count, len(self.keys_MR))
        self.package.omp_set_num_threads(torch.get_num_threads())
        queries_NR = _numbers(rows_NR.numpy(), self.centre_R)
        wanted = min(SPARE * count, len(self.keys_MR))
        entries_NC = torch.from_numpy(self.index.search(queries_NR, wanted)[1])
        parts = [
            exactly(self.keys_MR, rows, entries, entries < 0, count)
            for rows, entries in zip(rows_NR.split(TOGETHER), entries_NC.split(TOGETHER), strict=True)
        ]
        return Nearest(*(torch.cat(field).to(self.device) for field in zip(*parts, strict=True)))
