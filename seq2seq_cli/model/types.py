"""What flows through the model.

Letters in names: B batch, T target steps in this call, S source positions, D query size, E encoder size,
A key size, V vocabulary, R rows of a search, F feature size. Masks are True at real tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.carry import Rows, numbers, select
from seq2seq_cli.model.maps import Pass

AttentionState = tuple[Tensor, ...]
"""What a mechanism carries from step to step: batch-first tensors, () where nothing is carried."""


class Source(NamedTuple):
    """One encoded thing to look at: ``states_BSE``, a state for each position; ``summary_BE``, for a text the final
    states of both directions, or the mean of all states; ``mask_BS``; and the ``tokens_BS`` that were encoded. ``looks``:
    where each layer of a Transformer looked in the source itself, the bottom layer first; ``back``: where its states looked in
    the sentences before.

    Sentences before those of a batch have a row each, and ``before_BK`` says which of these rows stand before sentence b, the
    nearest first (-1: none).
    """

    states_BSE: Tensor
    summary_BE: Tensor
    mask_BS: Tensor
    tokens_BS: Tensor | None = None
    looks: tuple[Look, ...] = ()
    back: Look | None = None
    before_BK: Tensor | None = None


Sources = Mapping[str, Source]
"""The sources by name, as in `inputs.Inputs`."""


class Encoder(Protocol):
    """What makes states of an embedded text.

    ``output_size``: their size E; ``bounded``: whether they all lie in [-1, 1].
    """

    output_size: int
    bounded: bool

    def __call__(self, embedded_BSI: Tensor, mask_BS: Tensor, run: Pass) -> Source: ...


class Keys(Protocol):
    """What all steps share of the keys."""

    @property
    def plain(self) -> Tensor:
        """The projected keys themselves, keys_BSA."""
        ...

    def energies(self, queries_RTA: Tensor) -> Tensor:
        """How well each source position fits each query: energies_RTS (rows as in ``Memory``)."""
        ...

    def select(self, rows: Rows) -> Keys:
        """The keys of the sentences ``rows``."""
        ...

    def pick(self, positions_RP: Tensor) -> Keys:
        """The keys of some positions alone; each row has its own positions."""
        ...


class Values(Protocol):
    """What attention weights mix into contexts."""

    def mixture(self, weights_RTS: Tensor) -> Tensor:
        """Sums of the values, weighted: R x T x S -> R x T x E (rows as in ``Memory``)."""
        ...

    def select(self, rows: Rows) -> Values: ...

    def pick(self, positions_RP: Tensor) -> Values: ...


class Memory(NamedTuple):
    """What attention reads of a source batch. Made once, so that the keys are projected once.

    ``values`` are the encoder's states, B x S x E, or what a mechanism reads instead of them. In beam search R = K B
    rows read it: consecutive rows are the K hypotheses of one sentence. Mask and summary then have R rows, values and
    keys still B.
    """

    values: Values
    keys: Keys
    mask_BS: Tensor
    summary_BE: Tensor

    def select(self, rows: Rows) -> Memory:
        """The memory of the sentences ``rows``, one row each."""
        mask_BS, summary_BE = (x.index_select(0, numbers(rows)) for x in (self.mask_BS, self.summary_BE))
        return Memory(self.values.select(rows), self.keys.select(rows), mask_BS, summary_BE)

    def shared(self, readers: int) -> Memory:
        """The same memory, read by ``readers`` rows for each sentence."""
        mask_RS, summary_RE = (x.repeat_interleave(readers, 0) for x in (self.mask_BS, self.summary_BE))
        return Memory(self.values, self.keys, mask_RS, summary_RE)

    def pick(self, positions_RP: Tensor) -> Memory:
        """The memory of some positions alone; each row has its own positions."""
        mask_RP = self.mask_BS.gather(1, positions_RP)
        return Memory(self.values.pick(positions_RP), self.keys.pick(positions_RP), mask_RP, self.summary_BE)


class Look(NamedTuple):
    """Where T steps looked in one source. ``weights_BTS`` has no positions (S = 0) where the mechanism gives no
    weights.

    The other fields are None where a mechanism has no such thing. ``centre_BT``: the middle p_t of a local window.
    ``heads_BTHS``: the weights of each head, of which ``weights_BTS`` is the mean. For a mechanism that looks at a
    single position, ``chances_BTS``: how likely it was to look at each one; ``baseline_BT``: the reward it expected.
    ``kept_BT``: how much of a state was kept beside what it found in the sentences before (1: all).
    """

    weights_BTS: Tensor
    centre_BT: Tensor | None = None
    heads_BTHS: Tensor | None = None
    chances_BTS: Tensor | None = None
    baseline_BT: Tensor | None = None
    kept_BT: Tensor | None = None

    @property
    def soft_BTS(self) -> Tensor:
        """Weights over all positions where the model might have looked: the chances, if there are any, else the
        weights."""
        return self.weights_BTS if self.chances_BTS is None else self.chances_BTS

    @classmethod
    def joined(cls, parts: Sequence[Look]) -> Look:
        """The looks of consecutive steps as one."""
        if len(parts) == 1:
            return parts[0]
        fields = (None if tensors[0] is None else torch.cat(tensors, 1) for tensors in zip(*parts, strict=True))
        return cls(*fields)  # type: ignore[arg-type]

    def spread(self, positions_BP: Tensor, mask_BTS: Tensor) -> Look:
        """A look of a single step at the positions ``positions_BP`` alone, written out over all positions of
        ``mask_BTS``."""

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
    """What attention returns for T steps: each one's context, and where it looked."""

    context_BTE: Tensor
    look: Look


LayerMemories = Mapping[str, Memory]
"""What a layer reads of each source that it looks at, by its name."""

SHOWN = TEXT
"""The name of the source that alignments and pictures show. It is also the one of which single positions are picked, to
be looked at alone."""


class Memories(NamedTuple):
    """What each layer of a decoder reads, the bottom layer first; and the ``tokens_BS`` of the source SHOWN, if it has
    any."""

    layers: tuple[LayerMemories, ...]
    tokens_BS: Tensor | None = None

    def select(self, rows: Rows) -> Memories:
        """The memories of the sentences ``rows``, one row each."""
        return self._each(lambda _, memory: memory.select(rows), lambda x_BS: x_BS.index_select(0, numbers(rows)))

    def shared(self, readers: int) -> Memories:
        """The same memories, read by ``readers`` rows for each sentence."""
        return self._each(lambda _, memory: memory.shared(readers), lambda x_BS: x_BS.repeat_interleave(readers, 0))

    def pick(self, positions_RP: Tensor) -> Memories:
        """The memory of some positions of the source SHOWN alone (each row has its own positions), and of all positions
        of other sources."""
        return self._each(
            lambda name, memory: memory.pick(positions_RP) if name == SHOWN else memory,
            lambda x_BS: x_BS.gather(1, positions_RP),
        )

    def _each(self, change: Callable[[str, Memory], Memory], tokens: Callable[[Tensor], Tensor]) -> Memories:
        layers = tuple({name: change(name, memory) for name, memory in layer.items()} for layer in self.layers)
        return Memories(layers, None if self.tokens_BS is None else tokens(self.tokens_BS))


class LayerOutput(NamedTuple):
    """What a layer returns for T steps: its features, what it carries on, and where it looked."""

    features_BTF: Tensor
    carry: Any
    looks: Looks


class Layer(Protocol):
    """One layer of a decoder. A layer that needs a loop over its steps owns that loop: the results are the same for all
    steps in one call, one step at a time, or any split between.

    ``size``: the size of its features; ``fresh_size``: how many of them, from the first on, have not been through a
    dropout. What it carries from step to step is a tree of tensors with one row a sentence (`model.carry`); only the
    layer itself looks into it.
    """

    size: int
    fresh_size: int

    def prepare(self, sources: Sources, run: Pass) -> LayerMemories:
        """What the layer reads of the sources, prepared once for all steps."""
        ...

    def begin(self, sources: Sources, memories: LayerMemories, run: Pass) -> Any:
        """What the layer carries into the first step."""
        ...

    def pick(self, carry: Any, positions_RP: Tensor) -> Any:
        """The carry that belongs to ``Memories.pick`` of the same positions."""
        ...

    def __call__(self, x_BTI: Tensor, memories: LayerMemories, carry: Any, start: int, run: Pass) -> LayerOutput:
        """T steps, the first of which is the absolute target step ``start``."""
        ...


class DecoderState(NamedTuple):
    """All that step t needs of the steps before it: ``carries``, what each layer carries, and ``step``, the number of
    steps taken."""

    carries: tuple[Any, ...]
    step: int

    def select(self, rows: Rows) -> DecoderState:
        """The state of the given rows, in their order."""
        return DecoderState(select(self.carries, rows), self.step)


class Start(NamedTuple):
    """What a decoder's layers read, and its state before the first step."""

    memories: Memories
    state: DecoderState

    def select(self, rows: Tensor) -> Start:
        """The start of the sentences ``rows``, one row each."""
        return Start(self.memories.select(rows), self.state.select(rows))


class Steps(NamedTuple):
    """What a readout reads of some steps, in any number of dimensions N: their features; and, for those that look, where
    they looked in the source SHOWN, and its tokens."""

    features_NF: Tensor
    weights_NS: Tensor | None = None
    tokens_NS: Tensor | None = None

    def take(self, some: Callable[[Tensor], Tensor]) -> Steps:
        """Some of the steps: ``some`` takes them from a tensor with a row for each."""
        return Steps(*(None if x_NX is None else some(x_NX) for x_NX in self))  # type: ignore[arg-type]

    def split(self, count: int) -> Iterator[Steps]:
        """The same in parts of at most ``count`` steps."""
        for first in range(0, len(self.features_NF), count):
            yield self.take(itemgetter(slice(first, first + count)))


class DecoderOutput(NamedTuple):
    """What a decoder returns for T steps. ``looks`` says where each layer looked, the bottom layer first; ``shown`` is the
    look that alignments and pictures show, in a source of the tokens ``tokens_BS``."""

    features_BTF: Tensor
    looks: tuple[Looks, ...]
    state: DecoderState
    shown: Look
    tokens_BS: Tensor | None = None

    @property
    def steps(self) -> Steps:
        """What the readout takes to the vocabulary, B x T steps."""
        weights_BTS = self.shown.weights_BTS
        tokens_BTS = None if self.tokens_BS is None else self.tokens_BS[:, None].expand(-1, weights_BTS.shape[1], -1)
        return Steps(self.features_BTF, weights_BTS, tokens_BTS)


@runtime_checkable
class Attention(Protocol):
    """The contract of every mechanism. `model.attention.mechanism.Mechanism` has the defaults that most share.

    ``context_size`` is E. ``recurrent``: whether step t needs the attention state of step t-1; then the mechanism is
    given one query at a time. ``static``: whether the context is the same whatever the query; then no step waits for
    the query of another. ``bounded``: whether contexts lie in [-1, 1] where encoder states do, as mixtures of these.
    ``projected``: whether contexts come out of a learned projection.
    """

    context_size: int
    recurrent: bool
    static: bool
    bounded: bool
    projected: bool

    def prepare(self, encoded: Source, run: Pass) -> Memory: ...

    def initial_state(self, memory: Memory) -> AttentionState: ...

    def pick(self, state: AttentionState, positions_RP: Tensor) -> AttentionState:
        """The state that belongs to ``Memory.pick`` of the same positions."""
        ...

    def __call__(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        """Attend with T queries, the first of which belongs to the absolute target step ``start``."""
        ...
