"""A decoder layer that looks back at the translations of the sentences before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq_cli.config.context import ContextConfig
from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.model.hierarchical_context import HierarchicalContext
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import Layer, LayerMemories, LayerOutput, Sources

SAID = "said"
"""The name of the source that holds the decoder's states of the translations before."""


class ContextLayer(nn.Module):
    """The states of the layer ``below`` it, which are the first of its features, with what they find in the states of the
    translations before, by hierarchical attention. The other features stay; and so do all where there is no source SAID.

    Nothing of it enters the next step, so all steps may be taken at once.
    """

    def __init__(self, model: ModelConfig, config: ContextConfig, below: Layer) -> None:
        super().__init__()
        self.size, self.fresh_size, self.state_size = below.size, below.fresh_size, model.hidden_size
        self.han = HierarchicalContext(model, config)

    def prepare(self, sources: Sources, run: Pass) -> LayerMemories:
        return {SAID: self.han.prepare(sources[SAID], run)} if SAID in sources else {}

    def begin(self, sources: Sources, memories: LayerMemories, run: Pass) -> tuple[()]:
        return ()

    def pick(self, carry: tuple[()], positions_RP: Tensor) -> tuple[()]:
        return carry

    def forward(self, x_BTI: Tensor, memories: LayerMemories, carry: tuple[()], start: int, run: Pass) -> LayerOutput:
        if SAID not in memories:
            return LayerOutput(x_BTI, carry, {})
        h_BTD, others_BTX = x_BTI.tensor_split([self.state_size], -1)
        new_BTD, look = self.han(h_BTD, memories[SAID], run)
        features_BTF = torch.cat([new_BTD, others_BTX], -1) if others_BTX.shape[-1] else new_BTD
        return LayerOutput(features_BTF, carry, {SAID: look})
