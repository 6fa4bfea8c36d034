"""What learns: a model with its optimiser and objective, on a device, in a precision."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from seq2seq_cli.config.sections import WORDS
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.device import Precision, choose_device, choose_precision
from seq2seq_cli.inputs import Batch
from seq2seq_cli.model.build import build
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.weights import restore, state_of
from seq2seq_cli.ranks import ALONE, Ranks
from seq2seq_cli.siblings import OverPipes
from seq2seq_cli.training.candidates import Candidates
from seq2seq_cli.training.objectives import Cost, CrossEntropy, Objective
from seq2seq_cli.training.optim import make_optimizer
from seq2seq_cli.training.rewarded import MinimumRisk, SelfCritical
from seq2seq_cli.training.shared import SharedUpdate


class Replica(nn.Module):
    """The model in the form ``DistributedDataParallel`` needs: its forward returns the cost."""

    def __init__(self, model: Seq2Seq, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch, drawn: Candidates | None, guided_weight: float) -> Cost:
        return self.objective.cost(self.model, batch, drawn, guided_weight)


class Learner(NamedTuple):
    """What training changes, apart from ``Progress``. ``replica`` is this process's copy of the model. Of several
    ``ranks`` each has one. Between machines and GPUs, the gradient of each becomes the mean over all in the backward
    pass; processes of one command have a ``shared`` update."""

    model: Seq2Seq
    replica: Replica | DistributedDataParallel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device
    precision: Precision
    objective: Objective
    ranks: Ranks
    shared: SharedUpdate | None

    def become(self, other: Learner) -> None:
        """Take over the weights of ``other`` and the states of its optimiser and scaler."""
        restore(self.model, state_of(other.model), "a new model")
        self.optimizer.load_state_dict(other.optimizer.state_dict())
        self.scaler.load_state_dict(other.scaler.state_dict())
        self.share()

    def share(self) -> None:
        """Call it after the optimiser's state was loaded."""
        if self.shared is not None:
            self.shared.adopt()


def new_learner(config: Config, subwords: Subwords, ranks: Ranks = ALONE, tokenizer: str = WORDS) -> Learner:
    """An untrained model and its optimiser, on the device and in the precision of ``config``, the same in all
    ``ranks``. Seeds torch's random state. ``tokenizer``: of BLEU, where BLEU is a reward."""
    device = choose_device(config.training.device)
    precision = choose_precision(config.training.precision, device)
    torch.manual_seed(config.training.seed)
    ends = subwords.src.ending(config.attention.segment_marks)
    model = build(config, len(subwords.src), len(subwords.tgt), ends).to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.name == "fp16")
    objective = make_objective(config, subwords, tokenizer)
    replica = Replica(model, objective)
    optimizer = make_optimizer(model, config.training)
    shared = None
    if isinstance(ranks.exchange, OverPipes):
        shared = SharedUpdate(ranks, ranks.exchange, optimizer)
    parallel = ranks.size > 1 and shared is None
    own = DistributedDataParallel(replica, gradient_as_bucket_view=True) if parallel else replica
    return Learner(model, own, optimizer, scaler, device, precision, objective, ranks, shared)


def make_objective(config: Config, subwords: Subwords, tokenizer: str) -> Objective:
    """The objective of ``config``. Rewards compare texts, which ``subwords`` make of pieces; ``tokenizer`` is the one
    for BLEU."""
    references = CrossEntropy(config.training.label_smoothing, config.training.coverage_weight)
    match config.objective.kind:
        case "scst":
            return SelfCritical(config.objective, references, subwords.tgt, tokenizer)
        case "mrt":
            return MinimumRisk(config.objective, references, subwords.tgt, tokenizer)
    return references
