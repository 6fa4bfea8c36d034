"""Looks by layer and source: a second source and a second layer are one more entry, in training, search and alignment."""

from typing import NamedTuple

import pytest
import torch
from models import SEGMENT_ENDS, VOCABULARY, assert_same, tiny_config, tiny_sentences
from torch import Tensor, nn

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.data.subword import BOS, EOS, PAD
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.posterior import posterior_weights
from seq2seq_cli.decoding.search import beam
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.inputs import TEXT, Inputs, Target
from seq2seq_cli.model.build import build, build_attention
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderOutput, LayerMemories, LayerOutput, Sources

CONTEXT = "context"
SIZE = 8


class Glance(nn.Module):
    """A layer that adds to what it reads what it sees in one source."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.size = self.fresh_size = SIZE
        self.source = source
        config = AttentionConfig.model_validate({"kind": "luong-general"})
        self.attention = build_attention(config, SIZE, SIZE)

    def prepare(self, sources: Sources, run: Pass) -> LayerMemories:
        return {self.source: self.attention.prepare(sources[self.source], run)}

    def begin(self, sources: Sources, memories: LayerMemories, run: Pass) -> tuple[()]:
        return ()

    def pick(self, carry: tuple[()], positions_RP: Tensor) -> tuple[()]:
        return carry

    def forward(self, x_BTI: Tensor, memories: LayerMemories, carry: tuple[()], start: int, run: Pass) -> LayerOutput:
        attended, _ = self.attention(x_BTI, memories[self.source], (), start, run)
        return LayerOutput((x_BTI + attended.context_BTE).tanh(), carry, {self.source: attended.look})


class TwoSources(Seq2Seq):
    def encode(self, inputs: Inputs, run: Pass) -> Sources:
        context = super().encode(Inputs({TEXT: inputs.sources[CONTEXT]}), run)[TEXT]
        return {CONTEXT: context, **super().encode(inputs, run)}


class Case(NamedTuple):
    """A model with a second layer that looks at ``source``, and what it is given: contexts are longer than texts. The look of
    layer ``shown`` is shown."""

    model: Seq2Seq
    inputs: Inputs
    reads_BT: Tensor

    @classmethod
    def of(cls, source: str, shown: int = 0) -> "Case":
        torch.manual_seed(1)
        config = tiny_config(
            "coverage", attention={"wiring": "after"}, model={"tying": "target", "embedding_size": SIZE}
        )
        whole = build(config, VOCABULARY, VOCABULARY, SEGMENT_ENDS)
        decoder = Decoder([*whole.decoder.stack, Glance(source)], shown)
        parts = whole.readout, whole.source_embedding, whole.target_embedding, whole.criterion
        model = TwoSources(config.model, whole.encoder, decoder, *parts).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        text, context = tiny_sentences(), tiny_sentences((9, 11, 1, 4), seed=1)
        inputs = Inputs({CONTEXT: context.inputs.text, **text.inputs.sources})
        return cls(model, inputs, text.reads_BT)

    def decoded(self, rows: slice = slice(None), reads_BT: Tensor | None = None) -> DecoderOutput:
        run = self.model.new_pass()
        memories, state = self.model.start(self.rows(rows), run)
        embedded_BTI = self.model.embed(self.reads_BT[rows] if reads_BT is None else reads_BT)
        output: DecoderOutput = self.model.decoder(embedded_BTI, memories, state, run)
        return output

    def rows(self, rows: slice) -> Inputs:
        return Inputs({name: type(source)(*(x[rows] for x in source)) for name, source in self.inputs.sources.items()})


@torch.no_grad()
def test_every_layer_says_where_it_looked_and_that_at_the_text_is_shown() -> None:
    output = Case.of(CONTEXT).decoded()
    assert [list(looks) for looks in output.looks] == [[TEXT], [CONTEXT]]
    assert output.shown is output.looks[0][TEXT]
    assert output.looks[1][CONTEXT].weights_BTS.shape == (4, 5, 11)
    assert (output.looks[1][CONTEXT].weights_BTS[2, :, 1:] == 0).all()


@pytest.mark.parametrize("shown", [0, 1])
@torch.no_grad()
def test_of_two_layers_that_look_at_the_text_the_one_that_is_chosen_is_shown(shown: int) -> None:
    output = Case.of(TEXT, shown).decoded()
    assert output.shown is output.looks[shown][TEXT]
    assert not torch.equal(output.shown.weights_BTS, output.looks[1 - shown][TEXT].weights_BTS)


@pytest.mark.parametrize("source", [TEXT, CONTEXT])
@torch.no_grad()
def test_the_search_goes_by_all_sources(source: str) -> None:
    """Each hypothesis has the probability and the look at the text that forced decoding gives it, sentence by sentence."""
    case = Case.of(source)
    state = ModelState.start(case.model, case.model.new_pass(stepping=True), case.inputs)
    found = beam(state, Limits(BOS, EOS, (PAD, BOS), 0, torch.tensor([6, 3, 8, 5])), 1.0, 3)
    for row, hypotheses in enumerate(found.hypotheses):
        for one in hypotheses:
            forced = case.decoded(slice(row, row + 1), torch.tensor([[BOS, *one.tokens]]))
            log_probs_TV = case.model.readout.log_probs(forced.steps, case.model.new_pass())[0]
            expected = log_probs_TV.gather(1, torch.tensor([*one.tokens, EOS])[:, None]).sum()
            assert one.log_prob == pytest.approx(float(expected), abs=1e-9)
            assert_same(found.attention(one).weights_RS, forced.shown.weights_BTS[0])


@torch.no_grad()
def test_the_posterior_takes_the_text_apart_and_leaves_the_context_whole() -> None:
    case = Case.of(CONTEXT)
    target = Target(case.reads_BT, case.reads_BT.flip(1), torch.ones_like(case.reads_BT, dtype=torch.bool))
    start = case.model.start(case.inputs, case.model.new_pass())
    alone = start.memories.pick(torch.zeros(4, 1, dtype=torch.long))
    assert alone.layers[0][TEXT].mask_BS.shape == (4, 1)
    assert alone.layers[1][CONTEXT].mask_BS.shape == (4, 11)
    (weights_BTS,) = posterior_weights(
        case.model.forced(target, start, case.model.new_pass(stepping=True)), [case.model.decoder.shown]
    )
    assert weights_BTS.shape == case.decoded().shown.weights_BTS.shape
    assert_same(weights_BTS.sum(-1), torch.ones(4, 5, dtype=torch.float64))


def test_every_layer_of_every_source_learns() -> None:
    case = Case.of(CONTEXT)
    target = Target(case.reads_BT, case.reads_BT.flip(1), torch.ones_like(case.reads_BT, dtype=torch.bool))
    run = case.model.new_pass()
    case.model.forced(target, case.model.start(case.inputs, run), run).cross_entropy().smoothed.backward()
    for name, parameter in case.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-9, name
