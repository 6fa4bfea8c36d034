"""The gradient of one step, shared among processes, and computed in parts where memory is short."""

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
    """Sums over all batches of a step: target ``tokens``, and the ``loss`` of the objective; ``guided_tokens``, target
    tokens with links, and the ``guidance`` there, which is the cross-entropy of the attention; ``rewarded`` sentences,
    and the sum of their ``reward``, from 0 to 1 each; the ``coverage`` loss. ``parts``: in how many batches it was computed, apart from how several
    processes share them."""

    tokens: int
    loss: float
    guided_tokens: int
    guidance: float
    parts: int
    rewarded: int = 0
    reward: float = 0.0
    coverage: float = 0.0


def add_gradients(learner: Learner, data: TokenisedSplit, group: list[np.ndarray], guided_weight: float) -> Sums:
    """Add to the parameters, which must not have gradients yet, those of the loss summed over the batches of ``group``.
    Several processes share the batches, and get the mean of their gradients; of a shared update, each that of its part.

    Where memory runs out, it begins again with every batch halved; the sum, and so the gradient, stays the same (though
    other dropout masks and translations are drawn). Raises RunError where a single pair is too large, and where memory
    runs out while other processes wait for this one.
    """
    mine, weighs = _share(learner.ranks, group)
    planned = len(mine)
    while (sums := _try(learner, data, mine, guided_weight, weighs)) is None:
        learner.optimizer.zero_grad(set_to_none=True)
        if learner.device.type == "cuda":
            torch.cuda.empty_cache()
        if isinstance(learner.replica, DistributedDataParallel):
            what = f"there is not enough memory for process {learner.ranks.rank}'s part of a batch."
            raise RunError(what, None, "Lower training.batch_tokens.")
        if all(len(batch) == 1 for batch in mine):
            hint = "Lower data.max_length or the sizes of the model, or close other programs."
            raise RunError("there is not enough memory to train on a single pair.", None, hint)
        mine = [half for batch in mine for half in np.array_split(batch, 2) if len(half)]
    if learner.shared is not None:
        learner.shared.leave()
    halved = sums.parts - planned
    tokens, loss, guided_tokens, guidance, more, *others = learner.ranks.sum(*sums[:4], halved, *sums[5:])
    rewarded, reward, coverage = others
    if learner.shared is not None:
        learner.shared.take()
    parts = len(group) + int(more)
    return Sums(int(tokens), loss, int(guided_tokens), guidance, parts, int(rewarded), reward, coverage)


def _share(ranks: Ranks, group: list[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """This process's part of the batches, and the weight of its gradient: whole batches, as these are computed quicker,
    and of those that are left over a part each. Where there are fewer pairs than processes, it takes a part of another
    one, with weight zero, so that it has a gradient at all."""
    whole = len(group) // ranks.size * ranks.size
    mine = list(group[:whole][ranks.turns])
    mine += [part for batch in group[whole:] if len(part := batch[ranks.turns])]
    return (mine, 1.0) if mine else ([group[0][:1]], 0.0)


def _try(
    learner: Learner, data: TokenisedSplit, batches: list[np.ndarray], guided_weight: float, weighs: float
) -> Sums | None:
    """None where memory ran out. A function of its own, so that returning drops all references to what filled the
    memory."""
    try:
        return _add(learner, data, batches, guided_weight, weighs)
    except (RuntimeError, MemoryError) as problem:
        if _is_out_of_memory(problem):
            return None
        raise


def _is_out_of_memory(problem: RuntimeError | MemoryError) -> bool:
    # On a CPU, torch has no class of its own for it.
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(problem)


def _add(
    learner: Learner, data: TokenisedSplit, batches: list[np.ndarray], guided_weight: float, weighs: float
) -> Sums:
    tokens, total, guided_tokens, guidance, rewarded, reward, coverage = 0, 0.0, 0, 0.0, 0, 0.0, 0.0
    for number, indices in enumerate(batches, start=1):
        batch = load_batch(data, indices).to(learner.device)
        tokens += batch.target_tokens
        with learner.precision.autocast(learner.device):
            drawn = learner.objective.draw(learner.model, batch)
        with _exchanging(learner.replica, number == len(batches)):
            # Not the autocast from above: it keeps the weights that it casts, and above it cast them without gradients.
            with learner.precision.autocast(learner.device):
                cost = learner.replica(batch, drawn, guided_weight)
            torch.autograd.backward(learner.scaler.scale(weighs * cost.minimised))
        total += float(cost.loss.detach())
        if cost.guidance is not None:
            guided_tokens += batch.guided_tokens
            guidance += float(cost.guidance.detach())
        if cost.coverage is not None:
            coverage += float(cost.coverage.detach())
        if drawn is not None:
            rewarded += drawn.sentences
            reward += drawn.reward
    sums = Sums(tokens, total, guided_tokens, guidance, len(batches), rewarded, reward, coverage)
    return sums if weighs else Sums(0, 0.0, 0, 0.0, len(batches))


def _exchanging(replica: Replica | DistributedDataParallel, last: bool) -> AbstractContextManager[None]:
    """Within, a backward pass adds up gradients; with the last one of a step, the processes exchange their sums."""
    return nullcontext() if last or isinstance(replica, Replica) else replica.no_sync()
