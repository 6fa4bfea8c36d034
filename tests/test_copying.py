"""Copying from the source, and the loss of covering it twice."""

from collections.abc import Mapping

import pytest
import torch
from models import VOCABULARY, assert_same, decode
from torch import Tensor, nn

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.contract import tiny_config, tiny_model, tiny_sentences
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.search import greedy
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.inputs import TEXT, Batch, Inputs, Padded, Target
from seq2seq_cli.kinds.attentions import KINDS
from seq2seq_cli.model.build import build
from seq2seq_cli.model.copying import CopyingReadout
from seq2seq_cli.model.criteria.covered import coverage_loss
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.readout import Readout
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import Steps

COPYING: dict[str, object] = {"copy": True}
TRANSFORMER = {"encoder": "transformer", "decoder": "transformer", "encoder_layers": 1, "decoder_layers": 2}
ATTENDING = [row.name for row in KINDS if row.attends]


class Fixed(Readout):
    """The features are the logits."""

    def logits(self, steps: Steps, run: Pass) -> Tensor:
        return steps.features_NF


def copying(kind: str, **model: object) -> Seq2Seq:
    attention: dict[str, object] = {"heads": 2} if kind == "multi-head" else {}
    itself = {"self_attention": {"heads": 2}} if model else {}
    return tiny_model(tiny_config(kind, model=COPYING | model, attention=attention, **itself))


def readout_of(model: Seq2Seq) -> CopyingReadout:
    assert isinstance(model.readout, CopyingReadout)
    return model.readout


def test_by_hand() -> None:
    """p = g p_vocabulary + (1 - g) sum of the weights, divided by their sum, of the positions that hold the token."""
    readout = CopyingReadout(Fixed(), 3)
    with torch.no_grad():
        readout.gate.weight.copy_(torch.tensor([[0.0, 1.0, 0.0]]))
        readout.gate.bias.fill_(0.0)
    p = torch.tensor([0.5, 0.25, 0.25])
    steps = Steps(
        p.log()[None] + torch.log(torch.tensor(4.0)), torch.tensor([[0.4, 0.2, 0.2]]), torch.tensor([[2, 0, 2]])
    )
    # The gate reads log(0.25) + log 4 = 0, so that g is a half; the weights are 1/2, 1/4 and 1/4.
    found = readout.log_probs(steps, Pass()).exp()[0]
    torch.testing.assert_close(found, torch.tensor([0.25 + 0.125, 0.125, 0.125 + 0.375]))
    for token in range(3):
        alone = readout.target_log_probs(steps, torch.tensor([token]), Pass()).exp()
        torch.testing.assert_close(alone, found[token][None])
    nowhere = steps._replace(weights_NS=torch.zeros(1, 3))
    torch.testing.assert_close(readout.log_probs(nowhere, Pass()).exp()[0], p)


@pytest.mark.parametrize("model", [{}, TRANSFORMER], ids=["rnn", "transformer"])
@pytest.mark.parametrize("kind", ATTENDING)
@torch.no_grad()
def test_probabilities_sum_to_one(kind: str, model: Mapping[str, object]) -> None:
    made = copying(kind, **model)
    steps, run = decode(made, tiny_sentences()).steps, made.new_pass()
    log_probs_BTV = made.readout.logits(steps, run)
    assert_same(log_probs_BTV.exp().sum(-1), torch.ones(4, 5, dtype=torch.float64))
    flat = steps.take(lambda x_BTX: x_BTX.flatten(0, 1))
    for token in range(VOCABULARY):
        target_N = torch.full((20,), token)
        assert_same(made.readout.target_log_probs(flat, target_N, run).view(4, 5), log_probs_BTV[..., token])


@torch.no_grad()
def test_what_is_copied_is_what_the_vocabulary_lacks() -> None:
    model = copying("luong-general")
    readout, steps, run = readout_of(model), decode(model, tiny_sentences()).steps, model.new_pass()
    gained = readout.log_probs(steps, run).exp() - readout.generated.log_probs(steps, run).exp()
    assert steps.tokens_NS is not None
    in_source = torch.zeros_like(gained, dtype=torch.bool).scatter(-1, steps.tokens_NS, True)
    assert (gained[~in_source] < 0).all()
    readout.gate.bias.fill_(60.0)
    assert_same(readout.log_probs(steps, run), readout.generated.log_probs(steps, run))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_and_its_gradient(smoothing: float) -> None:
    """Of the mixture, and, as far as labels are smoothed, of the generated words."""
    model = copying("bahdanau")
    readout, run = readout_of(model), model.new_pass()
    steps = decode(model, tiny_sentences()).steps.take(lambda x_BTX: x_BTX.flatten(0, 1).detach())
    target_N = torch.arange(20) % VOCABULARY
    mixed = readout.log_probs(steps, run).gather(1, target_N[:, None]).sum()
    even = readout.generated.log_probs(steps, run).mean(-1).sum()
    found = readout.cross_entropies(steps, target_N, smoothing, run)
    assert_same(found.smoothed, -(1 - smoothing) * mixed - smoothing * even)
    assert_same(found.nll_N.sum(), -mixed.detach())

    def loss(features_NF: Tensor, weights_NS: Tensor) -> Tensor:
        moved = Steps(features_NF, weights_NS, steps.tokens_NS)
        return readout.cross_entropies(moved, target_N, smoothing, model.new_pass()).smoothed

    assert steps.weights_NS is not None
    # Weights of zero are padding, to which no gradient flows; a little more is no padding.
    inputs = [x.clone().requires_grad_() for x in (steps.features_NF, steps.weights_NS + 0.01)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_the_gradient_of_the_logits() -> None:
    """Of tokens that stand in the source twice, too; and with gradients the values are those without."""
    readout = CopyingReadout(Fixed(), 5).double()
    tokens_NS = torch.tensor([[1, 3, 1, 1], [0, 0, 4, 2]])
    weights_NS = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    features_NF = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)

    def logits(features_NF: Tensor, weights_NS: Tensor) -> Tensor:
        return readout.logits(Steps(features_NF, weights_NS, tokens_NS), Pass())

    assert torch.autograd.gradcheck(logits, (features_NF, weights_NS))
    with torch.no_grad():
        without = logits(features_NF, weights_NS)
    assert_same(logits(features_NF, weights_NS).detach(), without)


def test_a_source_without_the_target_has_a_finite_gradient() -> None:
    readout = CopyingReadout(Fixed(), 4)
    weights_NS = torch.tensor([[1.0, 0.0]], requires_grad=True)
    steps = Steps(torch.randn(1, 4, requires_grad=True), weights_NS, torch.tensor([[1, 2]]))
    for target in (0, 2):
        readout.target_log_probs(steps, torch.tensor([target]), Pass()).backward()
    assert weights_NS.grad is not None
    assert weights_NS.grad.isfinite().all()


@torch.no_grad()
def test_few_tokens_are_as_likely_as_among_all() -> None:
    readout = CopyingReadout(Fixed(), 6)
    steps = Steps(torch.randn(3, 6), torch.rand(3, 4), torch.tensor([[0, 4, 4, 5], [2, 2, 2, 2], [5, 5, 1, 3]]))
    tokens_C = torch.tensor([0, 1, 2, 4])
    all_NV = readout.log_probs(steps, Pass())
    few = readout.among(tokens_C, Pass())(steps)
    torch.testing.assert_close(few[:, :-1], all_NV[:, tokens_C])
    torch.testing.assert_close(few[:, -1].exp(), all_NV[:, [3, 5]].exp().sum(1))


@pytest.mark.parametrize("model", [{}, TRANSFORMER], ids=["rnn", "transformer"])
@torch.no_grad()
def test_step_by_step_and_padded(model: Mapping[str, object]) -> None:
    """A search reads the rows of several hypotheses; padding changes nothing."""
    made = copying("multi-head" if model else "luong-general", **model)
    sentences = tiny_sentences()
    whole = made.readout.log_probs(decode(made, sentences).steps, made.new_pass())
    run = made.new_pass(stepping=True)
    state = ModelState.start(made, run, sentences.inputs)
    state = state.select(torch.arange(4), torch.arange(4).repeat_interleave(3))
    for t, token_B in enumerate(sentences.reads_BT.T):
        step, state = state.step(token_B.repeat_interleave(3))
        assert_same(step.logits(slice(0, 12)).view(4, 3, -1), whole[:, t, None].expand(-1, 3, -1))
        assert_same(step.logits(slice(3, 7)), whole[:, t].repeat_interleave(3, 0)[3:7])
        state = state.reorder(torch.arange(11, -1, -1).view(4, 3).flip(0).flatten())
    for row, length in enumerate((5, 2, 7, 1)):
        tokens, mask = (x[row : row + 1, :length] for x in sentences.inputs.text)
        alone = sentences._replace(src_BS=tokens, mask_BS=mask, reads_BT=sentences.reads_BT[row : row + 1])
        assert_same(made.readout.log_probs(decode(made, alone).steps, made.new_pass())[0], whole[row])


def repeating(copy: bool) -> float:
    """The share of pieces that are right, of a model which has learned to write sentences as they are, with pieces that it
    has never seen in training."""
    config = from_dict(
        {
            "model": {"embedding_size": 16, "hidden_size": 32, "dropout": 0.0, "copy": copy},
            "attention": {"kind": "luong-general"},
        }
    )
    torch.manual_seed(1)
    model = build(config, 40, 40).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(1)

    def batch(first: int, last: int) -> Batch:
        ids_BL = torch.randint(first, last, (32, 5), generator=generator)
        ids_BL[:, -1] = 3
        reads_BT = torch.cat([torch.full((32, 1), 2), ids_BL[:, :-1]], 1)
        real_BT = torch.ones_like(ids_BL, dtype=torch.bool)
        return Batch({TEXT: Padded(ids_BL, real_BT)}, Target(reads_BT, ids_BL, real_BT), 160)

    for _ in range(100):
        model.loss(batch(4, 24), 0.0).smoothed.div(160).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    unseen = batch(24, 40)
    limits = Limits(bos=2, eos=3, banned=(0, 2), min_length=0, max_length_N=torch.full((32,), 8))
    with torch.no_grad():
        run = model.new_pass(stepping=True)
        found = greedy(ModelState.start(model, run, Inputs(unseen.sources)), limits, 1.0)
    wanted = [row[:-1] for row in unseen.text.ids_BL.tolist()]
    right = sum(
        a == b
        for [one], line in zip(found.hypotheses, wanted, strict=True)
        for a, b in zip(one.tokens, line, strict=False)
    )
    return float(right) / (32 * 4)


def test_what_was_never_seen_is_copied() -> None:
    assert repeating(copy=True) > 0.9
    assert repeating(copy=False) < 0.2


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"subword": {"joint": False}}, "needs one vocabulary: set subword.joint = true"),
        ({"attention": {"kind": "none"}}, 'attention.kind "none" has no weights that say what to copy'),
        (
            {"attention": {"kind": "hard", "estimator": "marginal", "wiring": "after", "input_feeding": False}},
            'attention.estimator "marginal"',
        ),
    ],
)
def test_what_cannot_be_copied(settings: dict[str, dict[str, object]], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        from_dict({"model": COPYING, **settings})


def test_all_that_is_wrong_is_told_at_once() -> None:
    settings: dict[str, dict[str, object]] = {
        "model": COPYING,
        "attention": {"kind": "none"},
        "subword": {"joint": False},
        "training": {"coverage_weight": 1.0, "guided_alignment": "links"},
    }
    with pytest.raises(ConfigError) as caught:
        from_dict(settings)
    for what in ("training.coverage_weight", "training.guided_alignment", "set subword.joint", "what to copy"):
        assert what in str(caught.value)


def test_coverage_by_hand() -> None:
    """Step 2 looks half again at the first position: 0.5; step 3 at both, of which 1.5 and 0.5 is covered: 0.6 and 0.4. The
    fourth step is padding."""
    weights_BTS = torch.tensor([[[1.0, 0.0], [0.5, 0.5], [0.6, 0.4], [1.0, 0.0]]])
    real_BT = torch.tensor([[True, True, True, False]])
    assert float(coverage_loss(weights_BTS, real_BT)) == pytest.approx(0.5 + 0.6 + 0.4)


@pytest.mark.parametrize("kind", ["luong-general", "coverage", "hard"])
def test_coverage_moves_attention(kind: str) -> None:
    model, sentences = tiny_model(tiny_config(kind)), tiny_sentences()
    says_BT = torch.randint(VOCABULARY, (4, 5), generator=torch.Generator().manual_seed(1))
    batch = sentences.batch(says_BT, torch.ones(4, 5, dtype=torch.bool))
    loss = model.loss(batch, 0.0, covering=True)
    assert loss.coverage is not None
    assert float(loss.coverage.detach()) > 0
    loss.coverage.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in model.decoder.parameters())
    assert model.loss(batch, 0.0).coverage is None


@pytest.mark.parametrize(
    "settings", [{"attention": {"kind": "none"}}, {"objective": {"kind": "scst", "from_run": "x"}}]
)
def test_what_cannot_be_covered(settings: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match=r"training\.coverage_weight"):
        from_dict({"training": {"coverage_weight": 1.0}, **settings})
