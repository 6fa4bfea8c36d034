"""Checkpoints: weights to translate with, and everything that exact resumption needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from seq2seq_cli.errors import RunError
from seq2seq_cli.model.weights import read_weights, restore, state_of
from seq2seq_cli.runs import written_whole
from seq2seq_cli.training.loop import Learner
from seq2seq_cli.training.progress import Progress


def save_last(learner: Learner, progress: Progress, path: Path) -> None:
    """Weights, optimiser, scaler, progress and random state, in one piece."""
    state = {
        "weights": state_of(learner.model),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "progress": asdict(progress),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if learner.device.type == "cuda" else [],
    }
    with written_whole(path) as temporary:
        torch.save(state, temporary)


def load_last(learner: Learner, path: Path) -> Progress:
    """Bring the learner and torch's random state back to a checkpoint; returns its progress.

    Loads tensors and plain values only, never code. Raises RunError where it is missing, damaged or of another
    shape.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError("there is no checkpoint to resume from.", str(path), "Start again with --overwrite.") from None
    except Exception as error:  # torch names no common class for what a damaged file raises
        raise RunError(f"this checkpoint cannot be read: {error}", str(path)) from None
    restore(learner.model, state["weights"], str(path))
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    return Progress(**state["progress"])


def average(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints (Vaswani et al. 2017, 6.1)."""
    states = [read_weights(path) for path in paths]
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
