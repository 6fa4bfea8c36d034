"""The gradient of a step, however many processes share it and however many pieces memory makes of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from seq2seq_cli.data.batching import load_batch
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.errors import RunError
from seq2seq_cli.ranks import Ranks
from seq2seq_cli.training.learner import Learner, Replica


class Sums(NamedTuple):
    """Over all batches of a step: target ``tokens``, the ``loss`` that the objective tells of, target tokens with
    links and the cross-entropy of the attention there; sentences with samples, and the sum of their ``reward``, from 0 to
    1 each. ``parts``: batches that it was computed in."""

    tokens: int
    loss: float
    guided_tokens: int
    guidance: float
    parts: int
    rewarded: int = 0
    reward: float = 0.0


def add_gradients(learner: Learner, data: TokenisedSplit, group: list[np.ndarray], guided_weight: float) -> Sums:
    """Gradients of the sum over the batches of ``group`` into the parameters, which have none before: of several
    processes each takes an equal part of every batch, and all come to the mean of what they have.

    Where memory runs out, it begins anew with every batch halved: the sum, and so the gradient, is the same. (Other
    dropout masks and translations are drawn.) Raises RunError where a single pair is too large, and where other processes
    wait for this one.
    """
    mine, weighs = _share(learner.ranks, group)
    while (sums := _try(learner, data, mine, guided_weight, weighs)) is None:
        learner.optimizer.zero_grad(set_to_none=True)
        if learner.device.type == "cuda":
            torch.cuda.empty_cache()
        if learner.ranks.size > 1:
            what = f"there is not enough memory for process {learner.ranks.rank}'s part of a batch."
            raise RunError(what, None, "Lower training.batch_tokens.")
        if all(len(batch) == 1 for batch in mine):
            hint = "Lower data.max_length or the sizes of the model, or close other programs."
            raise RunError("there is not enough memory to train on a single pair.", None, hint)
        mine = [half for batch in mine for half in np.array_split(batch, 2) if len(half)]
    tokens, loss, guided_tokens, guidance, rewarded, reward = learner.ranks.sum(*sums[:4], *sums[5:])
    parts = max(sums.parts, len(group))
    return Sums(int(tokens), loss, int(guided_tokens), guidance, parts, int(rewarded), reward)


def _share(ranks: Ranks, group: list[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """A process's part of the batches, and what it weighs: nothing, where there are fewer pairs than processes, and it
    takes another one's for its gradient to have a shape."""
    mine = [part for batch in group if len(part := batch[ranks.turns])]
    return (mine, 1.0) if mine else ([group[0][:1]], 0.0)


def _try(
    learner: Learner, data: TokenisedSplit, batches: list[np.ndarray], guided_weight: float, weighs: float
) -> Sums | None:
    """None where memory ran out. A function of its own: with it end all references to what took the room."""
    try:
        return _add(learner, data, batches, guided_weight, weighs)
    except (RuntimeError, MemoryError) as problem:
        if _is_out_of_memory(problem):
            return None
        raise


def _is_out_of_memory(problem: RuntimeError | MemoryError) -> bool:
    # On a processor, torch has no class for it.
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(problem)


def _add(
    learner: Learner, data: TokenisedSplit, batches: list[np.ndarray], guided_weight: float, weighs: float
) -> Sums:
    tokens, total, guided_tokens, guidance, rewarded, reward = 0, 0.0, 0, 0.0, 0, 0.0
    for number, indices in enumerate(batches, start=1):
        batch = load_batch(data, indices).to(learner.device)
        tokens += batch.target_tokens
        with learner.precision.autocast(learner.device):
            drawn = learner.objective.draw(learner.model, batch)
        with _exchanging(learner.replica, number == len(batches)):
            # Not the same autocast as above: weights that it casts without gradients would be kept without them.
            with learner.precision.autocast(learner.device):
                cost = learner.replica(batch, drawn, guided_weight)
            torch.autograd.backward(learner.scaler.scale(weighs * cost.minimised))
        total += float(cost.loss.detach())
        if cost.guidance is not None:
            guided_tokens += batch.guided_tokens
            guidance += float(cost.guidance.detach())
        if drawn is not None:
            rewarded += drawn.sentences
            reward += drawn.reward
    sums = Sums(tokens, total, guided_tokens, guidance, len(batches), rewarded, reward)
    return sums if weighs else Sums(0, 0.0, 0, 0.0, len(batches))


def _exchanging(replica: Replica | DistributedDataParallel, last: bool) -> AbstractContextManager[None]:
    """Processes exchange their gradients once, in the last backward pass of a step."""
    return nullcontext() if last or isinstance(replica, Replica) else replica.no_sync()
