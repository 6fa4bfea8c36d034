"""The gradient of a step, however many pieces memory makes of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from seq2seq_cli.config import TrainingConfig
from seq2seq_cli.data.batching import load_batch
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.device import Precision
from seq2seq_cli.errors import RunError
from seq2seq_cli.model.seq2seq import Seq2Seq


class Learner(NamedTuple):
    """What training changes, apart from ``Progress`` and torch's random state."""

    model: Seq2Seq
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device
    precision: Precision


class Sums(NamedTuple):
    """Over all batches of a step: target ``tokens``, smoothed cross-entropy (``loss``) in nats, target tokens with
    links and the cross-entropy of the attention there. ``parts``: batches that it was computed in."""

    tokens: int
    loss: float
    guided_tokens: int
    guidance: float
    parts: int


def add_gradients(
    learner: Learner, data: TokenisedSplit, group: list[np.ndarray], config: TrainingConfig, guided_weight: float
) -> Sums:
    """Gradients of the sum over the batches of ``group`` into the parameters, which have none before.

    Where memory runs out, it begins anew with every batch halved: the sum, and so the gradient, is the same. (Dropout
    draws other masks.) Raises RunError where a single pair is too large.
    """
    while (sums := _try(learner, data, group, config, guided_weight)) is None:
        learner.optimizer.zero_grad(set_to_none=True)
        if learner.device.type == "cuda":
            torch.cuda.empty_cache()
        if all(len(batch) == 1 for batch in group):
            hint = "Lower data.max_length or the sizes of the model, or close other programs."
            raise RunError("there is not enough memory to train on a single pair.", None, hint)
        group = [half for batch in group for half in np.array_split(batch, 2) if len(half)]
    return sums


def _try(
    learner: Learner, data: TokenisedSplit, group: list[np.ndarray], config: TrainingConfig, guided_weight: float
) -> Sums | None:
    """None where memory ran out. A function of its own: with it end all references to what took the room."""
    try:
        return _add(learner, data, group, config, guided_weight)
    except (RuntimeError, MemoryError) as problem:
        if _is_out_of_memory(problem):
            return None
        raise


def _is_out_of_memory(problem: RuntimeError | MemoryError) -> bool:
    # On a processor, torch has no class for it.
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(problem)


def _add(
    learner: Learner, data: TokenisedSplit, group: list[np.ndarray], config: TrainingConfig, guided_weight: float
) -> Sums:
    tokens, total, guided_tokens, guidance = 0, 0.0, 0, 0.0
    for indices in group:
        batch = load_batch(data, indices).to(learner.device)
        tokens += batch.target_tokens
        with learner.precision.autocast(learner.device):
            loss = learner.model.loss(
                batch.src_BS,
                batch.src_mask_BS,
                batch.reads_BT,
                batch.target_BT,
                batch.target_mask_BT,
                config.label_smoothing,
                batch.guide_BTS,
            )
        objective = loss.smoothed if loss.guidance is None else loss.smoothed + guided_weight * loss.guidance
        torch.autograd.backward(learner.scaler.scale(objective))
        total += float(loss.smoothed.detach())
        if loss.guidance is not None:
            guided_tokens += batch.guided_tokens
            guidance += float(loss.guidance.detach())
    return Sums(tokens, total, guided_tokens, guidance, len(group))
