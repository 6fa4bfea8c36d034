"""A trained model as search sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from seq2seq_cli.decoding.search import SearchState, Step, Trace
from seq2seq_cli.inputs import Inputs
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderState, Memories


@dataclass(frozen=True)
class ModelState:
    """A model in the middle of R target sentences. ``decoder`` has a row for each of them. ``memories`` has a row for
    each source sentence, and ``readers`` is the same memories as the R rows read them."""

    model: Seq2Seq
    memories: Memories
    readers: Memories
    decoder: DecoderState
    run: Pass

    @classmethod
    def start(cls, model: Seq2Seq, run: Pass, inputs: Inputs) -> ModelState:
        """Before the first step; one row a source sentence."""
        begun = model.start(inputs, run)
        return cls(model, begun.memories, begun.memories, begun.state, run)

    def step(self, tokens_R: Tensor) -> tuple[Step, ModelState]:
        embedded_R1E = self.model.embed(tokens_R[:, None])
        output = self.model.decoder(embedded_R1E, self.readers, self.decoder, self.run)
        features_RF = output.features_BTF[:, 0]
        look = output.shown
        centre_R = None if look.centre_BT is None else look.centre_BT[:, 0]
        step = Step(
            lambda rows: self.model.readout.logits(features_RF[rows], self.run),
            Trace(look.weights_BTS[:, 0], centre_R),
        )
        return step, replace(self, decoder=output.state)

    def reorder(self, rows_R: Tensor) -> ModelState:
        # The rows of one sentence share one memory, so only the decoder's state moves.
        return replace(self, decoder=self.decoder.select(rows_R))

    def select(self, sentences_N: Tensor, rows_R: Tensor) -> ModelState:
        memories = self.memories.select(sentences_N)
        readers = memories.shared(len(rows_R) // max(1, len(sentences_N)))
        return replace(self, memories=memories, readers=readers, decoder=self.decoder.select(rows_R))


@dataclass(frozen=True)
class Watched:
    """``state``, with a call of ``look`` before each step; if that raises, the search ends."""

    state: SearchState
    look: Callable[[], None]

    def step(self, tokens_R: Tensor) -> tuple[Step, Watched]:
        self.look()
        step, state = self.state.step(tokens_R)
        return step, replace(self, state=state)

    def reorder(self, rows_R: Tensor) -> Watched:
        return replace(self, state=self.state.reorder(rows_R))

    def select(self, sentences_N: Tensor, rows_R: Tensor) -> Watched:
        return replace(self, state=self.state.select(sentences_N, rows_R))
