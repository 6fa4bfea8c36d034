import io
import random

import pytest
from comparisons import SOURCE, WORSE, comparison, counting, evaluation
from resampling import resamples
from rich.cells import cell_len
from rich.console import Console
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from seq2seq_cli.evaluation.lengths import length_bins, score_by_length
from seq2seq_cli.evaluation.metrics import score_system
from seq2seq_cli.evaluation.systems import Comparison
from seq2seq_cli.report.bars import LONGEST, length_chart, length_rows


def test_edges_of_the_bins() -> None:
    lengths = [0, 1, 5, 6, 10, 11, 15, 16, 20, 21, 30, 31, 40, 41, 500]
    bins = length_bins([counting(words) for words in lengths])
    assert [(found.words, [lengths[row] for row in found.rows]) for found in bins] == [
        ("0", [0]), ("1-5", [1, 5]), ("6-10", [6, 10]), ("11-15", [11, 15]), ("16-20", [16, 20]),
        ("21-30", [21, 30]), ("31-40", [31, 40]), ("41+", [41, 500]),
    ]  # fmt: skip
    assert [(found.first, found.last) for found in bins[:2]] == [(0, 0), (1, 5)]
    assert (bins[-1].first, bins[-1].last) == (41, None)


def test_only_bins_that_hold_sentences() -> None:
    assert [(found.words, found.rows) for found in length_bins([counting(25), "a", counting(25)])] == [
        ("1-5", (1,)),
        ("21-30", (0, 2)),
    ]
    assert length_bins([]) == []


def test_every_sentence_is_in_one_bin() -> None:
    rng = random.Random(3)
    source = [counting(rng.randint(0, 60)) for _ in range(300)]
    rows = [row for found in length_bins(source) for row in found.rows]
    assert sorted(rows) == list(range(300))


def test_words_are_what_white_space_parts() -> None:
    (found,) = length_bins([" a\tb\u00a0c  d\u3000e "])
    assert found.words == "1-5"


def test_nine_sentences_are_few() -> None:
    assert [length_bins(["a"] * count)[0].few for count in (9, 10)] == [True, False]


@resamples(50)
def test_a_bin_is_scored_like_a_test_set_of_its_own() -> None:
    for scored in score_by_length(SOURCE, WORSE, SOURCE, "13a"):
        said, wanted = ([lines[row] for row in scored.bin.rows] for lines in (WORSE, SOURCE))
        assert {len(line.split()) for line in wanted} <= set(range(scored.bin.first, (scored.bin.last or 99) + 1))
        assert scored.bleu.value == BLEU().corpus_score(said, [wanted]).score
        assert scored.chrf.value == CHRF().corpus_score(said, [wanted]).score
        whole = score_system(said, wanted, "13a")
        assert (scored.bleu, scored.chrf) == (whole.bleu, whole.chrf)


@resamples(200)
def test_a_band_holds_its_score() -> None:
    rng = random.Random(1)
    source = [counting(rng.randint(8, 19), i) for i in range(120)]
    said = [line.replace("seven", "heaven") if rng.random() < 0.6 else line for line in source]
    for scored in score_by_length(source, said, source, "13a"):
        for score in (scored.bleu, scored.chrf):
            assert score.low < score.value < score.high


@resamples(20)
def test_an_empty_line_and_its_empty_translation() -> None:
    empty, other = score_by_length(["", "a b c d"], ["", "a b c d"], ["", "a b c d"], "13a")
    assert (empty.bin.words, empty.bleu.value, empty.chrf.value) == ("0", 0, 0)
    assert other.bin.words == "1-5"
    assert other.bleu.value == pytest.approx(100)


def test_as_json() -> None:
    *_, last = evaluation("runs/x", WORSE).by_length
    assert last.to_json() == {
        "words": "41+", "first": 41, "last": None, "sentences": 2, "few": True,
        "bleu": last.bleu.value, "chrf": last.chrf.value,
        "signature": {"bleu": last.bleu.signature, "chrf": last.chrf.signature},
        "interval_95": {"bleu": [last.bleu.low, last.bleu.high], "chrf": [last.chrf.low, last.chrf.high]},
    }  # fmt: skip


def test_rows_of_the_chart() -> None:
    told = comparison(evaluation("runs/x", SOURCE), evaluation("runs/\ty", WORSE))
    head, *rows = length_rows(told)
    assert head[:5] == ("run", "words", "sentences", "few", "bleu")
    assert [row[:4] for row in rows[:4]] == [
        ("runs/x", "1-5", "15", "no"),
        ("runs/x", "6-10", "9", "yes"),
        ("runs/x", "11-15", "12", "no"),
        ("runs/x", "41+", "2", "yes"),
    ]
    assert {row[0] for row in rows[4:]} == {"runs/ y"}  # no more tabs than columns
    assert [row[1:4] for row in rows[4:]] == [row[1:4] for row in rows[:4]]
    worst = told.evaluations[1].by_length[0]
    numbers = [number for score in (worst.bleu, worst.chrf) for number in (score.value, score.low, score.high)]
    assert [float(cell) for cell in rows[4][4:]] == pytest.approx(numbers, abs=0.005)


def printed(told: Comparison, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(length_chart(told))
    return file.getvalue().splitlines()


def test_the_chart_shows_every_bin_of_every_run() -> None:
    nothing = ["none of it"] * len(SOURCE)
    told = comparison(evaluation("runs/[x]", SOURCE), evaluation("runs/y", nothing), evaluation("runs/z", WORSE))
    *rows, caption = printed(told, 120)[3:]
    assert [row[:11].strip() for row in rows[::3]] == ["1-5 (15)", "6-10 (9*)", "11-15 (12)", "41+ (2*)"]
    assert [row[11:].split()[0] for row in rows] == ["[x]", "y", "z"] * 4
    assert "100.0 [100-100]" in rows[0]
    assert "fewer than 10 sentences" in caption
    bars = [row.count("█") for row in rows]
    assert bars[::3] == [LONGEST] * 4
    assert bars[1::3] == [0] * 4
    for length, scores in zip(bars[2::3], told.evaluations[2].by_length, strict=True):
        assert length == int(LONGEST * scores.bleu.value / 100)


def test_a_narrow_terminal_has_shorter_bars_but_whole_names() -> None:
    rows = printed(comparison(evaluation("runs/tatoeba-de-en-bahdanau", SOURCE)), 80)
    assert max(map(cell_len, rows)) <= 80
    named = [row for row in rows if "tatoeba-de-en-bahdanau" in row]
    assert [row.count("█") for row in named] == [named[0].count("█")] * 4
    assert 5 < named[0].count("█") < LONGEST


def test_nothing_right_at_all() -> None:
    assert "█" not in "".join(printed(comparison(evaluation("x", ["none of it"] * len(SOURCE))), 80))
