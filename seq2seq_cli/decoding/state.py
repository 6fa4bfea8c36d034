"""A trained model as search sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from seq2seq_cli.decoding.search import Step
from seq2seq_cli.model.recurrence import StepWeights
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.steps import StepMatrix
from seq2seq_cli.model.types import DecoderState, Memory, precise


@dataclass(frozen=True)
class ModelState:
    """A model in the middle of R target sentences: one row of memory and decoder state each."""

    model: Seq2Seq
    memory: Memory
    decoder: DecoderState
    step_weights: StepWeights | None
    output: StepMatrix

    @classmethod
    def start(cls, model: Seq2Seq, src_BS: Tensor, mask_BS: Tensor) -> ModelState:
        """Before the first step; one row a source sentence."""
        return cls(model, *model.start(src_BS, mask_BS), model.decoder.wiring.step_weights(), model.output())

    def step(self, tokens_R: Tensor) -> tuple[Step, ModelState]:
        embedded_R1E = self.model.embed(tokens_R[:, None])
        output = self.model.decoder(embedded_R1E, self.memory, self.decoder, self.step_weights)
        logits_RV = self.model.logits(output.features_BTF[:, 0], self.output)
        centre_R = None if output.centre_BT is None else output.centre_BT[:, 0]
        # log sum exp in few passes: with p the largest probability and l its logit, l - log p.
        log_total_R = precise(logits_RV.amax(-1)) - precise(logits_RV.softmax(-1).amax(-1)).log()
        step = Step(logits_RV, log_total_R, output.weights_BTS[:, 0], centre_R)
        return step, replace(self, decoder=output.state)

    def reorder(self, rows_R: Tensor) -> ModelState:
        # The rows of one sentence share one memory, so only the decoder's state moves.
        return replace(self, decoder=self.decoder.select(rows_R))

    def select(self, rows_R: Tensor) -> ModelState:
        return replace(self, memory=self.memory.select(rows_R), decoder=self.decoder.select(rows_R))
