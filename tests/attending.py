"""One mechanism by itself, its weights set by hand."""

from typing import Any

import torch
from torch import Tensor

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.model.build import build_attention
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.types import Attended, Attention, AttentionState, Memory, Source


def made(kind: str, query_size: int, encoder_size: int, ends: tuple[int, ...] = (), **options: object) -> Any:
    """A mechanism in double precision (Any: its parts are looked at)."""
    config = AttentionConfig.model_validate({"kind": kind, **options})
    attention: Any = build_attention(config, query_size, encoder_size, ends)
    return attention.double().eval()


def memory_of(attention: Attention, states: list[list[float]], tokens: list[int] | None = None) -> Memory:
    """Of one sentence."""
    states_BSE = torch.tensor([states], dtype=torch.float64)
    mask_BS = torch.ones(states_BSE.shape[:2], dtype=torch.bool)
    tokens_BS = None if tokens is None else torch.tensor([tokens])
    return attention.prepare(Source(states_BSE, states_BSE[:, 0], mask_BS, tokens_BS), Pass())


def look(
    attention: Attention, memory: Memory, query: list[float], state: AttentionState | None = None, start: int = 0
) -> tuple[Attended, AttentionState]:
    """One step."""
    before = attention.initial_state(memory) if state is None else state
    return attention(torch.tensor([[query]], dtype=torch.float64), memory, before, start, Pass())


def put(parameter: Tensor, numbers: list[Any]) -> None:
    """Numbers into a parameter."""
    with torch.no_grad():
        parameter.copy_(torch.tensor(numbers, dtype=parameter.dtype))


def assert_close(actual: Tensor, expected: list[Any]) -> None:
    """Equal to 1e-9."""
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)
