"""Search over written-out tables p(next | sentence, step, last token), whose answers can be counted out, and over
tiny models."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from combinations import few_cases
from models import Case, Sentences, assert_same, decode, tiny_model, tiny_sentences
from torch import Tensor

from seq2seq_cli.decoding.likeliest import Limits, continuations, likeliest, likeliest_of_each
from seq2seq_cli.decoding.search import Found, Result, Step, Trace, beam, explore, greedy, length_normalised, sample
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.model.carry import Rows, numbers

BOS, EOS, BANNED = 0, 1, 2
WORDS = (3, 4, 5)
VOCABULARY = 6
STEPS = 10


@dataclass(frozen=True)
class Table:
    """log p(next | step, last token) of N sentences, N x STEPS x V x V, in the middle of R target sentences.

    Where it "looks" is what it has read: ``read_R`` is the path so far as a number in base V + 1.
    """

    log_probs_NTVV: Tensor
    sentence_R: Tensor
    read_R: Tensor
    taken: int = 0

    @classmethod
    def of(cls, log_probs_NTVV: Tensor) -> Table:
        sentence_R = torch.arange(len(log_probs_NTVV))
        return cls(log_probs_NTVV, sentence_R, torch.zeros(len(log_probs_NTVV), dtype=torch.float64))

    def step(self, tokens_R: Tensor) -> tuple[Step, Table]:
        after = replace(self, read_R=self.read_R * (VOCABULARY + 1) + tokens_R + 1, taken=self.taken + 1)
        weights_RS = torch.stack([after.read_R, self.sentence_R.double()], 1)
        log_probs_RV = self.log_probs_NTVV[self.sentence_R, self.taken, tokens_R]
        # Logits are log-probabilities but for any number.
        return Step(lambda rows: log_probs_RV[rows] + 3, Trace(weights_RS, -after.read_R)), after

    def reorder(self, rows_R: Tensor) -> Table:
        assert torch.equal(self.sentence_R[rows_R], self.sentence_R), "rows moved between sentences"
        return self._rows(rows_R)

    def select(self, sentences: Rows, rows: Rows) -> Table:
        going_N, rows_R = self.sentence_R.unique_consecutive()[numbers(sentences)], numbers(rows)
        assert torch.equal(self.sentence_R[rows_R].unique_consecutive(), going_N), "rows of other sentences"
        return self._rows(rows_R)

    def _rows(self, rows_R: Tensor) -> Table:
        return replace(self, sentence_R=self.sentence_R[rows_R], read_R=self.read_R[rows_R])


def random_table(sentences: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(sentences, STEPS, VOCABULARY, VOCABULARY, generator=generator, dtype=torch.float64)
    return noise.mul(1.5).log_softmax(-1)


def limits_of(*longest: int, shortest: int = 0) -> Limits:
    return Limits(BOS, EOS, (BANNED, BOS), shortest, torch.tensor(longest))


def log_prob(log_probs_TVV: Tensor, tokens: Sequence[int]) -> float:
    """Of a sentence of these tokens and its end."""
    return sum(float(log_probs_TVV[t, a, b]) for t, (a, b) in enumerate(itertools.pairwise([BOS, *tokens, EOS])))


def all_sentences(longest: int, shortest: int = 0) -> Iterator[tuple[int, ...]]:
    for length in range(shortest, longest + 1):
        yield from itertools.product(WORDS, repeat=length)


def brute_force(log_probs_TVV: Tensor, longest: int, alpha: float, shortest: int = 0) -> list[tuple[list[int], float]]:
    """Every sentence there is with its score, best first."""
    scored = [
        (list(tokens), log_prob(log_probs_TVV, tokens) / (len(tokens) + 1) ** alpha)
        for tokens in all_sentences(longest, shortest)
    ]
    return sorted(scored, key=lambda pair: -pair[1])


def slow_beam(
    log_probs_TVV: Tensor, longest: int, shortest: int, alpha: float, width: int
) -> list[tuple[list[int], float]]:
    """Beam search of one sentence, as ``beam`` describes it."""
    live: list[tuple[list[int], float]] = [([], 0.0)]
    finished: list[tuple[list[int], float]] = []
    for step in range(longest + 1):
        candidates = [
            ([*tokens, token], total + float(log_probs_TVV[step, (tokens or [BOS])[-1], token]))
            for tokens, total in live
            for token in (*(WORDS if step < longest else ()), *((EOS,) if step >= shortest else ()))
        ]
        candidates.sort(key=lambda pair: -pair[1])
        for tokens, total in candidates[:width]:
            if tokens[-1] == EOS:
                finished.append((tokens[:-1], total / len(tokens) ** alpha))
        live = [(tokens, total) for tokens, total in candidates if tokens[-1] != EOS][:width]
        if len(finished) >= width:
            break
    return sorted(finished, key=lambda pair: -pair[1])[:width]


def assert_found(found: list[Found], expected: list[tuple[list[int], float]]) -> None:
    assert [one.tokens for one in found] == [tokens for tokens, _ in expected]
    assert [one.score for one in found] == pytest.approx([score for _, score in expected], abs=1e-9)


def assert_consistent(result: Result, table_NTVV: Tensor, alpha: float) -> None:
    """Log-probabilities, scores and traces are those of the hypotheses' own paths."""
    for sentence, hypotheses in enumerate(result.hypotheses):
        assert [one.score for one in hypotheses] == sorted((one.score for one in hypotheses), reverse=True)
        assert len({tuple(one.tokens) for one in hypotheses}) == len(hypotheses)
        for one in hypotheses:
            assert one.log_prob == pytest.approx(log_prob(table_NTVV[sentence], one.tokens), abs=1e-9)
            assert one.score == pytest.approx(one.log_prob / (len(one.tokens) + 1) ** alpha)
            weights_TS, centre_T = result.attention(one)
            read, reads = 0, []
            for token in [BOS, *one.tokens]:
                read = read * (VOCABULARY + 1) + token + 1
                reads.append(float(read))
            assert weights_TS.tolist() == [[read, sentence] for read in reads]
            assert centre_T is not None
            assert centre_T.tolist() == [-read for read in reads]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("shortest", [0, 2])
@pytest.mark.parametrize("width", [40, 60], ids=["as-wide-as-all", "wider"])
def test_a_wide_enough_beam_is_brute_force(width: int, shortest: int, alpha: float) -> None:
    # 1 + 3 + 9 + 27 = 40 sentences of at most three of the three words
    table_NTVV, longest = random_table(4, seed=1), (3, 2, 3, 2)
    result = beam(Table.of(table_NTVV), limits_of(*longest, shortest=shortest), alpha, width)
    for log_probs_TVV, limit, found in zip(table_NTVV, longest, result.hypotheses, strict=True):
        assert_found(found, brute_force(log_probs_TVV, limit, alpha, shortest))
    assert_consistent(result, table_NTVV, alpha)


def test_a_sentence_by_hand() -> None:
    p = torch.zeros(1, STEPS, VOCABULARY, VOCABULARY, dtype=torch.float64)
    p[..., BOS, 3], p[..., BOS, 4] = 0.6, 0.4
    p[..., 3, EOS], p[..., 3, 5], p[..., 4, EOS], p[..., 5, EOS] = 0.501, 0.499, 1.0, 0.9
    table, limits = Table.of(p.log()), limits_of(4)
    (best,) = greedy(table, limits, 0.0).hypotheses[0]
    assert best.tokens == [3]
    assert best.log_prob == pytest.approx(math.log(0.6 * 0.501))
    # What greedy cannot see: 0.4 * 1 is more than 0.6 * 0.501.
    first, second = beam(table, limits, 0.0, 2).hypotheses[0]
    assert [first.tokens, second.tokens] == [[4], [3]]
    assert [first.score, second.score] == pytest.approx([math.log(0.4), math.log(0.3006)])
    # alpha = 1: ln(0.6 * 0.499 * 0.9)/3 = -0.437 is more than ln(0.4)/2 = -0.458 and ln(0.3006)/2 = -0.601; a beam
    # of two is done before it comes to the longer one. Of the three sentences there are, a beam of five finds three.
    for width in (3, 5):
        assert [one.tokens for one in beam(table, limits, 1.0, width).hypotheses[0]] == [[3, 5], [4], [3]]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_a_narrow_beam_is_the_slow_one(width: int, alpha: float) -> None:
    for seed in range(10):
        table_NTVV, longest, shortest = random_table(5, seed), (6, 3, 1, 8, 4), seed % 2
        result = beam(Table.of(table_NTVV), limits_of(*longest, shortest=shortest), alpha, width)
        for log_probs_TVV, limit, found in zip(table_NTVV, longest, result.hypotheses, strict=True):
            assert_found(found, slow_beam(log_probs_TVV, limit, shortest, alpha, width))
        assert_consistent(result, table_NTVV, alpha)


def test_a_beam_of_one_is_greedy() -> None:
    for seed in range(10):
        table_NTVV, limits = random_table(5, seed), limits_of(6, 3, 1, 8, 4, shortest=seed % 3 and 1)
        narrow = beam(Table.of(table_NTVV), limits, 1.0, 1)
        result = greedy(Table.of(table_NTVV), limits, 1.0)
        assert narrow.hypotheses == result.hypotheses
        assert_consistent(result, table_NTVV, 1.0)


def test_greedy_takes_the_likeliest_at_every_step() -> None:
    table_NTVV, longest = random_table(5, 3), (6, 3, 0, 8, 4)
    result = greedy(Table.of(table_NTVV), limits_of(*longest), 1.0)
    for log_probs_TVV, limit, (found,) in zip(table_NTVV, longest, result.hypotheses, strict=True):
        tokens = [BOS]
        while tokens[-1] != EOS:
            row_V = log_probs_TVV[len(tokens) - 1, tokens[-1]].tolist()
            allowed = (EOS, *WORDS) if len(tokens) <= limit else (EOS,)
            tokens.append(max(allowed, key=row_V.__getitem__))
        assert found.tokens == tokens[1:-1]


@pytest.mark.parametrize("vocabulary", [400, 37, 6])
def test_what_may_not_be_said_hides_nothing_behind_it(vocabulary: int) -> None:
    """However likely it is, for every hypothesis: the others are the likeliest of the whole vocabulary."""
    sentences, width, count, banned = 3, 5, min(10, vocabulary), (BANNED, BOS)
    generator = torch.Generator().manual_seed(vocabulary)
    logits_RV = torch.randn(sentences * width, vocabulary, generator=generator, dtype=torch.float64)
    logits_RV[:, banned] += 9
    log_prob_NK = -torch.rand(sentences, width, generator=generator, dtype=torch.float64)
    found = likeliest(logits_RV, log_prob_NK, count, banned)
    total_NKV = log_prob_NK[..., None] + logits_RV.log_softmax(-1).view(sentences, width, vocabulary)
    total_NKV[..., banned] = -math.inf
    expected_NC, at_NC = total_NKV.flatten(1).topk(count, 1)
    assert_same(found.log_prob_NC, expected_NC)
    assert torch.equal(found.origin_NC * vocabulary + found.token_NC, at_NC)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [400, 37, 4])
def test_the_likeliest_of_each_is_the_first_continuation(vocabulary: int, dtype: torch.dtype) -> None:
    """Bit for bit, whatever is banned, at the greatest length too."""
    rows, limits = 300, Limits(BOS, EOS, (BANNED, BOS), 2, torch.arange(300) % 5 + 2)
    generator = torch.Generator().manual_seed(vocabulary)
    logits_RV = torch.randn(rows, vocabulary, generator=generator, dtype=torch.float64) * 3
    logits_RV[::2, [BANNED, EOS]] += 50
    logits_RV = logits_RV.to(dtype)
    logits_RV[torch.arange(rows), torch.randint(3, vocabulary, (rows,), generator=generator)] += 1
    log_prob_N = -torch.rand(rows, generator=generator)
    for step in (0, 1, 2, 4):
        token_N, chosen_N = likeliest_of_each(lambda rows: logits_RV[rows].clone(), log_prob_N, limits, step)
        expected = continuations(lambda rows: logits_RV[rows], log_prob_N[:, None], 1, limits, step)
        assert torch.equal(chosen_N, expected.log_prob_NC.squeeze(1))
        if dtype == torch.float32:  # bfloat16 has ties
            assert torch.equal(token_N, expected.token_NC.squeeze(1))


def test_what_is_no_number_stays_none() -> None:
    logits_RV = torch.randn(3, 40).index_fill(0, torch.tensor([1]), math.nan)
    limits = Limits(BOS, EOS, (BANNED, BOS), 0, torch.tensor([9, 9, 9]))
    _, log_prob_N = likeliest_of_each(lambda rows: logits_RV[rows], torch.zeros(3), limits, 0)
    assert log_prob_N.isnan().tolist() == [False, True, False]


def test_some_sentences_are_explored_and_others_taken_at_their_likeliest() -> None:
    """Each stays what it is when others have ended before it."""
    table_NTVV, limits = random_table(40, seed=4), limits_of(*[1, 9, 4, 7] * 10)
    is_greedy_N = torch.arange(40) % 3 == 0
    torch.manual_seed(0)
    found = explore(Table.of(table_NTVV), limits, is_greedy_N)
    likeliest_of_all = greedy(Table.of(table_NTVV), limits, 0.0)
    pairs = zip(found.hypotheses, likeliest_of_all.hypotheses, strict=True)
    same = [one.tokens == other.tokens for (one,), (other,) in pairs]
    assert all(same[n] for n in range(40) if is_greedy_N[n])
    assert sum(same[n] for n in range(40) if not is_greedy_N[n]) < 13  # of 26
    assert_consistent(found, table_NTVV, 0.0)


def generators(seed: int, sentences: int = 50) -> list[np.random.Generator]:
    """One a sentence."""
    return [np.random.default_rng((seed, sentence)) for sentence in range(sentences)]


Search = Callable[[Table, Limits], Result]
SEARCHES: list[Search] = [
    lambda state, limits: greedy(state, limits, 1.0),
    lambda state, limits: sample(state, limits, 1.0, 1.0, 0, generators(1)),
    lambda state, limits: beam(state, limits, 1.0, 1),
    lambda state, limits: beam(state, limits, 1.0, 4),
]
every_search = pytest.mark.parametrize("search", SEARCHES, ids=["greedy", "sample", "beam-1", "beam-4"])


@pytest.mark.parametrize("width", [0, 1, 2, 4], ids=lambda width: f"beam-{width}" if width else "greedy")
def test_the_batch_never_changes_a_result(width: int) -> None:
    table_NTVV, longest = random_table(6, seed=5), (6, 0, 3, 9, 1, 6)

    def search(rows: list[int]) -> list[list[tuple[list[int], float]]]:
        state, limits = Table.of(table_NTVV[rows]), limits_of(*(longest[row] for row in rows))
        result = beam(state, limits, 1.0, width) if width else greedy(state, limits, 1.0)
        return [[(one.tokens, one.score) for one in hypotheses] for hypotheses in result.hypotheses]

    together = search([0, 1, 2, 3, 4, 5])
    assert together == [search([row])[0] for row in range(6)]
    assert search([3, 1, 5]) == [together[3], together[1], together[5]]


@every_search
@pytest.mark.parametrize("shortest", [0, 3])
def test_lengths_and_banned_tokens(search: Search, shortest: int) -> None:
    table_NTVV = random_table(4, seed=7)
    table_NTVV[..., (BANNED, BOS)] += 20.0
    # Ends so likely or so unlikely that each sentence runs into the one bound or into the other.
    table_NTVV[..., EOS] += 20.0 if shortest else -20.0
    table_NTVV = table_NTVV.log_softmax(-1)
    longest = (3, 4, 5, 6)
    result = search(Table.of(table_NTVV), limits_of(*longest, shortest=shortest))
    for limit, hypotheses in zip(longest, result.hypotheses, strict=True):
        assert len(hypotheses[0].tokens) == (shortest or limit)
        for one in hypotheses:
            assert shortest <= len(one.tokens) <= limit
            assert set(one.tokens) <= set(WORDS)
    assert_consistent(result, table_NTVV, 1.0)


def test_a_limit_of_nothing_is_the_end_at_once() -> None:
    table_NTVV = random_table(1, seed=0)
    for result in (greedy(Table.of(table_NTVV), limits_of(0), 1.0), beam(Table.of(table_NTVV), limits_of(0), 1.0, 3)):
        (only,) = result.hypotheses[0]
        assert only.tokens == []
        assert only.log_prob == pytest.approx(float(table_NTVV[0, 0, BOS, EOS]))
        assert result.attention(only)[0].shape == (1, 2)


def test_the_first_step_takes_one_row_a_sentence() -> None:
    table_NTVV = random_table(3, seed=2)
    result = beam(Table.of(table_NTVV), limits_of(5, 5, 5), 1.0, 4)
    # Four hypotheses that differ in nothing yet would be three of them too many.
    assert [len(trace.weights_RS) for trace in result.traces[:2]] == [3, 12]


def test_a_search_without_windows_has_no_centres() -> None:
    class Global(Table):
        def step(self, tokens_R: Tensor) -> tuple[Step, Table]:
            step, state = super().step(tokens_R)
            return Step(step.logits, step.trace._replace(centre_R=None)), Global(*vars(state).values())

    result = greedy(Global.of(random_table(1, seed=0)), limits_of(4), 1.0)
    assert result.attention(result.hypotheses[0][0]).centre_R is None


def test_length_normalised() -> None:
    # -6 / 4^0.5 = -3
    assert length_normalised(torch.tensor(-6.0), 4, 0.5) == -3


def draw(table_NTVV: Tensor, limits: Limits, temperature: float = 1.0, top_k: int = 0, seed: int = 1) -> Result:
    return sample(Table.of(table_NTVV), limits, 1.0, temperature, top_k, generators(seed, len(table_NTVV)))


def test_sampling_starts_from_its_seed() -> None:
    table_NTVV, limits = random_table(1, 0).expand(50, -1, -1, -1), limits_of(*[5] * 50)
    first = draw(table_NTVV, limits)
    torch.manual_seed(99)
    assert draw(table_NTVV, limits).hypotheses == first.hypotheses
    assert draw(table_NTVV, limits, seed=2).hypotheses != first.hypotheses
    assert_consistent(first, table_NTVV, 1.0)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.5, 0), (2.0, 2), (1.0, 3), (1.0, 99)])
def test_samples_follow_the_distribution(temperature: float, top_k: int) -> None:
    draws = 4000
    table_NTVV = random_table(1, 11)
    result = draw(table_NTVV.expand(draws, -1, -1, -1), limits_of(*[1] * draws), temperature, top_k)
    counts = Counter(one.tokens[0] if one.tokens else EOS for (one,) in result.hypotheses)
    first_V = table_NTVV[0, 0, BOS].exp()
    allowed = sorted((EOS, *WORDS), key=lambda token: -float(first_V[token]))[: top_k or None]
    total = sum(float(first_V[token]) ** (1 / temperature) for token in allowed)
    assert set(counts) <= set(allowed)
    for token in allowed:
        p = float(first_V[token]) ** (1 / temperature) / total
        assert abs(counts[token] / draws - p) < 4 * math.sqrt(p * (1 - p) / draws)


def test_the_likeliest_alone_is_greedy() -> None:
    table_NTVV, limits = random_table(6, 2), limits_of(5, 6, 7, 5, 6, 7)
    assert draw(table_NTVV, limits, top_k=1).hypotheses == greedy(Table.of(table_NTVV), limits, 1.0).hypotheses


@pytest.mark.parametrize("case", few_cases(), ids=lambda case: case.name)
@torch.no_grad()
def test_the_search_scores_as_forced_decoding_does(case: Case) -> None:
    """Weights and centres too, whatever rows the hypotheses went through; alone or with other sentences."""
    model, sentences = tiny_model(case.config), tiny_sentences()
    longest = (6, 3, 8, 5)

    def search(rows: list[int]) -> Result:
        some = Sentences(*(x[rows] for x in sentences))
        state = ModelState.start(model, model.new_pass(stepping=True), some.inputs)
        return beam(state, limits_of(*(longest[row] for row in rows)), 1.0, 4)

    together = search([0, 1, 2, 3])
    assert len({len(one.tokens) for hypotheses in together.hypotheses for one in hypotheses}) > 2
    for row, hypotheses in enumerate(together.hypotheses):
        alone = search([row]).hypotheses[0]
        assert [one.tokens for one in alone] == [one.tokens for one in hypotheses]
        for one in hypotheses:
            reads_BT = torch.tensor([[BOS, *one.tokens]])
            source = Sentences(sentences.src_BS[row : row + 1], sentences.mask_BS[row : row + 1], reads_BT)
            forced = decode(model, source)
            log_probs_TV = model.readout.log_probs(forced.steps, model.new_pass())[0]
            expected = log_probs_TV.gather(1, torch.tensor([*one.tokens, EOS])[:, None]).sum()
            assert one.log_prob == pytest.approx(float(expected), abs=1e-9)
            weights_TS, centre_T = together.attention(one)
            assert_same(weights_TS, forced.shown.weights_BTS[0])
            assert_same(centre_T, None if forced.shown.centre_BT is None else forced.shown.centre_BT[0])
