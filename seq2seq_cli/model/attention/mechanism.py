"""What mechanisms have in common, unless they say otherwise."""

from torch import Tensor, nn

from seq2seq_cli.model.types import AttentionState, Memory


class Mechanism(nn.Module):
    """The defaults: nothing is carried from step to step. `model.types.Attention` says what each attribute and method
    means."""

    context_size: int
    recurrent = False
    static = False
    bounded = True
    projected = False

    def initial_state(self, memory: Memory) -> AttentionState:
        return ()

    def pick(self, state: AttentionState, positions_RP: Tensor) -> AttentionState:
        return state
