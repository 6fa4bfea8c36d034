"""Attention corrected by what was said: Bayes' rule, step by step, for every mechanism."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from combinations import few_cases
from models import (
    Case,
    Sentences,
    assert_same,
    decode,
    layer_of,
    tiny_config,
    tiny_model,
    tiny_sentences,
)
from torch import Tensor, nn

from seq2seq_cli.decoding import posterior
from seq2seq_cli.decoding.posterior import posterior_weights
from seq2seq_cli.inputs import TEXT, Inputs, Padded, Target
from seq2seq_cli.model.attention.memory import MemoryAttention
from seq2seq_cli.model.attention.multi_head import MultiHeadAttention
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import Attended, AttentionState, Look, Memory, Start

ATTENDING = [case for case in few_cases() if case.kind != "none"]


class Staring(nn.Module):
    """Looks at one position, whatever it is asked; ``beside`` what a mechanism makes of it, given query and state."""

    bounded, recurrent = True, False

    def __init__(self, state_E: Tensor, beside: Callable[[Tensor, Tensor, AttentionState], Tensor]) -> None:
        super().__init__()
        self.state_E, self.beside = state_E, beside

    def forward(
        self, query_BTD: Tensor, memory: Memory, state: AttentionState, start: int, run: Pass
    ) -> tuple[Attended, AttentionState]:
        context_E = self.beside(self.state_E, query_BTD[0, 0], state)
        return Attended(context_E[None, None], Look(query_BTD.new_zeros(1, 1, 0))), state


def context_of(attention: nn.Module, state_E: Tensor, query_D: Tensor, state: AttentionState) -> Tensor:
    """What each mechanism makes of the only state that it sees."""
    if isinstance(attention, MultiHeadAttention):
        return attention.output.weight @ (attention.value.weight @ state_E)
    if isinstance(attention, MemoryAttention):
        slots_MD = state[0][0]
        return torch.cat([state_E, (slots_MD @ query_D).softmax(0) @ slots_MD])
    return state_E


def slowly(model: Seq2Seq, sentences: Sentences, target_BT: Tensor, row: int) -> Tensor:
    """weights_TS of one sentence without padding: for each step and position, the step taken anew by a decoder that
    can look nowhere else, in any layer."""
    positions = int(sentences.mask_BS[row].sum())
    src_1S, mask_1S = sentences.src_BS[row : row + 1, :positions], sentences.mask_BS[row : row + 1, :positions]
    sources = model.encode(Inputs({TEXT: Padded(src_1S, mask_1S)}), model.new_pass())
    memory = model.decoder.prepare(sources, model.new_pass())
    state = model.decoder.begin(sources, memory, model.new_pass())
    embedded_1TI = model.embed(sentences.reads_BT[row : row + 1])
    layers: list[Any] = list(model.decoder.layers)
    attentions = [(layer, layer.attention) for layer in layers]
    rows = []
    for t, token in enumerate(target_BT[row].tolist()):
        read_11I = embedded_1TI[:, t : t + 1]
        after = model.decoder(read_11I, memory, state, model.new_pass())
        joint = []
        for s in range(positions):
            for layer, attention in attentions:
                layer.attention = Staring(sources[TEXT].states_BSE[0, s], partial(context_of, attention))
            seen = model.decoder(read_11I, memory, state, model.new_pass())
            joint.append(
                after.shown.soft_BTS[0, 0, s] * model.readout.log_probs(seen.steps, model.new_pass())[0, 0, token].exp()
            )
        for layer, attention in attentions:
            layer.attention = attention
        rows.append(torch.stack(joint) / sum(joint))
        state = after.state
    return torch.stack(rows)


@pytest.mark.parametrize("case", ATTENDING, ids=lambda case: case.name)
@torch.inference_mode()
def test_bayes_by_brute_force(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(case.config)
    sentences = tiny_sentences()
    target_BT = torch.randint(13, sentences.reads_BT.shape, generator=torch.Generator().manual_seed(3))
    start = model.start(sentences.inputs, model.new_pass())
    monkeypatch.setattr(posterior, "POSITIONS", 40)  # several parts a step
    real_BT = torch.ones_like(target_BT, dtype=torch.bool)
    real_BT[1, 3:] = False
    target = Target(sentences.reads_BT, target_BT, real_BT)
    (weights_BTS,) = posterior_weights(
        model.forced(target, start, model.new_pass(stepping=True)), [model.decoder.shown]
    )
    assert not weights_BTS[1, 3:].any()
    prior_BTS = decode(model, sentences).shown.soft_BTS
    assert weights_BTS.shape == prior_BTS.shape
    assert not weights_BTS[prior_BTS == 0].any()
    for row, positions in enumerate(sentences.mask_BS.sum(1).tolist()):
        steps = int(real_BT[row].sum())
        expected_TS = slowly(model, sentences, target_BT, row)
        assert_same(weights_BTS[row, :steps, :positions], expected_TS[:steps])


@torch.inference_mode()
def test_a_word_is_found_where_it_comes_from() -> None:
    """Two positions that attention holds for equally good, of which one alone makes the token likely."""
    model = tiny_model(tiny_config("luong-dot"))
    sentences = tiny_sentences((4,), steps=1)
    for parameter in layer_of(model).recurrence.parameters():
        parameter.zero_()  # a query of zeros: every position fits as well
    memory, state = model.start(sentences.inputs, model.new_pass())
    embedded_BTI = model.embed(sentences.reads_BT)
    alone = [memory.pick(torch.tensor([[s]])) for s in range(4)]
    [carry] = state.carries
    zeros = {name: tuple(map(torch.zeros_like, getattr(carry, name))) for name in ("hidden", "cell")}
    state = state._replace(carries=(carry._replace(**zeros),))
    p_SV = torch.cat(
        [
            model.readout.log_probs(model.decoder(embedded_BTI, one, state, model.new_pass()).steps, model.new_pass())[
                0
            ]
            for one in alone
        ]
    ).exp()
    for token in range(13):
        target = Target(sentences.reads_BT, torch.tensor([[token]]), torch.tensor([[True]]))
        (weights_BTS,) = posterior_weights(
            model.forced(target, Start(memory, state), model.new_pass(stepping=True)), [model.decoder.shown]
        )
        torch.testing.assert_close(weights_BTS[0, 0], p_SV[:, token] / p_SV[:, token].sum())
