"""Nearest neighbours: which they are, what they add to a model's probabilities, and what never changes them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corpora import TinyCorpus, sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import made, quiet, remember
from models import VOCABULARY, tiny_config, tiny_model
from torch import Tensor

from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.data.subword import EOS
from seq2seq_cli.decoding.memorising import entries_of, memorise, new_memory
from seq2seq_cli.decoding.recalling import Given, OpenMemory, open_memory
from seq2seq_cli.decoding.translator import Sampling, Translator
from seq2seq_cli.model import products
from seq2seq_cli.model.build import build
from seq2seq_cli.model.readout import Readout
from seq2seq_cli.model.types import Steps
from seq2seq_cli.model.weights import save_weights, state_of
from seq2seq_cli.neighbours import readout as readout_module
from seq2seq_cli.neighbours import search
from seq2seq_cli.neighbours import store as store_module
from seq2seq_cli.neighbours.codes import coded
from seq2seq_cli.neighbours.layout import Weights
from seq2seq_cli.neighbours.readout import Recall, RecallingReadout, mixed
from seq2seq_cli.neighbours.search import ExactSearch, Nearest
from seq2seq_cli.neighbours.store import Store
from seq2seq_cli.neighbours.weighing import Adaptive, Fixed, attention, choices, distinct
from seq2seq_cli.runs import Run

CPU = torch.device("cpu")
LINES = sentences(20, seed=9)
NATIVE = pytest.mark.skipif(not products.CHOSEN.int8, reason="this processor does not multiply 8-bit integers natively")


@pytest.fixture(params=[pytest.param(True, marks=NATIVE), False], ids=["coded", "float32"])
def in_codes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the whole memory is looked through in 8-bit integers."""
    monkeypatch.setattr(products, "CHOSEN", products.CHOSEN._replace(int8=request.param))
    return bool(request.param)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks and groups in a memory of a few hundred entries."""
    monkeypatch.setattr(search, "BLOCK", 64)
    monkeypatch.setattr(search, "GROUP", 4)
    monkeypatch.setattr(search, "TOGETHER", 3)


def brute_force(queries_NR: Tensor, keys_MR: Tensor, count: int) -> Tensor:
    """The squared distances of the nearest."""
    return (queries_NR[:, None] - keys_MR).square().sum(-1).topk(count, 1, largest=False).values


@pytest.mark.parametrize("entries", [1, 3, 4, 63, 64, 65, 300])
@pytest.mark.parametrize("count", [1, 5])
def test_the_search_finds_what_looking_at_each_finds(
    in_codes: bool, small_blocks: None, entries: int, count: int, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(entries)
    keys_MR = torch.randn(entries, 8, generator=generator) + 5
    store = made(tmp_path / "m", keys_MR, list(range(entries)), pieces=300)
    found = ExactSearch(store, CPU).nearest(
        queries_NR := keys_MR[:7] + 0.1 * torch.randn(8, generator=generator), count
    )
    wanted_NK = brute_force(queries_NR, keys_MR, min(count, entries))
    torch.testing.assert_close(found.distances_NK, wanted_NK, rtol=1e-5, atol=1e-5)
    there = (queries_NR[:, None] - keys_MR[found.entries_NK]).square().sum(-1)
    torch.testing.assert_close(there, wanted_NK, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in found.entries_NK.tolist())


def test_the_neighbours_of_a_query_do_not_depend_on_others(in_codes: bool, small_blocks: None, tmp_path: Path) -> None:
    keys_MR = torch.randn(200, 8, generator=torch.Generator().manual_seed(1))
    looked = ExactSearch(made(tmp_path / "m", keys_MR, [1] * 200), CPU)
    queries_NR = keys_MR[::9] + 0.2
    together = looked.nearest(queries_NR, 4)
    for row, query_R in enumerate(queries_NR):
        alone = looked.nearest(query_R[None], 4)
        assert alone.entries_NK[0].tolist() == together.entries_NK[row].tolist()
        torch.testing.assert_close(alone.distances_NK[0], together.distances_NK[row])


def test_of_many_queries_a_few_are_looked_up_at_a_time(
    in_codes: bool, small_blocks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that their distances to a whole memory are never all there; and each has the neighbours that it has."""
    keys_MR = torch.randn(200, 8, generator=torch.Generator().manual_seed(3))
    looked = ExactSearch(made(tmp_path / "m", keys_MR, [1] * 200), CPU)
    monkeypatch.setattr(search, "QUERIES", 5)
    rows: list[int] = []
    largest = search._largest

    def watched(scores_NM: Tensor, stride: int, out_NG: Tensor) -> None:
        rows.append(len(scores_NM))
        largest(scores_NM, stride, out_NG)

    monkeypatch.setattr(search, "_largest", watched)
    queries_NR = keys_MR[:33] + 0.1
    found = looked.nearest(queries_NR, 4)
    assert max(rows) == 5
    torch.testing.assert_close(found.distances_NK, brute_force(queries_NR, keys_MR, 4), rtol=1e-5, atol=1e-5)


def test_keys_in_half_precision_are_compared_as_they_are_kept(in_codes: bool, tmp_path: Path) -> None:
    keys_MR = torch.randn(100, 6, generator=torch.Generator().manual_seed(2))
    store = made(tmp_path / "m", keys_MR, [1] * 100, dtype="float16")
    found = ExactSearch(store, CPU).nearest(keys_MR[:5], 3)
    torch.testing.assert_close(found.distances_NK, brute_force(keys_MR[:5], keys_MR.half().float(), 3))


def test_codes_by_hand(tmp_path: Path) -> None:
    store = made(tmp_path / "m", torch.tensor([[0.0, 0.0], [4.0, 0.0]]), [1, 2])
    assert store.centre.tolist() == [2.0, 0.0]
    assert store.record.step == pytest.approx(2 / 127)
    assert store.codes.tolist() == [[-127, 0], [127, 0]]
    assert store.norms.tolist() == [8065, 8065]  # 127 x 127 / 2 and a half
    assert coded(torch.tensor([[9.0, math.nan]]), torch.from_numpy(store.centre), 1.0).tolist() == [[7, 0]]


# What neighbours add.

DISTANCES = torch.tensor([[1.0, 1.0, 3.0]])
VALUES = torch.tensor([[4, 2, 4]])


def test_the_share_of_each_neighbour_by_hand() -> None:
    weights_NK = Fixed(Weights(neighbours=3, temperature=2.0, mix=0.4))(DISTANCES, VALUES)
    far = math.exp(-1)
    expected = [0.4 * part / (2 + far) for part in (1, 1, far)]
    assert weights_NK[0].tolist() == pytest.approx(expected)


def test_the_mixture_by_hand() -> None:
    model_NV = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0001]]).log() + 7  # logits need not be log-probabilities
    p_NV = mixed(model_NV, VALUES, torch.tensor([[0.2, 0.1, 0.05]])).exp()
    share = 0.65 / 1.0001
    expected = [0.1 * share, 0.2 * share, 0.3 * share + 0.1, 0.4 * share, 0.0001 * share + 0.25]
    assert p_NV[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert float(p_NV.sum()) == pytest.approx(1)


@given(
    logits=st.lists(st.floats(-30, 30), min_size=6, max_size=6),
    values=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    distances=st.lists(st.floats(0, 1e6) | st.just(math.inf), min_size=4, max_size=4),
    mix=st.floats(0, 1),
    temperature=st.floats(1e-3, 1e6),
)
@settings(max_examples=100)
def test_probabilities_sum_to_one(
    logits: list[float], values: list[int], distances: list[float], mix: float, temperature: float
) -> None:
    near_NK, values_NK = torch.tensor([sorted(distances)]), torch.tensor([values])
    weights_NK = Fixed(Weights(neighbours=4, temperature=temperature, mix=mix))(near_NK, values_NK)
    log_prob_NV = mixed(torch.tensor([logits]), values_NK, weights_NK)
    assert bool(log_prob_NV.isfinite().all())
    assert float(log_prob_NV.exp().sum()) == pytest.approx(1, abs=1e-5)


def test_where_all_are_infinitely_far_the_model_is_left_alone() -> None:
    assert attention(torch.full((1, 3), math.inf), 1.0).tolist() == [[0, 0, 0]]


def test_how_many_different_values_there_are() -> None:
    assert distinct(torch.tensor([[5, 5, 2, 5, 7, 2]])).tolist() == [[1, 1, 2, 2, 3, 3]]
    assert choices(8) == [0, 1, 2, 4, 8]
    assert choices(6) == [0, 1, 2, 4, 6]
    assert choices(1) == [0, 1]


def test_the_network_by_hand() -> None:
    network = Adaptive(2, 2.0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.output.bias.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
        weights_NK = network(torch.tensor([[1.0, 3.0]]), torch.tensor([[4, 2]]))
    # Going by none 0.5, by one 0.3, by both 0.2, where the second counts e^-1 times as much.
    both = 1 / (1 + math.exp(-1))
    assert weights_NK[0].tolist() == pytest.approx([0.3 + 0.2 * both, 0.2 * (1 - both)])


def test_the_network_reads_distances_and_values() -> None:
    torch.manual_seed(0)
    network = Adaptive(4, 2.0)
    near, far = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[10.0, 20.0, 30.0, 40.0]])
    same, different = torch.tensor([[7, 7, 7, 7]]), torch.tensor([[7, 8, 9, 1]])
    sums = {network(*both).sum().item() for both in ((near, same), (near, different), (far, same))}
    assert len(sums) == 3
    assert bool((network(near[:, :2], same[:, :2]) > 0).any())  # of a memory with two entries


class Known:
    """A search whose neighbours are known beforehand."""

    device = CPU

    def __init__(self, values: int) -> None:
        self.values = values

    def nearest(self, rows_NR: Tensor, count: int) -> Nearest:
        entries_NK = (rows_NR.sum(1).abs() * 97).long()[:, None] + torch.arange(count)
        return Nearest(entries_NK % self.values, torch.arange(count).float().expand(len(rows_NR), -1))


def recall_of(mix: float) -> Recall:
    values_M = torch.arange(VOCABULARY).repeat(3)
    return Recall(Known(len(values_M)), values_M, Fixed(Weights(neighbours=4, temperature=2.0, mix=mix)))


@pytest.mark.parametrize("wiring", ["before", "after"])
@torch.no_grad()
def test_a_shortlist_and_the_whole_vocabulary_agree(wiring: str) -> None:
    model = tiny_model(tiny_config("luong-general", attention={"wiring": wiring}))
    inner, run = model.readout, model.new_pass()
    readout = RecallingReadout(inner, recall_of(0.4))
    steps = Steps(0.3 * torch.rand(9, model.decoder.stack[-1].size, dtype=torch.float64))
    tokens_C = torch.tensor([0, 1, 2, 3, 7, 5])
    few = readout.among(tokens_C, run)(steps)
    assert float(few.exp().sum(1).sub(1).abs().max()) < 1e-6
    # With the exact probability of all others, they are those of the whole vocabulary.
    readout = RecallingReadout(Exact(inner), recall_of(0.4))
    few, whole = readout.among(tokens_C, run)(steps), readout.log_probs(steps, run)
    torch.testing.assert_close(few[:, :-1], whole[:, tokens_C], rtol=0, atol=1e-6)
    assert bool((whole != inner.log_probs(steps, run)).all())


class Exact(Readout):
    """Another readout, of which all others than a few come to what they do, and not nearly."""

    def __init__(self, inner: Readout) -> None:
        super().__init__()
        self.inner = inner

    def rows(self, features_NF: Tensor, run: object) -> Tensor:
        return self.inner.rows(features_NF, run)  # type: ignore[arg-type]

    def logits(self, steps: Steps, run: object) -> Tensor:
        return self.inner.logits(steps, run)  # type: ignore[arg-type]


@torch.no_grad()
def test_a_share_of_nothing_is_the_model_bit_for_bit() -> None:
    model = tiny_model(tiny_config("luong-general"))
    run, steps = model.new_pass(), Steps(torch.rand(5, model.decoder.stack[-1].size, dtype=torch.float64))
    readout = RecallingReadout(model.readout, recall_of(0.0))
    assert torch.equal(readout.logits(steps, run), model.readout.logits(steps, run))
    tokens_C = torch.tensor([0, 1, 2, 3])
    few = (one.among(tokens_C, run)(steps) for one in (readout, model.readout))
    assert torch.equal(*few)


# With a trained model.


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


@pytest.fixture(scope="module")
def folder(translator: Translator, tiny_corpus: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of the language's training text."""
    made_in = tmp_path_factory.mktemp("memories") / "tiny"
    remember(translator, tiny_corpus.folder / "train", made_in)
    return made_in


def opened(translator: Translator, folder: Path, **given: float) -> OpenMemory:
    assert translator.run is not None
    return open_memory(translator.run, folder, CPU, Given(**given))  # type: ignore[arg-type]


WAYS: dict[str, tuple[dict[str, int], Sampling | None]] = {
    "greedy": ({"beam": 1}, None),
    "beam": ({"beam": 3}, None),
    "shortlist": ({"beam": 2, "shortlist": 5}, None),
    "sampling": ({"beam": 1}, Sampling()),
    "few": ({"beam": 1}, Sampling(top_k=3)),
    "short": ({"beam": 2, "max_length": 2}, None),
    "long": ({"beam": 2, "min_length": 9}, None),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("precision", ["fp32", pytest.param("int8", marks=NATIVE)])
def test_every_search_takes_a_memory(trained_run: Run, folder: Path, way: str, precision: str) -> None:
    """And one that counts for nothing changes nothing, bit for bit."""
    alone = Translator.load(trained_run.directory, "cpu", precision)
    decoding, sampling = WAYS[way]
    plain = alone.hypotheses(LINES, decoding, sampling)
    nothing = alone.remembering(opened(alone, folder, mix=0.0)).hypotheses(LINES, decoding, sampling)
    for one, other in zip(plain, nothing, strict=True):
        assert [(each.pieces, each.log_prob, each.score) for each in one] == [
            (each.pieces, each.log_prob, each.score) for each in other
        ]
    for mix in (0.5, 1.0):
        found = alone.remembering(opened(alone, folder, mix=mix)).hypotheses(LINES, decoding, sampling)
        assert [len(one) for one in found] == [len(one) for one in plain]
        assert all(math.isfinite(each.log_prob) for one in found for each in one)
        assert found != plain


def test_a_translation_scores_as_it_was_found(translator: Translator, folder: Path) -> None:
    with_it = translator.remembering(opened(translator, folder))
    found = [one[0] for one in with_it.hypotheses(LINES, {"beam": 3})]
    targets = [translator.subwords.tgt.ids(list(one.pieces)) for one in found]
    for one, scored in zip(found, with_it.score_pieces(LINES, targets), strict=True):
        assert scored.log_prob == pytest.approx(one.log_prob, abs=1e-4)


def test_sentences_beside_it_change_nothing(translator: Translator, folder: Path) -> None:
    with_it = translator.remembering(opened(translator, folder))
    together = with_it.hypotheses(LINES, {"beam": 3})
    for line, one in zip(LINES, together, strict=True):
        [alone] = with_it.hypotheses([line], {"beam": 3})
        assert [each.text for each in alone] == [each.text for each in one]
        assert [each.log_prob for each in alone] == pytest.approx([each.log_prob for each in one], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "sections"),
    [
        ("none", {}),
        ("hard", {}),
        ("memory", {}),
        ("bahdanau", {"model": {"encoder": "transformer"}}),
        ("local-p", {"model": {"decoder": "ssru"}}),
        ("multi-head", {"model": {"encoder": "transformer", "decoder": "transformer"}}),
        ("luong-dot", {"model": {"tying": "none"}}),
    ],
)
def test_every_kind_between_any_layers_takes_a_memory(
    translator: Translator, tiny_corpus: TinyCorpus, kind: str, sections: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    """Untrained, what it has in mind in a sentence of the memory is still what it had."""
    config = tiny_corpus.config(attention={"kind": kind}, **sections)
    subwords = translator.subwords
    torch.manual_seed(0)
    model = build(config, len(subwords.src), len(subwords.tgt)).eval()
    assert translator.run is not None
    own = Run(Path(shutil.copytree(translator.run.directory, tmp_path / "run")))
    save_weights(state_of(model), own.best)
    own.config.write_text(config.to_toml())
    untrained = Translator.load(own.directory, "cpu", "fp32")
    text = open_text(str(tiny_corpus.folder / "dev"), "train", "xx", "yy")
    memorise(untrained, text, tmp_path / "m", new_memory(untrained, own, tmp_path / "m", "float32"), quiet)
    weights = Given(neighbours=1, temperature=1e-3, mix=1.0)
    remembering = untrained.remembering(open_memory(own, tmp_path / "m", CPU, weights))
    src, tgt = (list(side) for side in zip(*text.pairs(), strict=True))
    likely = [one.log_prob for one in remembering.score(src, tgt)]
    assert sum(one > -1e-3 for one in likely) > 0.7 * len(likely)  # but where two sentences begin alike
    assert remembering.translate(LINES[:3], {"beam": 2})


def test_keys_are_what_the_vocabulary_is_asked_with(translator: Translator, folder: Path) -> None:
    """In the memory's own sentences the nearest entry is the very one."""
    store = Store.open(folder)
    sentence = store.sentence(5)
    src = translator.subwords.src.encode([sentence.source])
    assert translator.subwords.tgt.decode(sentence.ids) == sentence.target
    assert sentence.ids[-1] == EOS
    keys, values = entries_of(translator, src, [sentence.ids[:-1]])
    assert values.tolist() == sentence.ids
    found = ExactSearch(store, CPU).nearest(torch.from_numpy(keys), 1)
    assert float(found.distances_NK.max()) < 1e-3
    places = store.places(found.entries_NK[:, 0].numpy())
    assert [store.sentence(place.sentence).ids[place.position] for place in places] == sentence.ids


def test_examples_of_many_lines_take_bounded_memory(
    translator: Translator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few lines at a time, of these few logits at a time; and neighbours are looked up once."""
    memory = opened(translator, folder, neighbours=2)
    small = translator.config.decoding.model_copy(update={"batch_tokens": 64})
    config = translator.config.model_copy(update={"decoding": small})
    with_it = replace(translator.remembering(memory), config=config)
    sentences = with_it.sentences(LINES)
    hypotheses = [one[0] for one in with_it.hypotheses(LINES, {"beam": 1})]
    whole = with_it.forced_decoder.with_origins(memory, sentences, hypotheses)
    lines, logits, queries = [], [], []
    for owner, name, counts in (
        (OpenMemory, "origins", lambda forced, subword: lines.append(len(forced.target.real_BT))),
        (type(translator.model.readout), "logits", lambda steps, run: logits.append(len(steps.features_NF))),
        (ExactSearch, "nearest", lambda rows_NR, count: queries.append(len(rows_NR))),
    ):
        monkeypatch.setattr(owner, name, heard(getattr(owner, name), counts))
    monkeypatch.setattr(readout_module, "STEPS", 3)
    told = with_it.forced_decoder.with_origins(memory, sentences, hypotheses)
    assert len(lines) > 4
    assert sum(lines) == len(LINES)
    assert max(logits) == max(queries) == 3
    assert sum(logits) == sum(queries) == sum(len(one.pieces) + 1 for one in hypotheses)
    for one, other in zip(told, whole, strict=True):
        assert one.origins is not None
        assert other.origins is not None
        assert [each.share for each in one.origins] == pytest.approx([each.share for each in other.origins], abs=1e-4)
    queries.clear()
    targets = [with_it.subwords.tgt.ids(list(one.pieces)) for one in hypotheses]
    scored = with_it.score_pieces(LINES, targets)
    assert max(queries) == 3
    assert [one.log_prob for one in scored] == pytest.approx([one.log_prob for one in hypotheses], abs=1e-4)


def heard(function: Callable[..., Any], hear: Callable[..., object]) -> Callable[..., Any]:
    """A method that tells of its arguments."""

    def method(self: object, *given: Any) -> Any:
        hear(*given)
        return function(self, *given)

    return method


def test_a_search_without_examples_reads_nothing_once_more(
    translator: Translator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(translator.model), "forced", lambda *given: pytest.fail("it is read once more"))
    for one in (translator, translator.remembering(opened(translator, folder))):
        assert len(replace(one).hypotheses(LINES[:2], {"beam": 1})) == 2


def test_the_digest_tells_all_settings_apart(translator: Translator, folder: Path) -> None:
    """Also those that are shown as the same number."""
    digests = [
        opened(translator, folder, **given).digest
        for given in ({"mix": 0.1234}, {"mix": 0.12341}, {"temperature": 3.0}, {"temperature": 3.0001})
    ]
    assert len(set(digests)) == 4
    assert opened(translator, folder, mix=0.1234).digest == digests[0]
    memory = opened(translator, folder)
    torch.manual_seed(0)
    for network in (first := Adaptive(4, 2.5), Adaptive(4, 2.5), Adaptive(4, 2.50001)):
        if network is not first:
            network.load_state_dict(first.state_dict())
        if network.temperature == 2.5 and network is not first:
            with torch.no_grad():
                network.output.bias[0] += 1e-6
        digests.append(replace(memory, recall=replace(memory.recall, weighing=network)).digest)
    assert len(set(digests)) == 7


def test_a_memory_opens_its_texts_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening: list[Path] = []
    mapped_file = store_module._mapped

    def watched(path: Path, size: int) -> np.ndarray:
        opening.append(path)
        return mapped_file(path, size)

    monkeypatch.setattr(store_module, "_mapped", watched)
    store = Store.open(folder)
    assert len({store.sentence(number).source for number in range(9)}) > 1
    assert opening == [store.files.source, store.files.target]


def test_where_a_piece_came_from(translator: Translator, folder: Path) -> None:
    with_it = translator.remembering(opened(translator, folder, neighbours=4, mix=0.6))
    [hypotheses] = with_it.search(
        [replace(one, details=replace(one.details, origins=True)) for one in with_it.sentences(["ta nu ki"])]
    )
    for hypothesis in hypotheses:
        assert hypothesis.origins is not None
        assert len(hypothesis.origins) == len(hypothesis.pieces) + 1
        for piece, origin in zip((*hypothesis.pieces, "</s>"), hypothesis.origins, strict=True):
            assert 0 <= origin.share <= 1
            assert len(origin.examples) == 4
            assert sum(one.weight for one in origin.examples) == pytest.approx(0.6, abs=1e-5)
            agreeing = [one.piece == piece for one in origin.examples]
            assert agreeing == sorted(agreeing, reverse=True)
            if not any(agreeing):
                assert origin.share == 0
            for one in origin.examples:
                assert one.piece == one.pieces[one.position]
                assert one.pieces[-1] == "</s>"
    best = hypotheses[0].origins
    assert best is not None
    assert max(origin.share for origin in best) > 0.3
