"""How much neighbours are to count: chosen by likelihood, and learned at each step."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus, sentences, translation, write_lines
from hypothesis import given
from hypothesis import strategies as st
from memories import quiet, remember
from torch import Tensor

from seq2seq_cli.data.corpora import open_text
from seq2seq_cli.decoding.recalling import Given, open_memory
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.decoding.tuning import HELD_OUT, Read, choose, learn, likeliest_mix, read_text
from seq2seq_cli.errors import DamagedError
from seq2seq_cli.neighbours.layout import MemoryFiles, Weights, read_record
from seq2seq_cli.neighbours.weighing import Adaptive, Fixed, load_adaptive, save_adaptive
from seq2seq_cli.runs import Run

CPU = torch.device("cpu")


def read_of(log_prob_T: Tensor, distances_TK: Tensor, right_TK: Tensor) -> Read:
    """Positions whose neighbours have the right value or another one."""
    positions = torch.arange(len(log_prob_T))
    return Read(log_prob_T, distances_TK, torch.where(right_TK, 1, 0), torch.ones_like(positions), positions)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_the_likeliest_share(both: list[tuple[float, float]]) -> None:
    """No other share makes the pieces likelier."""
    model_T, memory_T = torch.tensor(both, dtype=torch.float64).T
    found = likeliest_mix(model_T, memory_T)

    def likelihood(mix: float) -> float:
        return float((mix * memory_T + (1 - mix) * model_T).log().mean())

    assert 0 <= found <= 1
    assert likelihood(min(found, 1 - 1e-9)) >= max(likelihood(step / 50) for step in range(50)) - 0.02


def test_a_share_by_hand() -> None:
    # Likelihood (lambda / 2 + 1 / 4 (1 - lambda)) times (1 - lambda): (1 + lambda)(1 - lambda) / 4, largest at nothing.
    assert likeliest_mix(torch.tensor([0.25, 1.0]), torch.tensor([0.5, 0.0])) < 0.05
    # (1 - lambda) / 10 + lambda, against 0.9 (1 - lambda): (1 + 9 lambda)(1 - lambda), largest at 4 / 9.
    assert likeliest_mix(torch.tensor([0.1, 0.9]), torch.tensor([1.0, 0.0])) == pytest.approx(4 / 9, abs=1e-3)


def test_the_temperature_that_is_needed() -> None:
    """The nearest neighbour is right, and others, not much farther, are wrong: T must be small. And fewer neighbours do."""
    generator = torch.Generator().manual_seed(0)
    distances_TK = 1 + torch.rand(200, 32, generator=generator).sort(1).values
    distances_TK[:, 0] = 0.5
    right_TK = torch.zeros(200, 32, dtype=torch.bool)
    right_TK[:, 0] = True
    found = choose(read_of(torch.full((200,), math.log(0.01)), distances_TK, right_TK), 4.0)
    assert found.weights.temperature < 0.3
    assert found.weights.mix > 0.95
    assert found.weights.neighbours == 2
    assert found.loss < 0.1


def test_a_memory_that_is_never_right_does_not_count() -> None:
    distances_TK = torch.ones(50, 4)
    found = choose(read_of(torch.full((50,), math.log(0.5)), distances_TK, torch.zeros(50, 4, dtype=torch.bool)), 1.0)
    assert found.weights.mix == 0
    assert found.loss == pytest.approx(math.log(2), abs=1e-4)


def test_the_network_learns_when_to_trust_the_memory() -> None:
    """Near neighbours are right and far ones wrong, which no fixed share can know."""
    generator = torch.Generator().manual_seed(1)
    near_T = torch.rand(240, generator=generator) < 0.5
    distances_TK = torch.where(near_T[:, None], 1.0, 30.0) + torch.rand(240, 4, generator=generator).sort(1).values
    read = read_of(torch.full((240,), math.log(0.3)), distances_TK, near_T[:, None].expand(-1, 4))
    weights = choose(read, 2.0).weights
    learned = learn(read, weights, quiet)
    assert learned is not None
    network, held = learned.network, read.of(read.sentence_T % HELD_OUT == 0).nearest(weights.neighbours)
    # What is told of it is of sentences that it did not learn from.
    assert learned.loss == pytest.approx(float(held.loss(network)))
    assert learned.fixed_loss == pytest.approx(float(held.loss(Fixed(weights))))
    with torch.no_grad():
        fixed, adaptive = (float(read.nearest(weights.neighbours).loss(one)) for one in (Fixed(weights), network))
        shares_T = network(*(x[:, : weights.neighbours] for x in (read.distances_TK, read.values_TK))).sum(1)
    assert adaptive < fixed - 0.1
    assert float(shares_T[near_T].mean()) > 0.9
    assert float(shares_T[~near_T].mean()) < 0.1


def test_of_one_sentence_no_network_is_learned() -> None:
    """Nothing could tell whether it is any good."""
    read = read_of(torch.full((9,), -1.0), torch.rand(9, 4), torch.ones(9, 4, dtype=torch.bool))
    one = read._replace(sentence_T=torch.zeros(9, dtype=torch.long))
    assert learn(one, Weights(neighbours=4, temperature=1.0, mix=0.5), quiet) is None


def test_a_network_is_kept_and_read(tmp_path: Path) -> None:
    network = Adaptive(4, 2.5)
    save_adaptive(network, tmp_path / "a")
    read = load_adaptive(tmp_path / "a", 4)
    distances, values = torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([[1, 1, 2, 3]])
    assert torch.equal(read(distances, values), network(distances, values))
    with pytest.raises(DamagedError, match="it is no network of this memory"):
        load_adaptive(tmp_path / "a", 8)
    with pytest.raises(DamagedError, match=r"is missing\.\nTrain it anew: `seq2seq memory tune --adaptive`"):
        load_adaptive(tmp_path / "none", 4)
    for spoil in ({"temperature": torch.tensor([-1.0])}, {"output.bias": torch.full((4,), math.nan)}):
        from seq2seq_cli.model.weights import save_weights

        tensors = {name: parameter.detach() for name, parameter in network.named_parameters()}
        save_weights(tensors | {"temperature": torch.tensor([2.5])} | spoil, tmp_path / "b")
        with pytest.raises(DamagedError, match="is damaged"):
            load_adaptive(tmp_path / "b", 4)


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


@pytest.fixture
def folder(translator: Translator, tiny_corpus: TinyCorpus, tmp_path: Path) -> Path:
    directory = tmp_path / "m"
    remember(translator, tiny_corpus.folder / "train", directory)
    return directory


def test_what_is_read_is_what_scores_say(translator: Translator, folder: Path, tiny_corpus: TinyCorpus) -> None:
    """Its loss is minus the mean log-probability of the pieces, by the model alone and with the memory."""
    assert translator.run is not None
    weights = Weights(neighbours=8, temperature=3.0, mix=0.4)
    memory = open_memory(translator.run, folder, CPU, Given(*weights.model_dump().values()))
    text = open_text(str(tiny_corpus.folder / "dev"), "dev", "xx", "yy")
    read = read_text(translator, memory, text, quiet).nearest(8)
    src, tgt = (list(side) for side in zip(*text.pairs(), strict=True))
    for one, share in ((translator, 0.0), (translator.remembering(memory), 0.4)):
        scored = one.score(src, tgt)
        total, pieces = sum(each.log_prob for each in scored), sum(len(each.pieces) + 1 for each in scored)
        assert len(read.says_T) == pieces
        loss = float(read.loss(Fixed(weights.model_copy(update={"mix": share}))))
        assert loss == pytest.approx(-total / pieces, abs=1e-4)


def test_a_memory_is_tuned(
    terminal: Terminal, trained_run: Run, folder: Path, tiny_corpus: TinyCorpus, tmp_path: Path
) -> None:
    run, files = ("--run", trained_run.directory), MemoryFiles(folder)
    dev = ("--dev", tiny_corpus.folder / "dev", "--src", "xx", "--tgt", "yy")
    facts = dict(line.split("\t") for line in terminal.ok("memory", "tune", folder, *run, *dev).out.splitlines())
    assert float(facts["perplexity with the memory"]) <= float(facts["perplexity alone"])
    record = read_record(files)
    assert record.weights is not None
    assert facts["neighbours"] == str(record.weights.neighbours)
    assert "not tuned" not in terminal.ok("translate", *run, "--memory", folder, stdin=b"ta\n").err
    # Of every two sentences the memory knows one to the letter and is wrong about the other: that can be learned.
    known = (tiny_corpus.folder / "train.xx").read_text().splitlines()[:40]
    write_lines(tmp_path / "both.xx", [one for pair in zip(known, sentences(40, seed=3), strict=True) for one in pair])
    wrong = [" ".join(reversed(translation(one).split())) + " la" for one in sentences(40, seed=4)]
    write_lines(
        tmp_path / "both.yy", [one for pair in zip(map(translation, known), wrong, strict=True) for one in pair]
    )
    both = ("--dev", tmp_path / "both", "--src", "xx", "--tgt", "yy")
    tuned = terminal.ok("memory", "tune", folder, *run, *both, "--adaptive")
    learned = read_record(files).tuned
    assert learned is not None
    assert learned.adaptive is not None
    assert learned.mixed_unseen is not None
    assert learned.adaptive < learned.mixed_unseen
    assert f"has not seen: with the network\t{learned.adaptive:.3f}" in tuned.out
    assert files.adaptive.exists()
    with_it = terminal.ok("translate", *run, "--memory", folder, stdin=b"ta\n")
    assert "chosen at each step by a network" in with_it.err
    assert "lambda 0.3" in terminal.ok("translate", *run, "--memory", folder, "--lambda", 0.3, stdin=b"ta\n").err
    for side in ("xx", "yy"):
        write_lines(tmp_path / f"one.{side}", ["ta" if side == "xx" else translation("ta")])
    alone = terminal.ok("memory", "tune", folder, *run, "--dev", tmp_path / "one", "--adaptive")
    assert "No network is kept" in alone.err
    assert not files.adaptive.exists()
    save_adaptive(Adaptive(4, 2.5), files.adaptive)
    terminal.ok("memory", "add", folder, *run, *("--train", tiny_corpus.folder / "dev"))
    assert read_record(files).tuned is None
    assert not files.adaptive.exists()
    for side in ("xx", "yy"):
        write_lines(tmp_path / f"long.{side}", ["ta " * 200])
    assert "no pair has two sides" in terminal.refused("memory", "tune", folder, *run, "--dev", tmp_path / "long")
