"""THE decoder forward: training calls it with all target steps, search with one; the same lines run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from seq2seq_cli.model.layers.sublayers import Entry
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import SHOWN, DecoderOutput, DecoderState, Layer, Memories, Sources


class Decoder(nn.Module):
    """A stack of layers; each layer reads the features of the layer below it. ``shown``: the number of the layer whose look
    is shown, from 0 at the bottom. ``entry``: what is made of the embedded tokens before the first layer reads them;
    ``norm``: what is made of the features of the last layer, but for ``above`` layers that read what it has made."""

    def __init__(
        self,
        layers: Sequence[Layer],
        shown: int = 0,
        entry: Entry | None = None,
        norm: nn.LayerNorm | None = None,
        above: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)  # type: ignore[arg-type]
        self.shown = shown
        self.entry = entry
        self.norm = norm
        self.above = above

    @property
    def stack(self) -> Sequence[Layer]:
        """The layers, the first one at the bottom."""
        return list(self.layers)  # type: ignore[arg-type]

    def prepare(self, sources: Sources, run: Pass) -> Memories:
        """What the layers read of the sources, prepared once for all steps."""
        return Memories(tuple(layer.prepare(sources, run) for layer in self.stack), sources[SHOWN].tokens_BS)

    def begin(self, sources: Sources, memories: Memories, run: Pass) -> DecoderState:
        """The state before the first step."""
        pairs = zip(self.stack, memories.layers, strict=True)
        return DecoderState(tuple(layer.begin(sources, own, run) for layer, own in pairs), 0)

    def pick(self, state: DecoderState, positions_RP: Tensor) -> DecoderState:
        """The state that belongs to ``Memories.pick`` of the same positions."""
        pairs = zip(self.stack, state.carries, strict=True)
        return state._replace(carries=tuple(layer.pick(carry, positions_RP) for layer, carry in pairs))

    def forward(self, x_BTI: Tensor, memories: Memories, state: DecoderState, run: Pass) -> DecoderOutput:
        """T steps from ``state`` on; ``x_BTI`` holds the embedded token y_{t-1} that each step reads."""
        carries, looks = [], []
        if self.entry is not None:
            x_BTI = self.entry(x_BTI, state.step, run)
        normed = len(self.layers) - self.above
        for number, (layer, own, carry) in enumerate(zip(self.stack, memories.layers, state.carries, strict=True)):
            if number == normed:
                x_BTI = self._normed(x_BTI, run)
            output = layer(x_BTI, own, carry, state.step, run)
            x_BTI = output.features_BTF
            carries.append(output.carry)
            looks.append(output.looks)
        after = DecoderState(tuple(carries), state.step + x_BTI.shape[1])
        features_BTF = x_BTI if self.above else self._normed(x_BTI, run)
        return DecoderOutput(features_BTF, tuple(looks), after, looks[self.shown][SHOWN], memories.tokens_BS)

    def _normed(self, x_BTF: Tensor, run: Pass) -> Tensor:
        return x_BTF if self.norm is None else self.norm(x_BTF).to(run.dtype)
