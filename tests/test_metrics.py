import pytest

from seq2seq_cli.errors import DataError
from seq2seq_cli.evaluation.metrics import PValues, bleu, paired, score_system

REFERENCES = [f"The dog number {i} sleeps on the old couch ." for i in range(40)]
WORSE = [line.replace("sleeps on", "lies at") if i % 2 else line for i, line in enumerate(REFERENCES)]


def test_bleu_by_hand() -> None:
    # 13a splits off the stop: 6 tokens, 5 right; bigrams 3/5, trigrams 1/4, 4-grams 0/3, smoothed to 1/(2*3).
    value = bleu(["The cat sat down here."], ["The cat lay down here."])
    assert value == pytest.approx(100 * (5 / 6 * 3 / 5 * 1 / 4 * 1 / 6) ** 0.25)


def test_ter_by_hand() -> None:
    # TER's own tokens are split at spaces: one substitution among five words.
    assert score_system(["The cat sat down here."], ["The cat lay down here."]).ter.value == pytest.approx(100 / 5)


def test_bleu_is_cased_and_ter_is_not() -> None:
    scores = score_system(["THE DOG SLEEPS ON IT"], ["the dog sleeps on it"])
    assert scores.bleu.value < 1
    assert scores.ter.value == 0


def test_a_perfect_system() -> None:
    scores = score_system(REFERENCES, REFERENCES)
    assert scores.bleu.value == pytest.approx(100)
    assert scores.chrf.value == pytest.approx(100)
    assert scores.ter.value == 0
    assert (scores.bleu.low, scores.bleu.high) == pytest.approx((100, 100))


def test_every_score_has_its_name_interval_and_signature() -> None:
    scores = score_system(WORSE, REFERENCES)
    assert [score.name for score in (scores.bleu, scores.chrf, scores.ter)] == ["BLEU", "chrF", "TER"]
    for score in (scores.bleu, scores.chrf, scores.ter):
        assert score.low < score.value < score.high
        assert "bs:1000|seed:12345" in score.signature
        assert "version:" in score.signature
    assert "case:mixed" in scores.bleu.signature
    assert "tok:13a" in scores.bleu.signature


def test_equal_text_gives_equal_scores() -> None:
    assert score_system(WORSE, REFERENCES) == score_system(WORSE, REFERENCES)


def test_bleu_is_that_of_score_system() -> None:
    assert bleu(WORSE, REFERENCES) == score_system(WORSE, REFERENCES, bootstrap=2).bleu.value


def test_more_resamples_are_in_the_signature() -> None:
    assert "bs:50|" in score_system(WORSE, REFERENCES, bootstrap=50).ter.signature


def test_empty_translations_score_nothing() -> None:
    scores = score_system([""] * 3, REFERENCES[:3])
    assert (scores.bleu.value, scores.bleu.low, scores.bleu.high) == (0, 0, 0)
    assert scores.chrf.value == 0
    assert scores.ter.value == 100


def test_paired_tells_difference_from_chance() -> None:
    other = [line.replace("old", "odd") if i < 2 else line for i, line in enumerate(REFERENCES)]
    same_as_other = [line.replace("old", "odd") if i >= 38 else line for i, line in enumerate(REFERENCES)]
    worse, chance = paired(other, [WORSE, same_as_other], REFERENCES, trials=500)
    assert max(worse.bleu, worse.chrf, worse.ter) < 0.05
    assert min(chance.bleu, chance.chrf, chance.ter) > 0.05


def test_a_system_never_differs_from_itself() -> None:
    assert paired(WORSE, [WORSE], REFERENCES, trials=20) == [PValues(1.0, 1.0, 1.0)]


def test_paired_repeats() -> None:
    assert paired(REFERENCES, [WORSE], REFERENCES, 50) == paired(REFERENCES, [WORSE], REFERENCES, 50)


def test_unequal_counts_are_named() -> None:
    with pytest.raises(DataError, match="2 translations but 3 references"):
        bleu(["a", "b"], ["a", "b", "c"])
    with pytest.raises(DataError, match="1 translations but 40 references"):
        paired(WORSE, [["a"]], REFERENCES)


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="no translations to score"):
        score_system([], [])


def test_silent_on_text_that_looks_tokenised(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["The dog sleeps ."] * 150
    assert bleu(lines, lines) == pytest.approx(100)
    assert capsys.readouterr() == ("", "")
    assert not caplog.records
