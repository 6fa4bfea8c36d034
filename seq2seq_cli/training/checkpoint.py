"""Checkpoints: weights to translate with, and everything that an exact resumption needs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from seq2seq_cli.errors import DamagedError
from seq2seq_cli.files import read_bytes
from seq2seq_cli.model.formats import by_todays_names
from seq2seq_cli.model.weights import LARGEST_FILE, read_weights, restore, state_of
from seq2seq_cli.runs import Run, write_bytes
from seq2seq_cli.seal import BLANK, is_whole, seal
from seq2seq_cli.training.learner import Learner
from seq2seq_cli.training.progress import Progress

LARGEST_LAST = 3 * LARGEST_FILE
"""Most bytes of ``last``: the weights, and two moments of Adam for each."""


class State(TypedDict):
    """The content of a checkpoint: plain values and tensors alone, which torch loads without running code."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    progress: dict[str, Any]


def snapshot(learner: Learner, progress: Progress) -> State:
    """The state of a training: weights, optimiser, scaler and progress."""
    return State(
        weights=state_of(learner.model),
        optimizer=learner.optimizer.state_dict(),
        scaler=learner.scaler.state_dict(),
        progress=asdict(progress),
    )


def take_over(learner: Learner, state: State, where: str) -> Progress:
    """Bring the learner to the state of a snapshot; returns its progress. Raises RunError where the shapes differ."""
    weights = by_todays_names(state["weights"])
    restore(learner.model, weights, where)
    learner.optimizer.load_state_dict(_in_order(state["optimizer"], list(weights), learner.model))
    learner.scaler.load_state_dict(state["scaler"])
    learner.share()
    return Progress(**state["progress"])


def _in_order(optimizer: dict[str, Any], names: list[str], model: nn.Module) -> dict[str, Any]:
    """The state of an optimiser whose parameters ``names`` are numbered in an older order, renumbered in today's
    order."""
    numbers = [names.index(name) for name, _ in model.named_parameters()]
    [group], state = optimizer["param_groups"], optimizer["state"]
    return {
        "param_groups": [group | {"params": list(range(len(numbers)))}],
        "state": {new: state[old] for new, old in enumerate(numbers) if old in state},
    }


def save_last(learner: Learner, progress: Progress, path: Path) -> None:
    """Write a snapshot to ``path``, sealed, whole or not at all."""
    state = snapshot(learner, progress)
    # In memory first: torch reports a full disk only as a failed assertion of its own.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    place = buffer.tell()
    buffer.write(BLANK.encode())
    data = buffer.getbuffer()  # not a copy, which would add 90 MiB to the most memory that a training takes
    seal(data, place)
    write_bytes(path, data)


def load_last(learner: Learner, path: Path) -> Progress:
    """Bring the learner back to a checkpoint; returns its progress.

    Loads tensors and plain values only, never code. Raises DamagedError where the file has changed since it was
    written, and leaves the learner as it was; RunError where the shapes differ.
    """
    state = _read(path)
    try:
        return take_over(learner, state, str(path))
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        # The checksum is right, but no training has written this file.
        raise DamagedError(f"this checkpoint holds what no training leaves: {error!r}", str(path)) from None


def _read(path: Path) -> Any:
    try:
        data = read_bytes(path, LARGEST_LAST)
    except OSError as error:
        raise DamagedError(f"this checkpoint cannot be read: {error.strerror}.", str(path)) from None
    if not is_whole(data, len(data) - len(BLANK)):
        what = "this checkpoint is damaged, or of a version without checksums: it does not match its checksum."
        raise DamagedError(what, str(path))
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no common class for what it cannot read
        raise DamagedError(f"this checkpoint cannot be read: {error}", str(path)) from None


class LastCheckpoint:
    """``last`` of a run, and behind it ``previous``, the milestone before (see ``Progress.milestone``)."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.is_milestone = False
        """Whether ``last`` is whole and a milestone."""

    def save(self, learner: Learner, progress: Progress) -> None:
        """Write a new ``last``. The old one becomes ``previous`` if it is a milestone."""
        if self.is_milestone:
            os.replace(self.run.last, self.run.previous)
            self.is_milestone = False
        save_last(learner, progress, self.run.last)
        self.is_milestone = progress.milestone

    def load(self, learner: Learner) -> tuple[Progress | None, list[str]]:
        """Bring ``learner`` to where the run stopped; returns its progress, and notes for the user.

        The progress is None if the run was cut off before its first checkpoint. Raises DamagedError where ``last`` is
        damaged and ``previous`` is missing or damaged as well.
        """
        if self.run.last.exists():
            try:
                progress = load_last(learner, self.run.last)
            except DamagedError as problem:
                earlier, told = self._load_previous(learner, problem), f"{problem.where}: {problem.what}"
                return earlier, [f"{told} Going on from {self.run.previous}, of step {earlier.step}."]
            self.is_milestone = progress.milestone
            return progress, []
        # The process was killed between the renaming of one checkpoint and the next.
        return (load_last(learner, self.run.previous) if self.run.previous.exists() else None), []

    def _load_previous(self, learner: Learner, problem: DamagedError) -> Progress:
        hint = "Copy it from a backup, or start again with --overwrite."
        if not self.run.previous.exists():
            raise DamagedError(f"{problem.what} There is no earlier one.", problem.where, hint)
        try:
            return load_last(learner, self.run.previous)
        except DamagedError as other:
            raise DamagedError(f"{problem.what} So is {other.where}.", problem.where, hint) from None

    def go_back(self, learner: Learner) -> Progress | None:
        """Bring ``learner`` back to the latest milestone on disk; returns its progress, or None if there is no
        milestone yet."""
        for path in (self.run.last, self.run.previous):
            try:
                progress = load_last(learner, path)
            except DamagedError:
                continue
            if progress.milestone:
                return progress
        return None


def average(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints (Vaswani et al. 2017, 6.1)."""
    states = [read_weights(path) for path in paths]
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
