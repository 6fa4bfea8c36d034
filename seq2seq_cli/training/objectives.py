"""What training makes small: cross-entropy, or what a model's own translations lack in reward."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from seq2seq_cli.config import Config
from seq2seq_cli.data.batching import Batch
from seq2seq_cli.data.subword import Subwords
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.training.candidates import Candidates


class Cost(NamedTuple):
    """Of a batch, summed: what is ``minimised``, in nats; the ``loss`` that is told of, which is the same but for the
    ``guidance`` of attention, where there is any."""

    minimised: Tensor
    loss: Tensor
    guidance: Tensor | None = None


class Objective(Protocol):
    """``draw`` is called first, without gradients; then ``cost``, with the same batch and what was drawn."""

    def draw(self, model: Seq2Seq, batch: Batch) -> Candidates | None:
        """Translations of the batch's sources, from torch's random numbers; None where none are wanted."""
        ...

    def cost(self, model: Seq2Seq, batch: Batch, drawn: Candidates | None, guided_weight: float) -> Cost:
        """``guided_weight``: that of the guidance, where attention is guided."""
        ...


class CrossEntropy:
    """That of the references, smoothed, and the guidance of attention."""

    def __init__(self, label_smoothing: float) -> None:
        self.label_smoothing = label_smoothing

    def draw(self, model: Seq2Seq, batch: Batch) -> Candidates | None:
        return None

    def cost(self, model: Seq2Seq, batch: Batch, drawn: Candidates | None, guided_weight: float) -> Cost:
        loss = model.loss(
            batch.src_BS,
            batch.src_mask_BS,
            batch.reads_BT,
            batch.target_BT,
            batch.target_mask_BT,
            self.label_smoothing,
            batch.guide_BTS,
        )
        if loss.guidance is None:
            return Cost(loss.smoothed, loss.smoothed)
        return Cost(loss.smoothed + guided_weight * loss.guidance, loss.smoothed, loss.guidance)


def make_objective(config: Config, subwords: Subwords, tokenizer: str) -> Objective:
    """The objective of ``config``; rewards compare texts, which ``subwords`` make of pieces, by the tokens of ``tokenizer``."""
    from seq2seq_cli.training.rewarded import MinimumRisk, SelfCritical

    references = CrossEntropy(config.training.label_smoothing)
    match config.objective.kind:
        case "scst":
            return SelfCritical(config.objective, references, subwords.tgt, tokenizer)
        case "mrt":
            return MinimumRisk(config.objective, references, subwords.tgt, tokenizer)
    return references
