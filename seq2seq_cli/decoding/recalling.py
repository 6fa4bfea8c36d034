"""A memory beside a model: opened for a run, and what is told of where a piece came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from seq2seq_cli.data.subword import Subword
from seq2seq_cli.data.text import sha256
from seq2seq_cli.decoding.hypothesis import Example, Origin
from seq2seq_cli.errors import RunError
from seq2seq_cli.model.forced import Forced
from seq2seq_cli.neighbours.layout import MemoryFiles, Record, Weights, read_record
from seq2seq_cli.neighbours.readout import Neighbours, Recall, RecallingReadout
from seq2seq_cli.neighbours.search import ExactSearch, Search
from seq2seq_cli.neighbours.store import Store
from seq2seq_cli.neighbours.weighing import Fixed, Weighing, load_adaptive
from seq2seq_cli.runs import Run
from seq2seq_cli.wording import counted

NEIGHBOURS, MIX = 8, 0.5
"""How many neighbours, and their share of the probability, where nothing was chosen on dev."""
SAMPLE = 64
"""Keys whose neighbours tell the temperature of a memory that was not tuned."""
SHOWN = 8
"""Most examples that are told of a piece."""


class Given(NamedTuple):
    """What a user says of the neighbours' weights; None: as the memory says."""

    neighbours: int | None = None
    temperature: float | None = None
    mix: float | None = None

    @property
    def anything(self) -> bool:
        """Whether something was said."""
        return any(value is not None for value in self)

    def over(self, weights: Weights) -> Weights:
        """These, laid over the memory's own."""
        return weights.model_copy(update={name: value for name, value in self._asdict().items() if value is not None})


AS_IT_SAYS = Given()


@dataclass(frozen=True)
class OpenMemory:
    """A memory that takes part in translations."""

    store: Store
    recall: Recall

    def __str__(self) -> str:
        texts = counted(self.store.record.sentences, "sentence")
        tuned = "" if self.store.record.tuned else "; not tuned on dev (`seq2seq memory tune`)"
        by_index = ", found by an index" if self.store.record.index else ""
        return f"{len(self.store):,} entries of {texts}{by_index}, {self.recall.weighing}{tuned}"

    @property
    def digest(self) -> str:
        """Changes with whatever the translations depend on: what it holds and how its neighbours are weighed."""
        held = self.store.record.model_dump_json() + self.recall.weighing.exactly
        return hashlib.sha256(held.encode()).hexdigest()

    def origins(self, forced: Forced, subword: Subword) -> list[tuple[Origin, ...]]:
        """Where each piece of the given targets came from, ``</s>`` included."""
        readout, real_BT = forced.readout, forced.target.real_BT
        assert isinstance(readout, RecallingReadout)
        steps, says_N = forced.real_steps()
        told: list[Origin] = []
        for log_prob_NV, found in readout.recalled(steps, forced.run):
            some_N = says_N[len(told) : len(told) + len(log_prob_NV)]
            given_N = ((found.values_NK == some_N[:, None]) * found.weights_NK).sum(1)
            prob_N = log_prob_NV.gather(1, some_N[:, None]).squeeze(1).exp()
            share_N = (given_N / prob_N).clamp(0, 1).nan_to_num_().tolist()
            for row, says in enumerate(some_N.tolist()):
                told.append(Origin(share_N[row], self._examples(found, row, says, subword)))
        edges = real_BT.sum(1).cumsum(0).tolist()
        return [tuple(told[begin:end]) for begin, end in zip([0, *edges], edges, strict=False)]

    def _examples(self, found: Neighbours, row: int, piece: int, subword: Subword) -> tuple[Example, ...]:
        entries_K, distances_K, values_K, weights_K = (x_NK[row].cpu() for x_NK in found)
        near = [k for k in range(len(entries_K)) if distances_K[k].isfinite()]
        # Those of this piece first, then by weight, then by distance.
        order = sorted(near, key=lambda k: (int(values_K[k]) != piece, -float(weights_K[k]), k))[:SHOWN]
        places = self.store.places(entries_K[order].numpy())
        examples = []
        for k, place in zip(order, places, strict=True):
            sentence = self.store.sentence(place.sentence)
            pieces = tuple(subword.pieces(sentence.ids))
            weight, distance = float(weights_K[k]), float(distances_K[k])
            examples.append(Example(sentence.source, sentence.target, pieces, place.position, weight, distance))
        return tuple(examples)


def identity(run: Run) -> Mapping[str, str]:
    """What a memory must be of to fit a run: digests of its weights and of its tokenizers."""
    return {"model": sha256(run.best), "vocabulary": sha256(*run.tokenizers)}


def is_of(record: Record, run: Run) -> bool:
    """Whether a memory is of this run's weights and vocabulary."""
    return all(value == getattr(record, name) for name, value in identity(run).items())


def memories_of(runs: Sequence[Run], memories: Sequence[Path]) -> list[list[Path]]:
    """For each run those of the memories that are of it. Raises RunError where a memory is of none of them."""
    of_runs: list[list[Path]] = [[] for _ in runs]
    for path in memories:
        record = read_record(MemoryFiles(path))
        owners = [own for run, own in zip(runs, of_runs, strict=True) if is_of(record, run)]
        if not owners:
            require_same(record, runs[0], path)
        for own in owners:
            own.append(path)
    return of_runs


def require_same(record: Record, run: Run, directory: Path) -> None:
    """Raises RunError where a memory is not of this run's weights and vocabulary."""
    changed = [name for name, value in identity(run).items() if value != getattr(record, name)]
    if not changed:
        return
    others = " and ".join({"model": "weights", "vocabulary": "vocabulary"}[name] for name in changed)
    what = f"this memory does not belong to {run.directory}: it was made with other {others} (of a run called {record.run})."
    raise RunError(what, str(directory), f"Make one with `seq2seq memory build --run {run.directory}`.")


def open_memory(run: Run, directory: Path, device: torch.device, given: Given = AS_IT_SAYS) -> OpenMemory:
    """The memory in ``directory``, weighed as it says itself or as is ``given``. Raises RunError where it is none, or is not
    of this run; DamagedError where it is damaged."""
    store = Store.open(directory)
    require_same(store.record, run, directory)
    search = _by_index(store, device) if store.record.index else ExactSearch(store, device)
    return OpenMemory(store, Recall(search, torch.from_numpy(store.values).to(device), weighing(store, search, given)))


def _by_index(store: Store, device: torch.device) -> Search:
    from seq2seq_cli.neighbours.index import IndexSearch

    return IndexSearch(store, device)


def weighing(store: Store, search: Search, given: Given) -> Weighing:
    """How neighbours are weighed: as is ``given``, or else by the memory's network, or else by its weights."""
    weights = store.record.weights or untuned(store, search)
    if not given.anything and store.record.tuned is not None and store.record.tuned.adaptive is not None:
        return load_adaptive(store.files.adaptive, weights.neighbours).to(search.device)
    return Fixed(given.over(weights))


def untuned(store: Store, search: Search) -> Weights:
    """Weights for a memory that was not tuned: T is the mean squared distance of a key to its neighbours."""
    rows = torch.linspace(0, len(store) - 1, min(SAMPLE, len(store))).round().long()
    keys_NR = torch.from_numpy(store.keys)[rows].float()
    distances_NK = search.nearest(keys_NR.to(search.device), NEIGHBOURS + 1).distances_NK
    others = distances_NK[(distances_NK > 0) & distances_NK.isfinite()]
    temperature = float(others.mean()) if len(others) else 1.0
    return Weights(neighbours=NEIGHBOURS, temperature=temperature, mix=MIX)
