from pathlib import Path

import numpy as np
import pytest
from comparisons import SOURCE, WORSE, comparison, evaluation
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.image import imread

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.errors import UserError
from seq2seq_cli.evaluation.systems import Comparison
from seq2seq_cli.report.curves import draw_by_length, save_by_length, small_print
from seq2seq_cli.report.fonts import typeface


@pytest.fixture(scope="module")
def two_runs() -> Comparison:
    return comparison(evaluation("runs/x", SOURCE), evaluation("runs/_y", WORSE))


def drawn(told: Comparison) -> Axes:
    return draw_by_length(told, typeface([])).axes[0]


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [entry.get_text() for entry in found.get_texts()]


def test_axes_say_what_they_are(two_runs: Comparison) -> None:
    axes = drawn(two_runs)
    assert axes.get_title(loc="left") == "BLEU by source length"
    assert axes.get_xlabel() == "words of the source sentence (number of sentences)"
    assert axes.get_ylabel() == "BLEU (points)"
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1-5\n(15)", "6-10\n(9*)", "11-15\n(12)", "41+\n(2*)"]
    assert axes.get_ylim()[0] == 0


def test_a_line_a_run_at_its_scores(two_runs: Comparison) -> None:
    axes = drawn(two_runs)
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    for line, told in zip(lines, two_runs.evaluations, strict=True):
        assert line.get_ydata() == pytest.approx([scores.bleu.value for scores in told.by_length])
        assert line.get_xdata() == pytest.approx(range(4), abs=0.1)
    assert legend(axes) == ["x", "_y"]


def test_bands_reach_from_low_to_high(two_runs: Comparison) -> None:
    axes = drawn(two_runs)
    bands = [child for child in axes.collections if isinstance(child, FillBetweenPolyCollection)]
    uprights = [child for child in axes.collections if isinstance(child, LineCollection)]
    for band, upright, told in zip(bands, uprights, two_runs.evaluations, strict=True):
        intervals = [(scores.bleu.low, scores.bleu.high) for scores in told.by_length]
        heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
        assert {height for interval in intervals for height in interval} == set(heights)
        assert [(start[1], end[1]) for start, end in upright.get_segments()] == intervals


def test_few_sentences_have_open_markers(two_runs: Comparison) -> None:
    marks = [line for line in drawn(two_runs).lines if line.get_linestyle() == "None"]
    assert [line.get_markerfacecolor() for line in marks] == ["white", "white"]
    assert [np.round(np.asarray(line.get_xdata(), float)).tolist() for line in marks] == [[1, 3], [1, 3]]


def test_runs_differ_without_colours() -> None:
    axes = drawn(comparison(*(evaluation(f"runs/{i}", WORSE[:3], SOURCE[:3]) for i in range(28))))
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 28
    assert all(line.get_xdata() == pytest.approx([0], abs=0.3) for line in lines)  # all nearest to their own length


def test_small_print_says_how(two_runs: Comparison) -> None:
    text = small_print(two_runs)
    for said in ("38 sentences", "SHA-256 01234567", "beam 5, length penalty 1, fp32", "P/test", "tok:13a", "version:"):
        assert said in text
    assert "fewer than 10" in text
    assert "fewer than" not in small_print(comparison(evaluation("x", WORSE[:3] * 4, SOURCE[:3] * 4)))


def test_other_settings_are_told_beside_their_run() -> None:
    greedy = DecodingConfig(beam=1, min_length=2)
    told = comparison(evaluation("runs/x", SOURCE), evaluation("runs/y", WORSE, decoding=greedy))
    assert legend(drawn(told)) == [
        "x\n(beam 5, length penalty 1, fp32)",
        "y\n(beam 1, length penalty 1, min\nlength 2, fp32)",
    ]
    assert "beam" not in small_print(told)


def test_equal_names_are_told_apart() -> None:
    told = comparison(evaluation("old/x", SOURCE), evaluation("new/x", WORSE))
    assert told.names == ["old/x", "new/x"]


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")])
def test_formats(two_runs: Comparison, tmp_path: Path, name: str, magic: bytes) -> None:
    assert save_by_length(two_runs, tmp_path / name) == []
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_odd_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    # As mathematics, this would be an error; a name that begins with _ would be missing.
    told = comparison(evaluation("runs/$\\frac$ a_b&c", SOURCE), evaluation("runs/_собака", WORSE), test="P/$x_$")
    assert save_by_length(told, tmp_path / "a.png") == []
    assert imread(tmp_path / "a.png").ndim == 3
    assert legend(drawn(told)) == ["$\\frac$ a_b&c", "_собака"]


def test_another_format_is_refused(two_runs: Comparison, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)a\.jpg: .*\.png, \.svg or \.pdf"):
        save_by_length(two_runs, tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())
