"""Self-critical and minimum risk training: their gradients against enumeration, and the rewards."""

import itertools
import math

import pytest
import torch
from combinations import few_cases
from models import (
    Case,
    Sentences,
    assert_same,
    log_probs,
    tiny_config,
    tiny_model,
    tiny_sentences,
    vocabulary_of,
)
from torch import Tensor, nn

from seq2seq_cli.config.sections import ObjectiveConfig, SubwordConfig
from seq2seq_cli.data.subword import BOS, EOS, Subwords, train_subword
from seq2seq_cli.evaluation.metrics import SentenceMetric
from seq2seq_cli.model.build import build
from seq2seq_cli.model.loss import CHUNK, target_log_probs
from seq2seq_cli.training import candidates
from seq2seq_cli.training.candidates import Drawn, Rewards, explored, references, side_by_side
from seq2seq_cli.training.learner import make_objective
from seq2seq_cli.training.objectives import CrossEntropy
from seq2seq_cli.training.rewarded import MinimumRisk, SelfCritical, expected_risk

SUBWORD = train_subword(["ab ba a b"] * 3, SubwordConfig(type="char", vocab_size=8))
LONGEST = 2


@pytest.mark.parametrize("rows", [1, CHUNK + 1, 2 * CHUNK + 7])
def test_log_probs_of_targets_are_torchs(rows: int) -> None:
    torch.manual_seed(0)
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((rows, 5), (11, 5), (11,))]
    target_N, weight_N = torch.randint(11, (rows,)), torch.randn(rows, dtype=torch.float64)
    found_N = target_log_probs(parts[0], parts[1], parts[2], target_N)
    logits_NV = nn.functional.linear(*parts)
    expected_N = logits_NV.log_softmax(-1).gather(1, target_N[:, None]).squeeze(1)
    assert_same(found_N, expected_N)
    gradients = torch.autograd.grad((found_N * weight_N).sum(), parts)
    for mine, theirs in zip(gradients, torch.autograd.grad((expected_N * weight_N).sum(), parts), strict=True):
        assert_same(mine, theirs)


def test_gradients_of_log_probs_bear_float16s_loss_scale() -> None:
    rows, weight = torch.ones(1, 2, dtype=torch.float16, requires_grad=True), torch.zeros(3, 2, requires_grad=True)
    (2.0**20 * target_log_probs(rows, weight, torch.zeros(3), torch.tensor([1])).sum()).backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad[:, 0] / 2**20, torch.tensor([-1 / 3, 2 / 3, -1 / 3]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("case", few_cases(), ids=lambda case: case.name)
def test_candidates_have_the_log_probs_and_gradients_of_sentences_alone(case: Case) -> None:
    """Of every mechanism: several candidates a source in one forward, a source without any, and ends not counted."""
    model, sentences = tiny_model(case.config), tiny_sentences()
    chosen = [
        (0, Drawn((5, 6, 7), True), 0.0, 1.0),
        (0, Drawn((), True), 0.0, 1.0),
        (2, Drawn((9, 4), False), 0.0, 1.0),
        (3, Drawn((4,), True), 0.0, 1.0),
        (2, Drawn((8,), True), 0.0, 1.0),
    ]
    made = side_by_side(chosen, 0.0, 4)
    found_R = model.candidate_log_probs(sentences.inputs, made.rows_R, made.target)
    expected = []
    for row, drawn, _, _ in chosen:
        place, length = slice(row, row + 1), int(sentences.mask_BS[row].sum())
        reads_1T = torch.tensor([[BOS, *drawn.tokens]])
        alone = Sentences(sentences.src_BS[place, :length], sentences.mask_BS[place, :length], reads_1T)
        log_probs_TV = log_probs(model, alone)[0]
        said = [*drawn.tokens, EOS] if drawn.ended else drawn.tokens
        expected.append(sum(log_probs_TV[step, token] for step, token in enumerate(said)))
    expected_R = torch.stack([torch.as_tensor(one) for one in expected])
    assert_same(found_R, expected_R)
    weight_R = torch.tensor([0.3, -1.0, 2.0, 0.7, -0.2], dtype=torch.float64)
    parameters = list(model.parameters())
    mine = torch.autograd.grad((weight_R * found_R).sum(), parameters, allow_unused=True)
    theirs = torch.autograd.grad((weight_R * expected_R).sum(), parameters, allow_unused=True)
    for one, other in zip(mine, theirs, strict=True):
        assert_same(torch.zeros(1) if one is None else one, torch.zeros(1) if other is None else other)


class Enumerated:
    """A tiny model over the eight pieces of ``SUBWORD``, one source, and every translation of up to LONGEST pieces."""

    def __init__(self, kind: str = "luong-general") -> None:
        config = tiny_config(kind)
        torch.manual_seed(0)
        self.model = build(config, len(SUBWORD), len(SUBWORD)).double().eval()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(0.5 * torch.randn_like(parameter))
        self.target = tuple(SUBWORD.encode(["ba"])[0])
        reads, says = torch.tensor([[BOS, *self.target]]), torch.tensor([[*self.target, EOS]])
        sentences = Sentences(torch.tensor([[4, 6, EOS]]), torch.ones(1, 3, dtype=torch.bool), reads)
        self.batch = sentences.batch(says, torch.ones_like(says, dtype=torch.bool))
        pieces = [piece for piece in range(len(SUBWORD)) if piece != EOS]
        self.all = [
            Drawn(tokens, length < LONGEST)
            for length in range(LONGEST + 1)
            for tokens in itertools.product(pieces, repeat=length)
        ]

    def log_probs(self, drawn: list[Drawn]) -> Tensor:
        made = side_by_side([(0, one, 0.0, 1.0) for one in drawn], 0.0, 1)
        return self.model.candidate_log_probs(self.batch, made.rows_R, made.target)

    def gradient(self, value: Tensor) -> Tensor:
        parts = torch.autograd.grad(value, list(self.model.parameters()), allow_unused=True, retain_graph=True)
        return torch.cat([
            torch.zeros(parameter.numel(), dtype=torch.float64) if part is None else part.flatten()
            for part, parameter in zip(parts, self.model.parameters(), strict=True)
        ])  # fmt: skip


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "longest_translation", lambda pieces: LONGEST)


def objective(kind: type[SelfCritical] | type[MinimumRisk], **settings: object) -> SelfCritical | MinimumRisk:
    name = "scst" if kind is SelfCritical else "mrt"
    config = ObjectiveConfig(kind=name, from_run="x", cross_entropy_weight=0.0, **settings)  # type: ignore[arg-type]
    return kind(config, CrossEntropy(0.0, 0.0), SUBWORD, "13a")


def test_the_probabilities_of_all_translations_sum_to_one() -> None:
    tiny = Enumerated()
    assert float(tiny.log_probs(tiny.all).exp().sum().detach()) == pytest.approx(1, abs=1e-9)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", ["luong-general", "bahdanau"])
def test_the_self_critical_gradient_is_the_policy_gradient_in_expectation(kind: str) -> None:
    """One sample each: the expectation of the gradient over every translation there is, weighed by its probability, is
    minus the gradient of the expected reward."""
    tiny = Enumerated(kind)
    one = objective(SelfCritical, samples=1, reward="chrf")
    reference = references(tiny.batch)
    [reward] = one.rewards.of([tiny.all], reference)
    log_prob_R = tiny.log_probs(tiny.all)
    expected_reward = (log_prob_R.exp() * torch.tensor([reward[drawn] for drawn in tiny.all])).sum()
    wanted = -tiny.gradient(expected_reward)
    assert wanted.abs().max() > 1e-3
    [[_, greedy]] = explored(tiny.model, tiny.batch, 1, greedy=True)
    found = torch.zeros_like(wanted)
    for drawn, log_prob in zip(tiny.all, log_prob_R.detach(), strict=True):
        chosen = one.chosen([[drawn, greedy]], reference)
        cost = one.cost(tiny.model, tiny.batch, chosen, 0.0)
        found += log_prob.exp() * tiny.gradient(cost.minimised)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("short")
def test_samples_come_from_the_models_own_distribution() -> None:
    tiny = Enumerated()
    torch.manual_seed(0)
    [[*samples, greedy]] = explored(tiny.model, tiny.batch, 4000, greedy=True)
    p = dict(zip(tiny.all, tiny.log_probs(tiny.all).exp().tolist(), strict=True))
    assert set(samples) <= p.keys()
    square = sum((samples.count(one) - 4000 * p[one]) ** 2 / (4000 * p[one]) for one in p)
    degrees = len(p) - 1
    assert abs(square - degrees) < 5 * math.sqrt(2 * degrees)
    first = max(range(len(SUBWORD)), key=lambda piece: sum(p[one] for one in p if (*one.tokens, EOS)[0] == piece))
    assert (*greedy.tokens, EOS)[0] == first


@pytest.mark.usefixtures("short")
def test_samples_depend_on_the_seed_alone() -> None:
    tiny = Enumerated()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(explored(tiny.model, tiny.batch, 20, greedy=False))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("bias", "lengths"), [(-1e6, [4, 2, 6]), (1e6, [0, 0, 0])])
def test_a_translation_has_to_end_at_the_greatest_length_of_its_own_source(
    bias: float, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "longest_translation", lambda pieces: pieces + 1)
    model, sentences = tiny_model(tiny_config("bahdanau")), tiny_sentences((4, 2, 6))
    with torch.no_grad():
        vocabulary_of(model).bias_V[EOS] = bias
    batch = sentences.batch(sentences.reads_BT, torch.ones_like(sentences.reads_BT, dtype=torch.bool))
    drawn = explored(model, batch, 4, greedy=True)
    assert [[len(one.tokens) for one in some] for some in drawn] == [[length] * 5 for length in lengths]
    assert {one.ended for some in drawn for one in some} == {bias > 0}


@pytest.mark.parametrize("alpha", [0.005, 0.5, 3.0])
def test_minimum_risk_and_its_gradient_are_those_of_the_candidates_written_out(alpha: float) -> None:
    tiny = Enumerated()
    one = objective(MinimumRisk, alpha=alpha, reward="chrf")
    reference = references(tiny.batch)
    samples = [tiny.all[0], tiny.all[5], tiny.all[5], tiny.all[30], tiny.all[17]]
    chosen = one.chosen([samples], reference)
    different = [*dict.fromkeys([*samples, reference[0]])]
    [reward] = one.rewards.of([different], reference)
    assert reward[reference[0]] == 1
    assert chosen.reward == pytest.approx(sum(reward[sample] for sample in samples) / 5)
    log_prob_R = tiny.log_probs(different)
    sharpened = [math.exp(alpha * float(log_prob)) for log_prob in log_prob_R.detach()]
    risks = [1 - reward[drawn] for drawn in different]
    q = [value / sum(sharpened) for value in sharpened]
    risk = sum(share * each for share, each in zip(q, risks, strict=True))
    cost = one.cost(tiny.model, tiny.batch, chosen, 0.0)
    assert float(cost.loss.detach()) == pytest.approx(risk / alpha, rel=1e-6)
    # The gradient by log p of a candidate is alpha Q (risk - mean risk).
    weight_R = torch.tensor([share * (each - risk) for share, each in zip(q, risks, strict=True)], dtype=torch.float64)
    wanted = tiny.gradient((weight_R * log_prob_R).sum())
    assert wanted.abs().max() > 1e-6
    torch.testing.assert_close(tiny.gradient(cost.minimised), wanted, rtol=1e-4, atol=1e-10)


def test_expected_risk_by_hand() -> None:
    """Probabilities 1/10 and 4/10, alpha 1/2: shares 1/3 and 2/3. Alone, a candidate has all."""
    log_prob_R = torch.tensor([0.1, 0.3, 0.4], dtype=torch.float64).log().requires_grad_()
    risk_B = expected_risk(log_prob_R, torch.tensor([0.9, 0.5, 0.3]), torch.tensor([0, 1, 0]), 0.5)
    assert risk_B.tolist() == pytest.approx([0.9 / 3 + 0.3 * 2 / 3, 0.5])
    (gradient_R,) = torch.autograd.grad(risk_B.sum(), log_prob_R)
    assert gradient_R.tolist() == pytest.approx([0.5 / 3 * 0.4, 0.0, 0.5 * 2 / 3 * -0.2])
    far_R = torch.tensor([-4000.0, -4001.0])
    assert expected_risk(far_R, torch.tensor([0.0, 1.0]), torch.tensor([0, 0]), 1.0).isfinite().all()


def test_advantages_by_hand() -> None:
    """Greedy 0.5; drawn: twice 1, once 0.2, twice the greedy one itself."""
    tiny = Enumerated()
    one = objective(SelfCritical)
    greedy, good, bad = Drawn((4,), True), Drawn((5,), True), Drawn((6,), True)

    class Fixed(Rewards):
        def of(self, drawn: object, references: object) -> list[dict[Drawn, float]]:
            return [{greedy: 0.5, good: 1.0, bad: 0.2}]

    one.rewards = Fixed(SentenceMetric.of("bleu", "13a"), SUBWORD)
    chosen = one.chosen([[good, bad, greedy, good, greedy, greedy]], references(tiny.batch))
    assert chosen.reward_R.tolist() == pytest.approx([1.0, 0.2])
    assert chosen.weight_R.tolist() == pytest.approx([0.5 * 2 / 5, -0.3 / 5])
    assert chosen.reward == pytest.approx((2 + 0.2 + 1) / 5)
    nothing = one.chosen([[greedy, greedy]], references(tiny.batch))
    cost = one.cost(tiny.model, tiny.batch, nothing, 0.0)
    assert tiny.gradient(cost.minimised).abs().max() == 0


@pytest.mark.parametrize("reward", ["bleu", "chrf"])
def test_rewards_are_sacrebleus_of_the_texts(reward: str) -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    metric = {"bleu": BLEU(effective_order=True), "chrf": CHRF()}[reward]
    rewards = Rewards(SentenceMetric.of(reward, "13a"), SUBWORD)  # type: ignore[arg-type]
    texts = ["ab ba a b", "ab ba b", "", "b"]
    drawn = [Drawn(tuple(ids), True) for ids in SUBWORD.encode(texts)]
    [found] = rewards.of([drawn], drawn[:1])
    expected = [metric.sentence_score(text, [texts[0]]).score / 100 for text in texts]
    assert [found[one] for one in drawn] == pytest.approx(expected)
    assert found[drawn[0]] == pytest.approx(1)
    assert found[drawn[2]] == 0


@pytest.mark.parametrize("kind", ["scst", "mrt"])
def test_rewards_count_the_tokens_that_scores_count(kind: str) -> None:
    config = tiny_config("bahdanau", objective={"kind": kind, "from_run": "x"})
    made = make_objective(config, Subwords(SUBWORD, SUBWORD), "zh")
    assert isinstance(made, SelfCritical | MinimumRisk)
    expected = SentenceMetric.of("bleu", "zh").scores(["我们以后谈吧"], ["我们以后再谈"])
    assert made.rewards.metric.scores(["我们以后谈吧"], ["我们以后再谈"]) == expected
    assert expected != SentenceMetric.of("bleu", "13a").scores(["我们以后谈吧"], ["我们以后再谈"])


def test_cross_entropy_is_mixed_in_with_its_dropout_and_all_else_without() -> None:
    tiny = Enumerated()
    dropping = tiny_config("luong-general", model={"dropout": 0.4})
    model = build(dropping, len(SUBWORD), len(SUBWORD)).double().train()
    settings = {"kind": "mrt", "from_run": "x", "samples": 3}
    pure, mixed = (
        MinimumRisk(ObjectiveConfig(**settings, cross_entropy_weight=w), CrossEntropy(0.1, 0.0), SUBWORD, "13a")  # type: ignore[arg-type]
        for w in (0.0, 0.25)
    )
    drawn = pure.draw(model, tiny.batch)
    assert model.training
    alone, again = (float(pure.cost(model, tiny.batch, drawn, 0.0).loss.detach()) for _ in range(2))
    assert alone == again
    torch.manual_seed(3)
    reference = float(mixed.cross_entropy.cost(model, tiny.batch, None, 0.0).loss.detach())
    other = float(mixed.cross_entropy.cost(model, tiny.batch, None, 0.0).loss.detach())
    assert reference != other
    torch.manual_seed(3)
    both = float(mixed.cost(model, tiny.batch, drawn, 0.0).loss.detach())
    assert both == pytest.approx(0.75 * alone + 0.25 * reference)
    assert all(module.training for module in model.modules())
