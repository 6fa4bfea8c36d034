"""THE decoder forward: training calls it with all target steps, search with one; the same lines run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import DecoderOutput, DecoderState, Layer, Memories, Sources


class Decoder(nn.Module):
    """A stack of layers; each layer reads the features of the layer below it."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)  # type: ignore[arg-type]

    @property
    def stack(self) -> Sequence[Layer]:
        """The layers, the first one at the bottom."""
        return list(self.layers)  # type: ignore[arg-type]

    def prepare(self, sources: Sources, run: Pass) -> Memories:
        """What the layers read of the sources, prepared once for all steps."""
        return Memories(tuple(layer.prepare(sources, run) for layer in self.stack))

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
        for layer, own, carry in zip(self.stack, memories.layers, state.carries, strict=True):
            output = layer(x_BTI, own, carry, state.step, run)
            x_BTI = output.features_BTF
            carries.append(output.carry)
            looks.append(output.looks)
        return DecoderOutput(x_BTI, tuple(looks), DecoderState(tuple(carries), state.step + x_BTI.shape[1]))
