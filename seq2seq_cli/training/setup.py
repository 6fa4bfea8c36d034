"""What training begins with: the text, and an untrained model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.parallel import DistributedDataParallel

from seq2seq_cli.config.sections import WORDS
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.prepare import Prepared, prepare
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.device import choose_device, choose_precision
from seq2seq_cli.evaluation.tokenizers import Tokenizer, choose_tokenizer
from seq2seq_cli.files import expanded
from seq2seq_cli.model.build import build
from seq2seq_cli.ranks import ALONE, Ranks
from seq2seq_cli.training.gradients import Learner, Replica
from seq2seq_cli.training.objectives import CrossEntropy, Objective
from seq2seq_cli.training.optim import make_optimizer
from seq2seq_cli.training.rewarded import MinimumRisk, SelfCritical

Report = Callable[[str, int, int], None]
"""Called with a stage's name, what is done of it, and how much there is."""


def prepared_text(
    config: Config, threads: int, report: Report | None = None, subwords: Subwords | None = None
) -> Prepared:
    """The text of ``config``, tokenised, with the word links that are to guide attention, if any."""
    guided = config.training.guided_alignment
    links = None if guided is None else expanded(guided)
    return prepare(
        config.data, config.subword, threads=threads, progress=report, subwords=subwords, links=links,
        links_from=config.training.guided_from,
    )  # fmt: skip


def with_vocabulary(
    prepared: Prepared, subwords: Subwords, config: Config, threads: int, report: Report | None = None
) -> Prepared:
    """``prepared``, or the same text tokenised by ``subwords`` where these are others."""
    if (subwords.src.model, subwords.tgt.model) == (prepared.subwords.src.model, prepared.subwords.tgt.model):
        return prepared
    return prepared_text(config, threads, report, subwords)


def dev_tokenizer(config: Config, prepared: Prepared) -> Tokenizer:
    """What cuts texts into tokens for BLEU on dev, and for rewards."""
    return choose_tokenizer(config.evaluation.tokenizer, prepared.tgt, prepared.dev_lines.tgt)


def new_learner(config: Config, subwords: Subwords, ranks: Ranks = ALONE, tokenizer: str = WORDS) -> Learner:
    """An untrained model and its optimiser, where and as precise as ``config`` says, the same for all ``ranks``; seeds
    torch's random state. ``tokenizer``: of BLEU, where it is a reward."""
    device = choose_device(config.training.device)
    precision = choose_precision(config.training.precision, device)
    torch.manual_seed(config.training.seed)
    ends = subwords.src.ending(config.attention.segment_marks)
    model = build(config, len(subwords.src), len(subwords.tgt), ends).to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.name == "fp16")
    objective = make_objective(config, subwords, tokenizer)
    replica = Replica(model, objective)
    parallel = replica if ranks.size == 1 else DistributedDataParallel(replica, gradient_as_bucket_view=True)
    return Learner(model, parallel, make_optimizer(model, config.training), scaler, device, precision, objective, ranks)


def make_objective(config: Config, subwords: Subwords, tokenizer: str) -> Objective:
    """The objective of ``config``; rewards compare texts, which ``subwords`` make of pieces, by the tokens of ``tokenizer``."""
    references = CrossEntropy(config.training.label_smoothing)
    match config.objective.kind:
        case "scst":
            return SelfCritical(config.objective, references, subwords.tgt, tokenizer)
        case "mrt":
            return MinimumRisk(config.objective, references, subwords.tgt, tokenizer)
    return references
