"""What training minimises: cross-entropy, or how much reward the model's own translations lack."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from seq2seq_cli.inputs import Batch
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.training.candidates import Candidates


class Cost(NamedTuple):
    """Sums over a batch, in nats: what is ``minimised``, the ``loss`` that is reported, and the ``guidance`` of attention; and
    its ``coverage`` loss, a sum of weights. What there is of these two, the first includes and the second does not."""

    minimised: Tensor
    loss: Tensor
    guidance: Tensor | None = None
    coverage: Tensor | None = None


class Objective(Protocol):
    """For each batch, ``draw`` is called first, without gradients; then ``cost``, with the same batch and what was
    drawn."""

    def draw(self, model: Seq2Seq, batch: Batch) -> Candidates | None:
        """Translations of the batch's sources, drawn with torch's random numbers; None where the objective needs
        none."""
        ...

    def cost(self, model: Seq2Seq, batch: Batch, drawn: Candidates | None, guided_weight: float) -> Cost:
        """The cost of a batch. ``guided_weight`` is the weight of the guidance, if attention is guided."""
        ...


class CrossEntropy:
    """The cross-entropy of the references, label-smoothed, the guidance of attention, and its coverage loss with a weight."""

    def __init__(self, label_smoothing: float, coverage_weight: float) -> None:
        self.label_smoothing = label_smoothing
        self.coverage_weight = coverage_weight

    def draw(self, model: Seq2Seq, batch: Batch) -> Candidates | None:
        return None

    def cost(self, model: Seq2Seq, batch: Batch, drawn: Candidates | None, guided_weight: float) -> Cost:
        loss = model.loss(batch, self.label_smoothing, covering=self.coverage_weight > 0)
        minimised = loss.smoothed
        if loss.guidance is not None:
            minimised = minimised + guided_weight * loss.guidance
        if loss.coverage is not None:
            minimised = minimised + self.coverage_weight * loss.coverage
        return Cost(minimised, loss.smoothed, loss.guidance, loss.coverage)
