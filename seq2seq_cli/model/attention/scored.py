"""Score x window x normaliser: every mechanism that weighs source positions by one number each."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.model.attention.mechanism import Mechanism
from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scores import Score
from seq2seq_cli.model.attention.windows import View
from seq2seq_cli.model.maps import Pass, StepMatrix
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import Attended, AttentionState, Look, Memory, Source, Values


def build(parts: Parts) -> "ScoredAttention":
    return ScoredAttention(parts)


class Scene(NamedTuple):
    """What T queries are to look at."""

    queries_BTA: Tensor
    memory: Memory
    view: View
    run: Pass


class ScoredAttention(Mechanism):
    """c_t = sum_s a_t(s) h_s, where a_t is the normalised scores of the positions that the window shows.

    A mechanism that departs from this overrides ``attend`` or, where it carries a state, ``step``.
    """

    def __init__(self, parts: Parts, score: Score | None = None) -> None:
        super().__init__()
        self.context_size = parts.encoder_size
        self.score: Score = score or parts.score()
        self.window: nn.Module = parts.window()
        self.normaliser: nn.Module = parts.normaliser()

    def prepare(self, encoded: Source, run: Pass) -> Memory:
        keys = self.score.shared(precise(self.score.keys(encoded.states_BSE, run)))
        return Memory(self.values(encoded.states_BSE, run), keys, encoded.mask_BS, encoded.summary_BE)

    def values(self, states_BSE: Tensor, run: Pass) -> Values:
        """What the weights mix; here the encoder's states."""
        states_BSE = precise(states_BSE)
        return StepMatrix(states_BSE, dtype=states_BSE.dtype)

    def forward(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        view = self.window(query_BTD, memory, start, run)
        queries_BTA = precise(self.score.queries(query_BTD, run))
        # The projections may be in bfloat16, but not what follows: the gradients of energies and weights are
        # small differences between positions, which 8 bits round away while the attention is still flat, so
        # that it takes epochs longer to form.
        with torch.autocast(query_BTD.device.type, enabled=False):
            attended, state = self.step(Scene(queries_BTA, memory, view, run), state)
        return attended._replace(look=attended.look._replace(centre_BT=view.centre_BT)), state

    def step(self, scene: Scene, state: AttentionState) -> tuple[Attended, AttentionState]:
        """The context and weights of these steps, and the state after them."""
        view = scene.view
        near_BP = view.near()
        if near_BP is None:
            return self.attend(scene), state
        attended = self.attend(scene._replace(memory=scene.memory.pick(near_BP), view=view.pick(near_BP)))
        return attended._replace(look=attended.look.spread(near_BP, view.mask_BTS)), state

    def attend(self, scene: Scene) -> Attended:
        """The context and weights of these steps, which need no state."""
        return self.read(self.score(scene.queries_BTA, scene.memory), scene)

    def read(self, energies_BTS: Tensor, scene: Scene) -> Attended:
        """The mixture of the values, weighed by these energies."""
        weights_BTS = self.weigh(energies_BTS, scene.view)
        return Attended(scene.memory.values.mixture(weights_BTS), Look(weights_BTS))

    def weigh(self, energies_BTS: Tensor, view: View) -> Tensor:
        """Weights from energies, within the window."""
        weights_BTS: Tensor = self.normaliser(energies_BTS, view.mask_BTS)
        return weights_BTS if view.factor_BTS is None else weights_BTS * view.factor_BTS
