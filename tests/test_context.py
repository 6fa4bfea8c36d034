"""Hierarchical attention to the sentences before: by hand, by differences, and what must not change."""

import math
from operator import itemgetter
from typing import NamedTuple

import pytest
import torch
from models import SEGMENT_ENDS, VOCABULARY, assert_same, tiny_config, tiny_sentences
from torch import Tensor

from seq2seq_cli.config.context import ContextConfig
from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.data.subword import BOS, EOS, PAD
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.search import beam
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.inputs import BEFORE, Batch, Before, Inputs, Padded, Target
from seq2seq_cli.model import seq2seq
from seq2seq_cli.model.build import build
from seq2seq_cli.model.hierarchical_context import OPEN, HierarchicalContext, Level, is_of_context
from seq2seq_cli.model.layers.context import SAID
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderOutput, Source, Sources

LAYERS = (("rnn", "bahdanau"), ("rnn", "luong-general"), ("transformer", "multi-head"), ("ssru", "none"))
HAN = ("han-encoder", "han-decoder", "han-both")


def tiny_han(size: int = 2, heads: int = 1, sentences: int = 2) -> HierarchicalContext:
    model = ModelConfig(hidden_size=size, embedding_size=size, dropout=0.0)
    config = ContextConfig(sentences=sentences, heads=heads, feed_forward_size=size)
    return HierarchicalContext(model, config).double().eval()


def source_of(states_NLE: Tensor, mask_NL: Tensor, before_BK: Tensor) -> Source:
    return Source(states_NLE, states_NLE[:, 0, :0], mask_NL, before_BK=before_BK)


@torch.no_grad()
def test_a_case_worked_out_by_hand() -> None:
    """Two sentences before, [1, 0] [0, 1] and [0, 2]; h = [ln 3, 0] and, in a second sentence, the nearer one alone.

    All maps are the identity, but W^Q of both levels, which is 2^1/2 (so that the scale of a head of size two goes away), the
    network's, which is relu and then the identity, and the gate's: W_h = 0, W_d = 0, b = ln 3, which keeps 3/4.

    Words of the first: energies ln 3 and 0, so weights 3/4 and 1/4: s^1 = [3/4, 1/4]. Of the second: s^2 = [0, 2].
    Sentences: energies (3/4) ln 3 and 0, weights a = 3^(3/4) / (3^(3/4) + 1) and 1 - a; d = [3a/4, a/4 + 2 (1 - a)].
    """
    han = tiny_han()
    one, zero = torch.eye(2).double(), torch.zeros(2, 2).double()
    for level in (han.words, han.sentences):
        level.ask.weight.copy_(one)
        level.query.weight.copy_(2**0.5 * one)
        level.read.weight.copy_(torch.cat([one, one]))
        level.output.weight.copy_(one)
        level.ask.bias.zero_()
    for linear in (han.feed_forward.widen, han.feed_forward.narrow):
        linear.weight.copy_(one)
        linear.bias.zero_()
    han.by_state.weight.copy_(zero)
    han.by_context.weight.copy_(zero)
    han.by_context.bias.fill_(math.log(3))
    states = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [7.0, 7.0]]]).double()
    mask = torch.tensor([[True, True], [True, False]])
    h = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64).expand(3, 1, 2)
    context = source_of(states, mask, torch.tensor([[0, 1], [0, -1], [-1, -1]]))
    found, look = han(h, han.prepare(context, Pass()), Pass(inward=True))
    a = 3**0.75 / (3**0.75 + 1)
    assert_same(
        look.weights_BTS[:, 0],
        torch.tensor([[0.75 * a, 0.25 * a, 1 - a, 0], [0.75, 0.25, 0, 0], [0, 0, 0, 0]], dtype=torch.float64),
    )
    log3 = math.log(3)
    expected = [
        [0.75 * log3 + 0.25 * 0.75 * a, 0.25 * (0.25 * a + 2 * (1 - a))],
        [0.75 * log3 + 0.25 * 0.75, 0.25 * 0.25],
        [log3, 0.0],
    ]
    assert_same(found[:, 0], torch.tensor(expected, dtype=torch.float64))
    assert look.kept_BT is not None
    assert_same(look.kept_BT[:, 0], torch.tensor([0.75, 0.75, 1.0]).double())


def looked_back(han: HierarchicalContext, h: Tensor, before: list[Tensor]) -> Tensor:
    """What becomes of a state h, D, with the states of each of the sentences before it, L x D: head by head."""

    def attended(level: Level, asking: Tensor, read: Tensor) -> Tensor:
        query = level.query.weight @ (level.ask.weight @ asking + level.ask.bias)
        (keys, values), size = (read @ level.read.weight.T).chunk(2, -1), len(h) // level.heads
        heads = []
        for first in range(0, len(h), size):
            own = slice(first, first + size)
            weights = torch.softmax(keys[:, own] @ query[own] / size**0.5, 0)
            heads.append(weights @ values[:, own])
        return level.output.weight @ torch.cat(heads)

    words = torch.stack([attended(han.words, h, states) for states in before])
    found = attended(han.sentences, h, words)
    network = han.feed_forward
    found = network.narrow.weight @ (network.widen.weight @ found + network.widen.bias).relu() + network.narrow.bias
    gate = torch.sigmoid(han.by_state.weight @ h + han.by_context.weight @ found + han.by_context.bias)
    return gate * h + (1 - gate) * found


@torch.no_grad()
def test_it_is_what_its_equations_say_head_by_head() -> None:
    torch.manual_seed(5)
    han = tiny_han(6, heads=3)
    for parameter in han.parameters():
        parameter.normal_()
    states, h = torch.randn(2, 4, 6).double(), torch.randn(2, 3, 6).double()
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    context = source_of(states, mask, torch.tensor([[1, 0], [0, -1]]))
    found, _ = han(h, han.prepare(context, Pass()), Pass())
    for row, before in enumerate(([states[1, :2], states[0]], [states[0]])):
        for step in range(3):
            assert_same(found[row, step], looked_back(han, h[row, step], before))


@pytest.mark.parametrize(("decoder", "kind"), LAYERS)
@torch.no_grad()
def test_the_decoder_reads_the_states_of_the_sentence_model(decoder: str, kind: str) -> None:
    """Which has read the translations before, each with its own source; those of the steps that the target has, no others."""
    plain, case = (Case.of(name, decoder, kind) for name in ("none", "han-both"))
    before = case.inputs.before
    assert before is not None
    assert before.said is not None
    real_BT = before.said.real_BT.clone()
    real_BT[0, 3:] = False
    said = before.said._replace(real_BT=real_BT)
    found = case.sources(Inputs({**case.inputs.sources, BEFORE: before._replace(said=said)}))[SAID]
    expected = plain.decoded(Inputs({"text": before.text}), said).features_BTF
    assert_same(found.states_BSE, expected[..., : found.states_BSE.shape[-1]])
    assert torch.equal(found.mask_BS, real_BT)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(3)
    han = tiny_han(4, heads=2)
    names = [name for name, _ in han.named_parameters()]
    values = [0.7 * torch.randn_like(parameter) for parameter in han.parameters()]
    states, h = torch.randn(2, 3, 4).double(), torch.randn(3, 2, 4).double()
    mask, before = torch.tensor([[True, True, False], [True] * 3]), torch.tensor([[1, 0], [0, -1], [-1, -1]])

    def of(h: Tensor, states: Tensor, *parameters: Tensor) -> Tensor:
        def whole(h: Tensor, states: Tensor) -> Tensor:
            found: Tensor = han(h, han.prepare(source_of(states, mask, before), Pass()), Pass())[0]
            return found

        named = dict(zip(names, parameters, strict=True))
        found: Tensor = torch.func.functional_call(
            Whole(han, whole), {f"han.{name}": x for name, x in named.items()}, (h, states)
        )
        return found

    given = [x.requires_grad_() for x in (h, states, *values)]
    assert torch.autograd.gradcheck(of, given, fast_mode=True)


class Whole(torch.nn.Module):
    """A function of a module, so that its parameters can be exchanged."""

    def __init__(self, han: HierarchicalContext, whole) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.han, self.whole = han, whole

    def forward(self, *given: Tensor) -> Tensor:
        found: Tensor = self.whole(*given)
        return found


class Case(NamedTuple):
    """A tiny model that looks back, and what it is given: of four sentences one has nothing before it."""

    model: Seq2Seq
    inputs: Inputs
    target: Target

    @classmethod
    def of(
        cls, context: str, decoder: str = "rnn", kind: str = "bahdanau", copy: bool = False, **attention: object
    ) -> "Case":
        encoder = "rnn" if decoder == "rnn" else "transformer"
        sections: dict[str, dict[str, object]] = {"model": {"encoder": encoder, "decoder": decoder, "context": context}}
        if copy:
            sections["model"]["copy"] = True
        if context != "none":
            sections["context"] = {"heads": 2, "sentences": 2, "feed_forward_size": 6}
        torch.manual_seed(1)
        model = (
            build(tiny_config(kind, attention=attention, **sections), VOCABULARY, VOCABULARY, SEGMENT_ENDS)
            .double()
            .eval()
        )
        text, others = tiny_sentences(), tiny_sentences((3, 5, 2), seed=3)
        said = target_of(others.reads_BT[:3])
        before = Before(others.inputs.text, said if context in ("han-decoder", "han-both") else None, INDEX)
        return cls(model, Inputs({**text.inputs.sources, BEFORE: before}), target_of(text.reads_BT))

    @property
    def alone(self) -> Inputs:
        """The sentences without those before them."""
        return Inputs({name: source for name, source in self.inputs.sources.items() if name != BEFORE})

    def sources(self, inputs: Inputs) -> Sources:
        return self.model.encode(inputs, self.model.new_pass(inward=True))

    def decoded(self, inputs: Inputs, target: Target | None = None) -> DecoderOutput:
        run = self.model.new_pass(inward=True)
        start = self.model.begin(self.model.encode(inputs, run), run)
        return self.model.forced(target or self.target, start, run).output


INDEX = torch.tensor([[-1, -1], [0, -1], [1, 0], [2, 1]])


def target_of(reads_BT: Tensor) -> Target:
    return Target(reads_BT, reads_BT.flip(1), torch.ones_like(reads_BT, dtype=torch.bool))


@pytest.mark.parametrize(("decoder", "kind"), LAYERS)
@pytest.mark.parametrize("context", HAN)
@torch.no_grad()
def test_without_a_sentence_before_it_is_the_sentence_model(context: str, decoder: str, kind: str) -> None:
    """Bit for bit, and with the same weights from the same seed; with one before, it is another."""
    plain, case = (Case.of(name, decoder, kind) for name in ("none", context))
    theirs = dict(plain.model.named_parameters())
    for name, parameter in case.model.named_parameters():
        assert is_of_context(name) or torch.equal(parameter, theirs[name])
    expected = plain.decoded(plain.alone).features_BTF
    assert torch.equal(case.decoded(case.alone).features_BTF, expected)
    found = case.decoded(case.inputs).features_BTF
    assert_same(found[0], expected[0])
    differs = (found - expected).abs().amax((1, 2))
    assert (differs[1:] > 1e-4).all()


@pytest.mark.parametrize(("decoder", "kind"), LAYERS[1:3])
@torch.no_grad()
def test_weights_of_both_levels_sum_to_one(decoder: str, kind: str) -> None:
    case = Case.of("han-both", decoder, kind)
    text = case.sources(case.inputs)["text"]
    assert text.back is not None
    for look, length in ((text.back, 5), (case.decoded(case.inputs).looks[-1][SAID], 5)):
        weights_BTKL = look.weights_BTS.unflatten(-1, (2, length))
        sentences_BTK = weights_BTKL.sum(-1)
        assert (weights_BTKL >= 0).all()
        assert_same(
            sentences_BTK.sum(-1), torch.tensor([0.0, 1, 1, 1]).double()[:, None].expand(sentences_BTK.shape[:2])
        )
        assert (sentences_BTK[1, :, 1] == 0).all()
        assert (sentences_BTK[2:] > 0).all()
        assert look.kept_BT is not None
        assert (look.kept_BT[0] == 1).all()
        assert ((look.kept_BT[1:] > 0) & (look.kept_BT[1:] < 1)).all()
    # The sentence of three words, and then padding.
    assert (text.back.weights_BTS[1, :, 3:5] == 0).all()


@torch.no_grad()
def test_the_gate_starts_open() -> None:
    model = Case.of("han-both").model
    hans = [module for module in model.modules() if isinstance(module, HierarchicalContext)]
    assert len(hans) == 2
    assert all((han.by_context.bias == OPEN).all() for han in hans)


@pytest.mark.parametrize(("decoder", "kind"), LAYERS[:3])
@torch.no_grad()
def test_only_the_sentences_before_count(decoder: str, kind: str) -> None:
    """Not what is before the others, nor the padding, nor which rows share a neighbour, nor in which order they are held."""
    case = Case.of("han-both", decoder, kind)
    expected = case.decoded(case.inputs).features_BTF
    before = case.inputs.before
    assert before is not None
    assert before.said is not None
    order = torch.tensor([2, 0, 1])

    def held(x: Tensor) -> Tensor:
        return x.index_select(0, order)

    ids, mask = (held(x) for x in before.text)
    garbage = torch.full((3, 2), 5)
    wider = Padded(torch.cat([ids.where(mask, 4), garbage], 1), torch.cat([mask, garbage < 0], 1))
    said = Target(*(held(x) for x in before.said))
    index = torch.tensor([[-1, -1], [1, -1], [2, 1], [0, 2]])
    moved = Inputs({**case.inputs.sources, BEFORE: Before(wider, said, index)})
    assert_same(case.decoded(moved).features_BTF, expected)
    # The third one alone, with its own sentences.
    ids, mask = (x[2:3] for x in case.inputs.text)
    own = Before(Padded(*(x[:2] for x in before.text)), Target(*(x[:2] for x in before.said)), torch.tensor([[1, 0]]))
    alone = Inputs({"text": Padded(ids, mask), BEFORE: own})
    assert_same(case.decoded(alone, Target(*(x[2:3] for x in case.target))).features_BTF[0], expected[2])


@pytest.mark.parametrize(("decoder", "kind"), LAYERS[1:3])
@torch.no_grad()
def test_sentences_are_encoded_in_parts_as_they_are_together(
    decoder: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case.of("han-both", decoder, kind)
    expected = case.decoded(case.inputs).features_BTF
    monkeypatch.setattr(seq2seq, "FEWEST_IN_PARTS", 2)
    assert_same(case.decoded(case.inputs).features_BTF, expected)


@pytest.mark.parametrize(("decoder", "kind"), LAYERS[:3])
@torch.no_grad()
def test_the_whole_is_its_steps(decoder: str, kind: str) -> None:
    case = Case.of("han-both", decoder, kind)
    whole, run = case.decoded(case.inputs), case.model.new_pass(inward=True)
    start = case.model.start(case.inputs, run)
    embedded, parts, state = case.model.embed(case.target.reads_BT), [], start.state
    for part in embedded.split([1, 3, 1], 1):
        output = case.model.decoder(part, start.memories, state, run)
        parts.append(output)
        state = output.state
    assert_same(torch.cat([part.features_BTF for part in parts], 1), whole.features_BTF)
    looks = torch.cat([part.looks[-1][SAID].weights_BTS for part in parts], 1)
    assert_same(looks, whole.looks[-1][SAID].weights_BTS)


@pytest.mark.parametrize("copy", [False, True], ids=["", "copying"])
@pytest.mark.parametrize(("decoder", "kind"), LAYERS[:3])
@torch.no_grad()
def test_the_search_goes_by_the_sentences_before(decoder: str, kind: str, copy: bool) -> None:
    """Each hypothesis has the probability that forced decoding gives it; also where words are copied from the source."""
    case = Case.of("han-both", decoder, kind, copy)
    state = ModelState.start(case.model, case.model.new_pass(stepping=True), case.inputs)
    found = beam(state, Limits(BOS, EOS, (PAD, BOS), 0, torch.tensor([6, 3, 8, 5])), 1.0, 3)
    for row, hypotheses in enumerate(found.hypotheses):
        for one in hypotheses:
            reads = torch.tensor([[BOS, *one.tokens]]).expand(4, -1)
            steps = case.decoded(case.inputs, target_of(reads)).steps.take(itemgetter(row))
            log_probs = case.model.readout.log_probs(steps, case.model.new_pass())
            expected = log_probs.gather(1, torch.tensor([*one.tokens, EOS])[:, None]).sum()
            assert one.log_prob == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize("precision", ["float64", "bf16"])
@pytest.mark.parametrize("nothing", [False, True], ids=["before", "nothing"])
def test_every_parameter_has_a_gradient(nothing: bool, precision: str) -> None:
    """Also of a batch where nothing stands before any sentence; then that of what looks back is zero."""
    case = Case.of("han-both", "transformer", "multi-head")
    before = case.inputs.before
    assert before is not None
    index = torch.full_like(before.index_BK, -1) if nothing else before.index_BK
    sources = {**case.inputs.sources, BEFORE: before._replace(index_BK=index)}
    model = case.model if precision == "float64" else case.model.float()
    batch = Batch(sources, case.target, 20)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = model.train().loss(batch, 0.1).smoothed
    torch.autograd.backward(loss)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert bool(parameter.grad.any()) != (nothing and is_of_context(name)), name


@pytest.mark.parametrize("estimator", ["reinforce", "marginal", "straight-through"])
def test_hard_attention_learns_beside_it(estimator: str) -> None:
    case = Case.of("han-both", kind="hard", estimator=estimator)
    torch.manual_seed(2)
    torch.autograd.backward(case.model.train().loss(Batch(case.inputs.sources, case.target, 20), 0.1).smoothed)
    for name, parameter in case.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_no_gradient_goes_through_the_translations_before() -> None:
    """Those of the decoder are read, not taught; the encoder learns to be looked back at."""
    case = Case.of("han-decoder")
    states = case.model.encode(case.inputs, case.model.new_pass())[SAID].states_BSE
    assert not states.requires_grad
    case = Case.of("han-encoder")
    assert case.sources(case.inputs)["text"].states_BSE.requires_grad
