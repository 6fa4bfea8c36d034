"""A search among few target pieces: which these are, what is left to all others, where they are kept."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Terminal
from corpora import WORDS, TinyCorpus, sentences, translation
from hypothesis import given
from hypothesis import strategies as st
from models import assert_same, tiny_config, tiny_model, vocabulary_of

from seq2seq_cli.data import shortlist
from seq2seq_cli.data.pairs import LineFiles
from seq2seq_cli.data.shortlist import NONE, Likeliest
from seq2seq_cli.data.subword import EOS
from seq2seq_cli.decoding.shortlist import shortlist_of
from seq2seq_cli.decoding.translator import Sampling, Translator
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.errors import DamagedError, RunError, UnsearchableError
from seq2seq_cli.model.readout import Others, Readout
from seq2seq_cli.model.types import Steps
from seq2seq_cli.model.weights import save_weights
from seq2seq_cli.runs import Run
from seq2seq_cli.serving.models import load_runs

LINES = sentences(20, seed=9)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny vocabulary has fewer pieces than are common in a large one."""
    monkeypatch.setattr(shortlist, "COMMON", 2)
    monkeypatch.setattr(shortlist, "ROUND", 4)


@pytest.fixture
def run(trained_run: Run, tmp_path: Path) -> Run:
    """A copy to write into, without what searches of other tests have made there."""
    without = shutil.ignore_patterns("shortlist*")
    return Run(Path(shutil.copytree(trained_run.directory, tmp_path / "copy", ignore=without)))


@pytest.fixture
def translator(run: Run) -> Translator:
    return Translator.load(run.directory, precision="fp32")


def test_the_translation_of_a_word_is_among_the_likeliest(translator: Translator, tmp_path: Path) -> None:
    lines = sentences(200, seed=5)
    (tmp_path / "a").write_text("\n".join(lines))
    (tmp_path / "b").write_text("\n".join(map(translation, lines)))
    likeliest = Likeliest.learned(LineFiles(tmp_path / "a", tmp_path / "b"), 200, translator.subwords, 100)
    assert likeliest.fits(translator.subwords)
    encode = translator.subwords.src.encode
    alone = {src: tgt for src, tgt in WORDS.items() if [len(ids) for ids in encode([src, tgt])] == [1, 1]}
    assert len(alone) > 3
    for src, tgt in alone.items():
        [source], [target] = encode([src, tgt])
        # After the piece itself, which a joint vocabulary copies.
        assert likeliest.by_source[source, :2].tolist() == [source, target]


@given(
    vocabulary=st.integers(10, 60),
    count=st.integers(1, 100),
    seed=st.integers(0, 9),
    sources=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=4),
)
def test_what_is_considered(vocabulary: int, count: int, seed: int, sources: list[list[int]]) -> None:
    random = np.random.default_rng(seed)
    by_source = np.stack([random.permutation(vocabulary)[:8] for _ in range(10)])
    by_source[:, 5:] = NONE
    by_count = random.permutation(vocabulary)
    found = Likeliest(by_source, by_count).among(sources, count).tolist()
    likeliest = {int(token) for ids in sources for source in ids for token in by_source[source, : min(count, 5)]}
    assert found == sorted(set(found))
    assert {*range(EOS + 1), *likeliest, *by_count[: shortlist.COMMON].tolist()} <= set(found)
    assert (len(found) + 1) % shortlist.ROUND == 0 or len(found) == vocabulary


def test_a_multiple_is_filled_up_with_the_most_frequent(few: None) -> None:
    likeliest = Likeliest(np.array([[9, 8, NONE]]), np.array([11, 10, 7, 6, 5, 4, 3, 2, 1, 0, 8, 9]))
    # The special ones, the two common ones, one of the first source piece: 7 and one for all others.
    assert likeliest.among([[0]], 1).tolist() == [0, 1, 2, 3, 9, 10, 11]
    # With another one they are 8, and three more make 11.
    assert likeliest.among([[0, 0]], 2).tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]


def test_what_the_others_come_to() -> None:
    generator = torch.Generator().manual_seed(0)
    row_R = torch.randn(6, generator=generator, dtype=torch.float64)

    def estimate(matrix_MR: torch.Tensor, bias_M: torch.Tensor) -> float:
        others = Others.of(matrix_MR, bias_M)
        return float(others.constant + others.linear_R @ row_R + row_R @ others.quadratic_RR @ row_R)

    # By hand: four equal logits of 2, and one alone.
    assert estimate(torch.zeros(4, 6).double(), torch.full((4,), 2.0).double()) == pytest.approx(2 + math.log(4))
    assert estimate(row_R[None], torch.ones(1).double()) == pytest.approx(float(row_R @ row_R) + 1)
    # Spread as a normal distribution is, biases along with the rest.
    matrix_MR = 0.4 * torch.randn(20_000, 6, generator=generator, dtype=torch.float64) + 0.3
    bias_M = 0.5 * torch.randn(20_000, generator=generator, dtype=torch.float64) + matrix_MR[:, 0]
    exact = float((matrix_MR @ row_R + bias_M).logsumexp(0))
    assert estimate(matrix_MR, bias_M) == pytest.approx(exact, abs=0.1)


@pytest.mark.parametrize("wiring", ["before", "after"])
@torch.no_grad()
def test_the_logits_of_few_tokens(wiring: str) -> None:
    """Their own, and of all others nearly what any other readout computes of all logits."""
    model = tiny_model(tiny_config("luong-general", attention={"wiring": wiring}))
    readout, run, tokens_C = vocabulary_of(model), model.new_pass(), torch.tensor([0, 1, 2, 3, 7, 5])
    steps = Steps(0.3 * torch.rand(9, model.decoder.stack[-1].size, dtype=torch.float64))
    logits_NV = readout.logits(steps, run)
    exact = Readout.among(readout, tokens_C, run)(steps)
    assert_same(exact[:, :-1], logits_NV[:, tokens_C])
    assert_same(exact.logsumexp(1), logits_NV.logsumexp(1))
    few = readout.among(tokens_C, run)(steps)
    assert_same(few[:, :-1], exact[:, :-1])
    assert (few[:, -1] - exact[:, -1]).abs().max() < 0.2


def test_translations_are_those_of_the_whole_vocabulary(translator: Translator, few: None) -> None:
    """As long as what they are made of is among the likeliest; and are scored as nearly."""
    whole = translator.hypotheses(LINES, {"beam": 3})
    among = translator.hypotheses(LINES, {"beam": 3, "shortlist": 12})
    sources = [translator.subwords.src.encode([line])[0] for line in LINES]
    assert translator.run is not None
    considered = shortlist_of(translator.run, translator.config, translator.subwords).among(sources, 12)
    assert len(considered) < len(translator.subwords.tgt)
    pairs = list(zip(whole, among, strict=True))
    assert sum(one[0].text == other[0].text for one, other in pairs) > 0.9 * len(LINES)
    for one, other in pairs:
        if one[0].text == other[0].text:
            assert other[0].score == pytest.approx(one[0].score, abs=0.1)
        for hypothesis in other:
            assert set(translator.subwords.tgt.ids(list(hypothesis.pieces))) <= set(considered.tolist())


@pytest.mark.parametrize(
    "wanted",
    [{"beam": 1}, {"min_length": 7}, {"beam": 1, "sampled": 1.0}, {"beam": 1, "sampled": 0.5, "top_k": 3}],
    ids=lambda wanted: "-".join(wanted),
)
def test_every_way_to_search(translator: Translator, few: None, wanted: dict[str, float]) -> None:
    """Nothing that may not be written is: neither the special pieces nor the token that stands for all others."""
    sampling = Sampling(wanted["sampled"], int(wanted.get("top_k", 0))) if "sampled" in wanted else None
    decoding = {name: int(value) for name, value in wanted.items() if name in ("beam", "min_length")}
    found = translator.hypotheses(LINES, {**decoding, "shortlist": 3}, sampling, replace_unknown=True)
    for hypotheses in found:
        for one in hypotheses:
            assert not {"<pad>", "<s>", "</s>"} & set(one.pieces)
            assert len(one.pieces) >= decoding.get("min_length", 0)
            assert math.isfinite(one.log_prob)
            assert one.alignment is not None
            assert one.alignment.weights_TS.shape[0] == len(one.pieces) + 1


def test_a_beam_may_be_wider_than_the_list(translator: Translator, few: None) -> None:
    sources = translator.subwords.src.encode(LINES[:2])
    assert translator.run is not None
    considered = shortlist_of(translator.run, translator.config, translator.subwords).among(sources, 1)
    found = translator.hypotheses(LINES[:2], {"beam": len(considered) + 5, "shortlist": 1, "max_length": 3})
    assert all(math.isfinite(one.log_prob) for hypotheses in found for one in hypotheses)


@pytest.mark.parametrize("sampling", [None, Sampling(), Sampling(top_k=3)])
def test_probabilities_that_are_no_numbers_are_told(
    translator: Translator, few: None, sampling: Sampling | None
) -> None:
    with torch.no_grad():
        vocabulary_of(translator.model).bias_V.fill_(math.nan)
    with pytest.raises(UnsearchableError):
        translator.hypotheses(LINES, {"beam": 1, "shortlist": 3}, sampling)


def test_given_translations_are_scored_by_the_whole_vocabulary(translator: Translator, few: None) -> None:
    targets = list(map(translation, LINES))
    before = [one.log_prob for one in translator.score(LINES, targets)]
    decoding = translator.config.decoding.model_copy(update={"shortlist": 1})
    other = replace(translator, config=translator.config.model_copy(update={"decoding": decoding}))
    assert [one.log_prob for one in other.score(LINES, targets)] == before


def test_it_is_learned_once_and_kept(run: Run, translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run.shortlist.exists()
    made = shortlist_of(run, translator.config, translator.subwords)
    assert run.shortlist.is_file()
    monkeypatch.setattr(Likeliest, "learned", None)
    read = shortlist_of(run, translator.config, translator.subwords)
    for one, other in zip(made, read, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever may write everywhere")
def test_where_it_cannot_be_kept_it_is_used_all_the_same(run: Run, translator: Translator) -> None:
    run.directory.chmod(0o500)
    try:
        assert translator.translate(LINES, {"shortlist": 5})
    finally:
        run.directory.chmod(0o700)
    assert not run.shortlist.exists()


def test_a_damaged_one_is_recognised(run: Run, translator: Translator) -> None:
    made = shortlist_of(run, translator.config, translator.subwords)
    data = bytearray(run.shortlist.read_bytes())
    data[-1] ^= 1
    run.shortlist.write_bytes(data)
    with pytest.raises(DamagedError, match="does not match its checksum") as caught:
        shortlist_of(run, translator.config, translator.subwords)
    assert "Delete it" in str(caught.value)
    for other in (made._replace(by_count=made.by_count[:-1]), made._replace(by_source=made.by_source + 60)):
        save_weights({name: torch.from_numpy(field) for name, field in other._asdict().items()}, run.shortlist)
        with pytest.raises(DamagedError, match="not of this run's pieces"):
            shortlist_of(run, translator.config, translator.subwords)


def test_the_training_text_is_needed_once(terminal: Terminal, run: Run, tmp_path: Path) -> None:
    corpus = TinyCorpus.write(tmp_path / "text")
    settings = corpus.config().to_toml()
    run.config.write_text(settings)
    command = ("translate", "--run", run.directory, "--shortlist", 5)
    train = corpus.folder / "train.xx"
    text = train.read_bytes()
    train.write_bytes(text.replace(b"ta", b"ki"))
    assert "it has changed since this run was trained" in terminal.refused(*command, stdin=b"ta nu\n")
    train.unlink()
    said = terminal.refused(*command, stdin=b"ta nu\n")
    assert "has no shortlist yet" in said
    assert "Ask for it once where the training text is" in said
    train.write_bytes(text)
    here = terminal.ok(*command, stdin=b"ta nu\n").out
    shutil.rmtree(corpus.folder)
    assert terminal.ok(*command, stdin=b"ta nu\n").out == here
    run.shortlist.unlink()
    run.info.write_text("{}")
    TinyCorpus.write(corpus.folder)
    assert "does not say which text that was" in terminal.refused(*command, stdin=b"ta nu\n")


def test_a_server_has_it_before_it_serves(run: Run, translator: Translator, tmp_path: Path) -> None:
    decoding = translator.config.decoding.model_copy(update={"shortlist": 5})
    run.config.write_text(translator.config.model_copy(update={"decoding": decoding}).to_toml())
    load_runs([run.directory], "cpu", "fp32")
    assert run.shortlist.is_file()
    run.shortlist.unlink()
    gone = TinyCorpus(tmp_path / "gone").config()
    run.config.write_text(gone.model_copy(update={"decoding": decoding}).to_toml())
    with pytest.raises(RunError, match="has no shortlist yet"):
        load_runs([run.directory], "cpu", "fp32")


def test_an_output_is_not_emptied_before_that_is_known(terminal: Terminal, run: Run, tmp_path: Path) -> None:
    run.config.write_text(TinyCorpus(tmp_path / "gone").config().to_toml())
    (tmp_path / "in").write_text("ta nu\n")
    (tmp_path / "out").write_text("of yesterday\n")
    terminal.refused("translate", tmp_path / "in", "-o", tmp_path / "out", "--run", run.directory, "--shortlist", 5)
    assert (tmp_path / "out").read_text() == "of yesterday\n"


def test_results_say_so(terminal: Terminal, run: Run) -> None:
    terminal.ok("eval", run.directory, "--shortlist", 7, "--latex", run.directory / "scores.tex")
    assert "shortlist 7" in (run.directory / "scores.tex").read_text()
    assert "--shortlist" in terminal.refused("eval", run.directory, "--shortlist", 101)


def test_what_an_interrupted_translation_is_known_by(translator: Translator) -> None:
    """Translations that were begun before there was a shortlist go on."""
    plain = translator.config.decoding
    assert "shortlist" not in Wanted(plain).to_json()["decoding"]  # type: ignore[operator]
    with_it = Wanted(plain.model_copy(update={"shortlist": 9})).to_json()["decoding"]
    assert with_it["shortlist"] == 9  # type: ignore[index]


def test_a_model_in_training_has_none(translator: Translator, few: None) -> None:
    bare = replace(translator, run=None)
    assert bare.translate(LINES, {"shortlist": 1}) == bare.translate(LINES)
    moved = replace(translator, run=Run(Path("nowhere")))
    with pytest.raises(RunError):
        moved.translate(LINES, {"shortlist": 1})
