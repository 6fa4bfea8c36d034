"""What flows through the model.

Letters in names: B batch, T target steps in this call, S source positions, D query size, E encoder size,
A key size, V vocabulary, R rows of a search, F feature size. Masks are True at real tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.carry import select
from seq2seq_cli.model.maps import Pass

AttentionState = tuple[Tensor, ...]
"""What a mechanism carries from step to step: batch-first tensors, () where nothing is carried."""


class Source(NamedTuple):
    """One thing to look at, encoded: ``states_BSE``, one a position; ``summary_BE``, of a text the two directions' final
    states; ``mask_BS``; and the ``tokens_BS`` that were encoded."""

    states_BSE: Tensor
    summary_BE: Tensor
    mask_BS: Tensor
    tokens_BS: Tensor | None = None


Sources = Mapping[str, Source]
"""By the names that they have in `inputs.Inputs`."""


class Keys(Protocol):
    """What the steps share of the keys, ``plain`` being the keys_BSA themselves."""

    plain: Tensor

    def energies(self, queries_RTA: Tensor) -> Tensor:
        """How well each source position fits each query: energies_RTS (rows as in ``Memory``)."""
        ...

    def select(self, rows: Tensor) -> Keys:
        """The keys of the sentences ``rows``."""
        ...

    def pick(self, positions_RP: Tensor) -> Keys:
        """Some positions alone, of each row's own."""
        ...


class Values(Protocol):
    """What is mixed to contexts."""

    def mixture(self, weights_RTS: Tensor) -> Tensor:
        """Their sums, weighted: R x T x S -> R x T x E (rows as in ``Memory``)."""
        ...

    def select(self, rows: Tensor) -> Values: ...

    def pick(self, positions_RP: Tensor) -> Values: ...


class Memory(NamedTuple):
    """What attention reads, made once a source batch: the keys are projected here and never again.

    ``values`` are the encoder's states, B x S x E, or what a mechanism reads in their place. In beam search R = K B rows
    read it, K hypotheses of each sentence one after another: mask and summary then have R rows, values and keys still B.
    """

    values: Values
    keys: Keys
    mask_BS: Tensor
    summary_BE: Tensor

    def select(self, rows: Tensor) -> Memory:
        """The memory of the sentences ``rows``, one row each."""
        mask_BS, summary_BE = self.mask_BS.index_select(0, rows), self.summary_BE.index_select(0, rows)
        return Memory(self.values.select(rows), self.keys.select(rows), mask_BS, summary_BE)

    def shared(self, readers: int) -> Memory:
        """For ``readers`` rows of each sentence."""
        mask_RS, summary_RE = (x.repeat_interleave(readers, 0) for x in (self.mask_BS, self.summary_BE))
        return Memory(self.values, self.keys, mask_RS, summary_RE)

    def pick(self, positions_RP: Tensor) -> Memory:
        """The memory of some positions, of each row's own."""
        mask_RP = self.mask_BS.gather(1, positions_RP)
        return Memory(self.values.pick(positions_RP), self.keys.pick(positions_RP), mask_RP, self.summary_BE)


class Look(NamedTuple):
    """Where T steps looked in one source. ``weights_BTS`` has no source positions (S = 0) where the mechanism gives none.

    None where a mechanism has no such thing: ``centre_BT``, the middle p_t of a local window; ``heads_BTHS``, the weights
    of each head, of which ``weights_BTS`` are the mean; of a mechanism that looks at one position, ``chances_BTS``, how
    likely it was to look at each, and ``baseline_BT``, what it expected of looking.
    """

    weights_BTS: Tensor
    centre_BT: Tensor | None = None
    heads_BTHS: Tensor | None = None
    chances_BTS: Tensor | None = None
    baseline_BT: Tensor | None = None

    @property
    def soft_BTS(self) -> Tensor:
        """Weights that say where a model might look."""
        return self.weights_BTS if self.chances_BTS is None else self.chances_BTS

    @classmethod
    def joined(cls, parts: Sequence[Look]) -> Look:
        """Steps one after another."""
        if len(parts) == 1:
            return parts[0]
        fields = (None if tensors[0] is None else torch.cat(tensors, 1) for tensors in zip(*parts, strict=True))
        return cls(*fields)  # type: ignore[arg-type]

    def spread(self, positions_BP: Tensor, mask_BTS: Tensor) -> Look:
        """What a single step says of the positions ``positions_BP``, as of all of ``mask_BTS``."""

        def everywhere(weights_P: Tensor | None) -> Tensor | None:
            if weights_P is None:
                return None
            shape = (*weights_P.shape[:-1], mask_BTS.shape[-1])
            index_P = positions_BP.reshape(len(positions_BP), *(1 for _ in shape[1:-1]), -1).expand_as(weights_P)
            return weights_P.new_zeros(shape).scatter(-1, index_P, weights_P)

        weights_BTS, heads_BTHS, chances_BTS = map(everywhere, (self.weights_BTS, self.heads_BTHS, self.chances_BTS))
        assert weights_BTS is not None
        return self._replace(weights_BTS=weights_BTS, heads_BTHS=heads_BTHS, chances_BTS=chances_BTS)


Looks = Mapping[str, Look]
"""Where the steps of a layer looked, by the name of the source."""


class Attended(NamedTuple):
    """What attention returns: of T steps each one's context, and where it looked for it."""

    context_BTE: Tensor
    look: Look


LayerMemories = Mapping[str, Memory]
"""What a layer reads of each source that it looks at, by its name."""

SHOWN = TEXT
"""The source that alignments and pictures show, and of which single positions are picked to be looked at alone."""


class Memories(NamedTuple):
    """What each layer of a decoder reads, from the bottom to the top."""

    layers: tuple[LayerMemories, ...]

    def select(self, rows: Tensor) -> Memories:
        """Those of the sentences ``rows``, one row each."""
        return self._each(lambda _, memory: memory.select(rows))

    def shared(self, readers: int) -> Memories:
        """For ``readers`` rows of each sentence."""
        return self._each(lambda _, memory: memory.shared(readers))

    def pick(self, positions_RP: Tensor) -> Memories:
        """Those of some positions of the source SHOWN, of each row's own, and of all of the others."""
        return self._each(lambda name, memory: memory.pick(positions_RP) if name == SHOWN else memory)

    def _each(self, change: Callable[[str, Memory], Memory]) -> Memories:
        return Memories(tuple({name: change(name, memory) for name, memory in layer.items()} for layer in self.layers))


class LayerOutput(NamedTuple):
    """What a layer says of T steps, what it carries on, and where it looked."""

    features_BTF: Tensor
    carry: Any
    looks: Looks


class Layer(Protocol):
    """What a decoder is a stack of. A layer owns the loop over its steps where it needs one: all of them in one call, one by
    one and in any split say the same.

    ``size``: that of its features; ``fresh_size``: how many of these, from the first on, no dropout has touched. What it
    carries from step to step is a tree of tensors with a row a sentence (`model.carry`), of which nobody else knows more.
    """

    size: int
    fresh_size: int

    def prepare(self, sources: Sources, run: Pass) -> LayerMemories:
        """What it reads, made ready once for all steps."""
        ...

    def begin(self, sources: Sources, memories: LayerMemories, run: Pass) -> Any:
        """What it carries into the first step."""
        ...

    def pick(self, carry: Any, positions_RP: Tensor) -> Any:
        """What it would carry where ``Memories.pick`` leaves these positions alone."""
        ...

    def __call__(self, x_BTI: Tensor, memories: LayerMemories, carry: Any, start: int, run: Pass) -> LayerOutput:
        """T steps, the first of which is the absolute target step ``start``."""
        ...


class DecoderState(NamedTuple):
    """All that step t needs of the steps before it: what each layer carries; ``step`` counts the steps taken."""

    carries: tuple[Any, ...]
    step: int

    def select(self, rows: Tensor) -> DecoderState:
        """The state of the given rows, in their order."""
        return DecoderState(select(self.carries, rows), self.step)


class Start(NamedTuple):
    """What a decoder's layers read, and its state before the first step."""

    memories: Memories
    state: DecoderState

    def select(self, rows: Tensor) -> Start:
        """That of the sentences ``rows``, one row each."""
        return Start(self.memories.select(rows), self.state.select(rows))


class DecoderOutput(NamedTuple):
    """``features_BTF`` go through the readout to the vocabulary; ``looks``: where each layer looked, from the bottom to the
    top."""

    features_BTF: Tensor
    looks: tuple[Looks, ...]
    state: DecoderState

    @property
    def shown(self) -> Look:
        """The one that stands for all: at the source SHOWN, of the topmost layer that looks there."""
        return next(looks[SHOWN] for looks in reversed(self.looks) if SHOWN in looks)


@runtime_checkable
class Attention(Protocol):
    """The contract of every mechanism. `model.attention.mechanism.Mechanism` has all of it that most share.

    ``context_size`` is E; ``recurrent`` says whether step t needs step t-1's attention state, so that the mechanism is
    given one query at a time; ``static`` that the context is the same whatever the query, so that no step waits for
    another one's query; ``bounded`` that contexts lie in [-1, 1] as mixtures of encoder states do.
    """

    context_size: int
    recurrent: bool
    static: bool
    bounded: bool

    def prepare(self, encoded: Source, run: Pass) -> Memory: ...

    def initial_state(self, memory: Memory) -> AttentionState: ...

    def pick(self, state: AttentionState, positions_RP: Tensor) -> AttentionState:
        """The state for ``Memory.pick`` of the same positions."""
        ...

    def __call__(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        """Attend with T queries, the first of which belongs to the absolute target step ``start``."""
        ...
