"""The optimiser, its learning rate, and one step of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seq2seq_cli.config.sections import TrainingConfig
from seq2seq_cli.training.limit import updating_seconds
from seq2seq_cli.training.progress import Progress
from seq2seq_cli.training.shared import SharedUpdate

FLOOR = 0.01
"""Share of the peak rate at which the cosine schedule ends."""
AFTER_SETBACK = 0.5
"""Each setback multiplies the rate by this."""


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019) over every parameter."""
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def share_done(config: TrainingConfig, progress: Progress, epoch_share: float) -> float:
    """How much of the training is done, 0 to 1: of its epochs or of the time for updates, whichever is more.

    ``epoch_share``: how much of the current epoch is done, 0 to 1.
    """
    done = (progress.epoch + epoch_share) / config.epochs
    if config.max_minutes is not None:
        done = max(done, progress.seconds / updating_seconds(config, progress))
    return min(1.0, done)


def guided_weight(config: TrainingConfig, share: float) -> float:
    """The weight of the guidance when ``share`` of the training is done: linear from the first to the final weight."""
    first, final = config.guidance
    return first + (final - first) * share


def learning_rate(config: TrainingConfig, progress: Progress, epoch_share: float) -> float:
    """The rate of the coming step.

    ``epoch_share``: how much of the current epoch is done, 0 to 1. The cosine (Loshchilov & Hutter 2017, without
    restarts) spans the epochs or, if that ends sooner, ``max_minutes``. Under a time limit that takes effect, the rate
    follows the clock, so two runs differ in it.
    """
    warmup = min(1.0, (progress.step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    match config.schedule:
        case "cosine":
            done = share_done(config, progress, epoch_share)
            decay = FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2
        case "inverse-sqrt":
            decay = math.sqrt(max(1, config.warmup_steps) / max(progress.step + 1, config.warmup_steps, 1))
        case "plateau":
            decay = progress.plateau_factor
        case "constant":
            decay = 1.0
    return config.learning_rate * warmup * decay * AFTER_SETBACK**progress.setbacks


def step(
    optimizer: torch.optim.Optimizer,
    rate: float,
    tokens: float,
    clip_norm: float,
    scaler: torch.amp.GradScaler,
    finite_loss: bool = True,
    shared: SharedUpdate | None = None,
) -> float:
    """Update from gradients summed over ``tokens`` target tokens; returns the norm of their mean.

    Weights and optimiser stay as they are where the loss or the norm is not finite. Of a ``shared`` update this is one
    process's part; it returns when all have done theirs.
    """
    scaler.unscale_(optimizer)
    gradients = list(_gradients(optimizer))
    norm = torch.nn.utils.get_total_norm(gradients) / tokens
    if shared is not None:
        norm = shared.norm_of_all(norm)
    length = float(norm)
    if finite_loss and math.isfinite(length):
        shrink = (clip_norm / (norm + 1e-6)).clamp(max=1.0) if clip_norm else torch.ones_like(norm)
        if gradients:  # of more processes than parameters, some have none
            torch._foreach_mul_(gradients, shrink / tokens)
        for group in optimizer.param_groups:
            group["lr"] = rate
        scaler.step(optimizer)
    if shared is not None:
        shared.ranks.meet()
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return length


def _gradients(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    for group in optimizer.param_groups:
        yield from (parameter.grad for parameter in group["params"] if parameter.grad is not None)
