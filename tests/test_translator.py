"""From lines to translations: nothing lost, nothing mixed up, whatever the lines hold and however they are batched."""

import copy
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Terminal
from corpora import TinyCorpus, sentences, translation
from models import layer_of, vocabulary_of

from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.sections import DecodingConfig, SubwordConfig
from seq2seq_cli.data.subword import END, UNK, Subwords, train_subword
from seq2seq_cli.decoding.forced_decoding import Scoring
from seq2seq_cli.decoding.hypothesis import Hypothesis, Role
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.decoding.translator import Sampling, Translator
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.kinds.attentions import KINDS, find
from seq2seq_cli.model.build import build
from seq2seq_cli.runs import Run

LINES = sentences(20, seed=9)
ODD = [
    "ta nu ki", "", "   ", "\0", "ta\0nu", "\u2028", "ta\u2028nu\x85ki", "\r", "ta\rnu", "\u200b\ufeff", "ta " * 150,
    "🙂 ta 👩‍👩‍👧", "مرحبا ta", "日本語", "x" * 400, "e\u0301", "umgekehrt", "\t po", "ta nu ki",
]  # fmt: skip
BLANK = {"", "   ", "\0", "\u2028", "\r", "\u200b\ufeff"}


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, precision="fp32")


@pytest.fixture(scope="module")
def exact(translator: Translator) -> Translator:
    """The same model in float64."""
    return replace(translator, model=copy.deepcopy(translator.model).double())


def untrained(translator: Translator, kind: str, **attention: object) -> Translator:
    """Another model over the same pieces, with weights large enough to have opinions."""
    values = translator.config.model_dump() | {"attention": {"kind": kind, **attention}}
    config = from_dict(values)
    torch.manual_seed(3)
    model = build(config, len(translator.subwords.src), len(translator.subwords.tgt)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return replace(translator, model=model, config=config)


def settings(translator: Translator, **changes: object) -> DecodingConfig:
    return translator.config.decoding.model_copy(update=changes)


def target_ids(translator: Translator, hypothesis: Hypothesis) -> list[int]:
    return translator.subwords.tgt.ids(list(hypothesis.pieces))


def test_it_has_learned_something_of_the_language(translator: Translator) -> None:
    right = sum(out == translation(line) for line, out in zip(LINES, translator.translate(LINES), strict=True))
    assert right >= len(LINES) / 4  # by chance, none


def test_every_line_has_its_translation_in_its_place(translator: Translator) -> None:
    decoding = settings(translator, max_length=20)
    translations = translator.translate(ODD, decoding)
    assert len(translations) == len(ODD)
    for line, found in zip(ODD, translations, strict=True):
        assert found == translator.translate([line], decoding)[0], repr(line)
        assert "\n" not in found
    assert [found for line, found in zip(ODD, translations, strict=True) if line in BLANK] == [""] * len(BLANK)
    assert translations[0] == translations[-1] != ""
    assert translator.translate([]) == []


def test_a_blank_line_is_one_empty_hypothesis(translator: Translator) -> None:
    assert translator.hypotheses([""]) == [[Hypothesis("", (), 0.0, 0.0, None)]]


@pytest.mark.parametrize("beam", [1, 4])
def test_batches_of_any_size_give_the_same(translator: Translator, beam: int) -> None:
    alone, three, together = (
        translator.hypotheses(LINES, settings(translator, beam=beam, batch_tokens=tokens)) for tokens in (1, 100, 10**6)
    )
    for one, few, many in zip(alone, three, together, strict=True):
        assert [hypothesis.pieces for hypothesis in one] == [hypothesis.pieces for hypothesis in few]
        assert [hypothesis.pieces for hypothesis in one] == [hypothesis.pieces for hypothesis in many]
        for first, second in zip(one, many, strict=True):
            assert first.score == pytest.approx(second.score, abs=1e-4)
            assert first.alignment is not None
            assert second.alignment is not None
            np.testing.assert_allclose(first.alignment.weights_TS, second.alignment.weights_TS, atol=1e-4)


def test_nbest_is_sorted_and_without_doubles(translator: Translator) -> None:
    for candidates in translator.hypotheses(LINES, settings(translator, beam=5, length_penalty=0.6)):
        scores = [hypothesis.score for hypothesis in candidates]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.pieces for hypothesis in candidates}) == 5
        for hypothesis in candidates:
            assert hypothesis.score == pytest.approx(hypothesis.log_prob / (len(hypothesis.pieces) + 1) ** 0.6)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_forced_scores_are_the_searchs_own(translator: Translator, exact: Translator, alpha: float) -> None:
    for each, tolerance in ((translator, 1e-4), (exact, 1e-9)):
        nbest = each.hypotheses(LINES, settings(each, beam=4, length_penalty=alpha))
        pairs = [(line, hypothesis) for line, found in zip(LINES, nbest, strict=True) for hypothesis in found]
        forced = each.score_pieces(
            [line for line, _ in pairs], [target_ids(each, found) for _, found in pairs], Scoring(alpha)
        )
        for (_, found), scored in zip(pairs, forced, strict=True):
            assert scored.pieces == found.pieces
            assert scored.text == found.text
            assert scored.score == pytest.approx(found.score, abs=tolerance)
            assert scored.log_prob == pytest.approx(found.log_prob, abs=20 * tolerance)


ATTENDING = [kind.name for kind in KINDS if kind.attends]


@pytest.mark.parametrize("kind", ATTENDING)
def test_beam_search_keeps_where_each_hypothesis_looked(translator: Translator, kind: str) -> None:
    """Its alignment is that of forced decoding: no row of another hypothesis or sentence."""
    local = {} if find(kind).window == "global" else {"radius": 2}
    model = untrained(translator, kind, **local)
    decoding = settings(model, beam=4, max_length=8, batch_tokens=200)
    lines = LINES[:8]
    for line, candidates in zip(lines, model.hypotheses(lines, decoding), strict=True):
        forced = model.score_pieces([line] * len(candidates), [target_ids(model, found) for found in candidates])
        for found, scored in zip(candidates, forced, strict=True):
            assert found.alignment is not None
            assert scored.alignment is not None
            source = (*model.subwords.src.pieces(model.subwords.src.encode([line])[0]), END)
            assert found.alignment.source_pieces == source
            assert found.alignment.target_pieces == (*found.pieces, END)
            weights = found.alignment.weights_TS
            assert weights.shape == (len(found.pieces) + 1, len(source))
            assert weights.dtype == np.float32
            np.testing.assert_allclose(weights, scored.alignment.weights_TS, atol=1e-5)
            if local:
                assert found.alignment.radius == 2
                assert found.alignment.centre_T is not None
                assert scored.alignment.centre_T is not None
                np.testing.assert_allclose(found.alignment.centre_T, scored.alignment.centre_T, atol=1e-4)
            else:
                assert found.alignment.radius is None
                assert found.alignment.centre_T is None
            if kind != "local-p":  # whose Gaussian is laid over the softmax
                np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_one_head_may_be_looked_at(translator: Translator) -> None:
    model = untrained(translator, "multi-head", heads=2)
    sentence, decoding = model.sentences(["ta nu ki"]), settings(model, beam=2, max_length=5)
    found = model.search(sentence, decoding)[0][0]
    attentions = model.forced_decoder.looked_into(sentence, [found])[0].attentions
    assert attentions is not None
    layers = model.attention_layers
    heads = [layers.pick(Role.CROSS, None, head).of(attentions).weights_TS for head in (1, 2)]
    assert found.alignment is not None
    np.testing.assert_allclose(sum(heads) / 2, found.alignment.weights_TS, atol=1e-5)
    assert np.abs(heads[0] - heads[1]).max() > 0.01
    with pytest.raises(ConfigError, match=r"there is no head 3: this model's attention has 2 heads\."):
        layers.pick(Role.CROSS, None, 3)
    with pytest.raises(ConfigError, match="has no heads of which one could be shown"):
        translator.attention_layers.pick(Role.CROSS, None, 1)


def test_a_model_without_attention_has_no_alignment(translator: Translator) -> None:
    model = untrained(translator, "none")
    found = model.hypotheses(["ta nu"], settings(model, beam=2, max_length=5))[0]
    assert len(found) == 2
    assert all(hypothesis.alignment is None for hypothesis in found)


def test_lengths_are_kept_within_their_bounds(translator: Translator) -> None:
    for beam in (1, 3):
        long = translator.hypotheses(LINES, settings(translator, beam=beam, min_length=9))
        assert all(len(hypothesis.pieces) >= 9 for found in long for hypothesis in found)
        short = translator.hypotheses(LINES, settings(translator, beam=beam, max_length=2))
        assert all(len(hypothesis.pieces) <= 2 for found in short for hypothesis in found)
        exactly = translator.hypotheses(LINES, settings(translator, beam=beam, min_length=3, max_length=3))
        assert all(len(hypothesis.pieces) == 3 for found in exactly for hypothesis in found)


def test_a_least_length_lifts_the_limit(translator: Translator) -> None:
    for beam in (1, 3):  # without it 2 * 1 + 20, or a few more
        for found in translator.hypotheses(["ta"], settings(translator, beam=beam, min_length=40)):
            assert [len(hypothesis.pieces) for hypothesis in found] == [40] * beam


def test_without_a_limit_a_translation_has_twice_the_sources_pieces_and_20(translator: Translator) -> None:
    endless = untrained(translator, "luong-dot")
    with torch.no_grad():
        vocabulary_of(endless.model).bias_V[3] = -1e4  # </s> only where nothing else may come
    (found,) = endless.hypotheses(["ta nu ki"], settings(endless, beam=1))[0]
    assert len(found.pieces) == 2 * len(endless.subwords.src.encode(["ta nu ki"])[0]) + 20


def test_padding_and_beginnings_are_never_written(translator: Translator) -> None:
    eager = untrained(translator, "bahdanau")
    with torch.no_grad():
        vocabulary_of(eager.model).bias_V[[0, 2]] = 1e4
    for beam in (1, 3):
        for found in eager.hypotheses(LINES[:5], settings(eager, beam=beam, max_length=6)):
            assert all({"<pad>", "<s>"}.isdisjoint(hypothesis.pieces) for hypothesis in found)


def test_samples_come_from_their_seed(translator: Translator) -> None:
    def drawn(seed: int, **options: float) -> list[tuple[str, ...]]:
        sampling = Sampling(seed=seed, **options)  # type: ignore[arg-type]
        return [found[0].pieces for found in translator.hypotheses(LINES, sampling=sampling)]

    hot = drawn(1, temperature=3.0)
    assert hot == drawn(1, temperature=3.0) != drawn(2, temperature=3.0)
    greedy = [found[0].pieces for found in translator.hypotheses(LINES, settings(translator, beam=1))]
    assert hot != greedy
    assert drawn(1, top_k=1) == greedy
    assert drawn(5, temperature=0.001) == greedy


def test_what_is_drawn_for_a_line_goes_by_its_number_and_not_by_the_lines_around_it(translator: Translator) -> None:
    def drawn(found: list[Sentence]) -> list[tuple[str, ...]]:
        return [one[0].pieces for one in translator.search(found, sampling=Sampling(temperature=3.0))]

    lines = translator.sentences([LINES[0]] * 3 + LINES[:5])
    together = drawn(lines)
    assert len(set(together[:3])) > 1
    assert [drawn([line])[0] for line in lines] == together
    assert drawn(translator.sentences(LINES[2:5], first=5)) == together[5:]


def test_a_sample_scores_what_it_is(translator: Translator) -> None:
    found = [candidates[0] for candidates in translator.hypotheses(LINES, sampling=Sampling(temperature=2.0))]
    forced = translator.score_pieces(LINES, [target_ids(translator, hypothesis) for hypothesis in found])
    for drawn, scored in zip(found, forced, strict=True):
        assert drawn.score == pytest.approx(scored.score, abs=1e-4)


def puzzled(translator: Translator) -> Translator:
    """A model whose steps look about, one after the other, and know no word."""
    model = untrained(translator, "local-m", radius=1)
    with torch.no_grad():
        vocabulary_of(model.model).bias_V[UNK] = 1e4
    return model


def check_replacements(translator: Translator, line: str, word_of_piece: list[str], between: str = "") -> None:
    """Each unknown piece becomes the word of the source piece that its step looked at most."""
    decoding = settings(translator, beam=2, max_length=6)
    plain = translator.hypotheses([line], decoding)[0][0]
    replaced = translator.hypotheses([line], decoding, replace_unknown=True)[0][0]
    assert plain.pieces == replaced.pieces == ("<unk>",) * 6
    assert plain.alignment is not None
    assert len(plain.alignment.source_pieces) == len(word_of_piece) + 1
    looked = [word_of_piece[row[:-1].argmax()] for row in plain.alignment.weights_TS[:6]]
    assert len(set(looked)) > 1
    assert replaced.text == between.join(looked)
    assert replaced.score == plain.score


def test_an_unknown_piece_becomes_the_source_word_it_looked_at(translator: Translator) -> None:
    line = " ta\0umgekehrt foo  ho"
    words = iter(("ta", "umgekehrt", "foo", "ho"))
    word_of_piece: list[str] = []
    for piece in translator.subwords.src.written_pieces(line):
        word_of_piece.append(next(words) if piece.startswith("▁") else word_of_piece[-1])
    check_replacements(puzzled(translator), line, word_of_piece)


def test_the_end_of_the_source_is_no_word(translator: Translator) -> None:
    """Where the end is looked at most, a piece becomes the word that is looked at most of all words: here the first."""
    line = "ta umgekehrt ho"
    puzzled = untrained(translator, "luong-location", max_positions=30)
    layer = layer_of(puzzled.model)
    end = len(translator.subwords.src.encode([line])[0])
    with torch.no_grad():
        vocabulary_of(puzzled.model).bias_V[UNK] = 1e4
        for name, parameter in layer.recurrence.named_parameters():
            parameter.fill_(1.0 if "bias" in name else 0.0)  # states above zero, whatever is read
        table = layer.attention.score.get_parameter("position.weight")
        table.zero_()
        table[end], table[0] = 3.0, 2.0
    [found] = puzzled.hypotheses([line], settings(translator, beam=1, max_length=3), replace_unknown=True)[0]
    assert found.alignment is not None
    assert found.alignment.weights_TS[:3].argsort(1)[:, ::-1][:, :2].tolist() == [[end, 0]] * 3
    assert found.text == "tatata"


def test_unknown_words_are_found_again_among_whole_words(tiny_corpus: TinyCorpus, translator: Translator) -> None:
    """Where pieces are whole words, unknown ones have no mark of a beginning."""
    text = (tiny_corpus.folder / "train.xx").read_text(encoding="utf-8").splitlines()
    words = train_subword(text, SubwordConfig(type="word", vocab_size=20))
    line = "ta foo bar nu qux"
    assert words.pieces(words.encode([line])[0]) == ["▁ta", "<unk>", "<unk>", "▁nu", "<unk>"]
    whole_words = replace(translator, subwords=Subwords(words, words))
    model = puzzled(whole_words)
    config = model.config.model_copy(update={"subword": SubwordConfig(type="word")})
    check_replacements(replace(model, config=config), line, ["ta", "foo", "bar", "nu", "qux"], between=" ")


def test_scoring_text(translator: Translator) -> None:
    right, wrong = translator.score(["ta nu", "ta nu"], [translation("ta nu"), "vex vex vex"])
    assert right.score > wrong.score
    assert right.text == translation("ta nu")
    assert translator.score([""], [""])[0].pieces == ()
    with pytest.raises(DataError, match="2 source lines but 1 translation"):
        translator.score(["ta", "nu"], ["la"])


@pytest.fixture
def copied(trained_run: Run, tmp_path: Path) -> Run:
    """The trained run in another place, to be damaged."""
    return Run(Path(shutil.copytree(trained_run.directory, tmp_path / "moved")))


def test_a_run_translates_wherever_it_is_moved(copied: Run, translator: Translator, tiny_corpus: TinyCorpus) -> None:
    for path in (copied.metrics, copied.info, copied.last, copied.log):
        path.unlink()
    assert str(tiny_corpus.folder) in copied.config.read_text()
    copied.config.write_text(copied.config.read_text().replace(str(tiny_corpus.folder), "/not/here"))
    assert Translator.load(str(copied.directory), precision="fp32").translate(LINES) == translator.translate(LINES)


def test_no_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="no such run directory"):
        Translator.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"config.toml is missing"):
        Translator.load(tmp_path / "empty")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"no trained run here.*\nTrain one with"):
        Translator.load()


def test_weights_of_another_shape(copied: Run) -> None:
    config = copied.config.read_text()
    copied.config.write_text(config.replace("hidden_size = 32", "hidden_size = 64"))
    with pytest.raises(RunError, match=r"another shape: \S+ is \(.*\), the configuration asks for \(.*\)") as caught:
        Translator.load(copied.directory)
    assert str(caught.value).startswith(str(copied.best))
    assert "config.toml changed" in str(caught.value)
    copied.config.write_text(config.replace('wiring = "before"', 'wiring = "after"'))
    with pytest.raises(RunError, match=r"nothing of that name|missing"):
        Translator.load(copied.directory)


def test_weights_missing_or_damaged(copied: Run) -> None:
    copied.best.write_bytes(copied.best.read_bytes()[:1000])
    with pytest.raises(RunError, match="is damaged: it does not match its checksum"):
        Translator.load(copied.directory)
    copied.best.unlink()
    with pytest.raises(RunError, match="no weights here yet"):
        Translator.load(copied.directory)


def test_the_newest_run_is_the_default(
    copied: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    monkeypatch.chdir(tmp_path)
    for age, name in ((100, "older"), (10, "newer")):
        run = Run(Path(shutil.copytree(copied.directory, Path("runs") / name)))
        now = copied.best.stat().st_mtime
        os.utime(run.best, (now - age, now - age))
    (tmp_path / "runs" / "newer" / "config.toml").write_text(
        copied.config.read_text().replace("beam = 3", "beam = 7"), encoding="utf-8"
    )
    assert Translator.load().config.decoding.beam == 7
    told = f"run: {Path('runs') / 'newer'} (the newest)"
    assert told in terminal.ok("translate", stdin=b"ta\n").err
    assert "the newest" not in terminal.ok("translate", "--run", "runs/older", stdin=b"ta\n").err
    monkeypatch.setenv("RANK", "1")
    assert "the newest" not in terminal.ok("translate", stdin=b"ta\n").err


def test_settings_of_a_search_may_be_given_by_their_names(translator: Translator) -> None:
    line = LINES[:1]
    assert len(translator.hypotheses(line, {"beam": 2})[0]) == 2
    assert translator.translate(line, {"beam": 1}) == translator.translate(line, settings(translator, beam=1))
    with pytest.raises(ConfigError, match=r"^beam = 5000: must be 1000 or less"):
        translator.translate(line, {"beam": 5000})
    with pytest.raises(ConfigError, match=r'^beem is unknown. Did you mean "decoding.beam"'):
        translator.translate(line, {"beem": 1})


def test_a_text_is_no_list_of_lines(translator: Translator) -> None:
    for call in (
        lambda: translator.translate("ta nu"),
        lambda: translator.hypotheses("ta nu"),
        lambda: translator.score("ta nu", ["ta"]),
        lambda: translator.score(["ta nu"], "ta"),
    ):
        with pytest.raises(DataError, match="where a list of lines is meant"):
            call()


def test_loading_a_model_draws_no_random_numbers(trained_run: Run) -> None:
    """Drawing weights that are read from a file next would take as long as reading them."""
    before = torch.get_rng_state()
    Translator.load(trained_run.directory, precision="fp32")
    assert torch.equal(torch.get_rng_state(), before)
