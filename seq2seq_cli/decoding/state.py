"""A trained model as search sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from seq2seq_cli.decoding.search import SearchState, Step, Trace
from seq2seq_cli.inputs import Inputs
from seq2seq_cli.model.carry import Rows, numbers
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderState, Memories, Steps


class Shortlist(NamedTuple):
    """The tokens that a search may write, and how their logits, and at last that of all others together, come from the
    decoder's steps."""

    tokens_C: Tensor
    logits: Callable[[Steps], Tensor]


@dataclass(frozen=True)
class ModelState:
    """A model in the middle of R target sentences. ``decoder`` has a row for each of them. ``memories`` has a row for
    each source sentence, and ``readers`` is the same memories as the R rows read them."""

    model: Seq2Seq
    memories: Memories
    readers: Memories
    decoder: DecoderState
    run: Pass
    shortlist: Shortlist | None = None

    @classmethod
    def start(cls, model: Seq2Seq, run: Pass, inputs: Inputs, tokens_C: Tensor | None = None) -> ModelState:
        """Before the first step; one row a source sentence. With ``tokens_C``, tokens are their numbers in it, and the
        number C stands for all other tokens of the vocabulary: how likely these are is known, but none of them can be read."""
        begun = model.start(inputs, run)
        shortlist = None if tokens_C is None else Shortlist(tokens_C, model.readout.among(tokens_C, run))
        return cls(model, begun.memories, begun.memories, begun.state, run, shortlist)

    def step(self, tokens_R: Tensor) -> tuple[Step, ModelState]:
        if self.shortlist is not None:
            # Of a beam wider than the list, hypotheses that cannot be go on with the token that stands for all others.
            tokens_C = self.shortlist.tokens_C
            tokens_R = tokens_C.index_select(0, tokens_R.clamp(max=len(tokens_C) - 1))
        embedded_R1E = self.model.embed(tokens_R[:, None])
        output = self.model.decoder(embedded_R1E, self.readers, self.decoder, self.run)
        steps = output.steps.take(lambda x_R1X: x_R1X[:, 0])
        look = output.shown
        centre_R = None if look.centre_BT is None else look.centre_BT[:, 0]
        step = Step(
            lambda rows: self._logits(steps.take(lambda x_RX: x_RX[rows])), Trace(look.weights_BTS[:, 0], centre_R)
        )
        return step, replace(self, decoder=output.state)

    def _logits(self, steps: Steps) -> Tensor:
        if self.shortlist is not None:
            return self.shortlist.logits(steps)
        return self.model.readout.logits(steps, self.run)

    def reorder(self, rows_R: Tensor) -> ModelState:
        # The rows of one sentence share one memory, so only the decoder's state moves.
        return replace(self, decoder=self.decoder.select(rows_R))

    def select(self, sentences: Rows, rows: Rows) -> ModelState:
        decoder = self.decoder.select(rows)  # first, as it might hold a part of the memories, which are overwritten
        memories = self.memories.select(sentences)
        readers = memories.shared(len(numbers(rows)) // max(1, len(numbers(sentences))))
        return replace(self, memories=memories, readers=readers, decoder=decoder)


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

    def select(self, sentences: Rows, rows: Rows) -> Watched:
        return replace(self, state=self.state.select(sentences, rows))
