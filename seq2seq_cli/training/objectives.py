"""What training makes small: cross-entropy, or what a model's own translations lack in reward."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from seq2seq_cli.inputs import Batch
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
        loss = model.loss(batch, self.label_smoothing)
        if loss.guidance is None:
            return Cost(loss.smoothed, loss.smoothed)
        return Cost(loss.smoothed + guided_weight * loss.guidance, loss.smoothed, loss.guidance)
