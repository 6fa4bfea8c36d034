import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.font_manager import fontManager
from matplotlib.image import imread
from rich.cells import cell_len
from rich.console import Console

from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.errors import UserError
from seq2seq_cli.evaluation.alignment import by_pieces, by_words
from seq2seq_cli.report import fonts
from seq2seq_cli.report.fonts import typeface
from seq2seq_cli.report.heatmaps import draw, save_heatmap, save_picture
from seq2seq_cli.report.terminal import DEEP, terminal_heatmap


def alignment(source: str = "▁Ein ▁Hu nd </s>", target: str = "▁A ▁dog </s>", radius: int | None = None) -> Alignment:
    """A sharp diagonal; with a radius, the window's centres run along it."""
    columns, rows = tuple(source.split(" ")), tuple(target.split(" "))
    centre_T = np.linspace(0, len(columns) - 1, len(rows)).astype(np.float32)
    weights_TS = np.exp(-np.abs(np.arange(len(columns)) - centre_T[:, None])).astype(np.float32)
    weights_TS /= weights_TS.sum(1, keepdims=True)
    return Alignment(columns, rows, weights_TS, centre_T if radius else None, radius)


@contextmanager
def machine_with(*families: str) -> Iterator[None]:
    """A machine that has these fonts alone."""
    installed = [entry for entry in fontManager.ttflist if entry.name in families]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fontManager, "ttflist", installed)
        patch.setattr("matplotlib.font_manager.findSystemFonts", list)
        _forget_fonts()
        yield
    _forget_fonts()


def _forget_fonts() -> None:
    for cached in (fonts._cover, fonts._family_of, fonts._register_new_fonts):
        cached.cache_clear()


@pytest.fixture
def only_dejavu() -> Iterator[None]:
    with machine_with("DejaVu Sans"):
        yield


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_a_picture_and_its_numbers(tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = tmp_path / "plots" / f"dev-1{suffix}"
    assert save_picture(alignment(radius=2), path, "Ein Hund") == []
    assert path.read_bytes().startswith(magic)
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert list(record) == ["title", "source", "target", "weights", "centres", "radius"]
    assert record["source"] == ["▁Ein", "▁Hu", "nd", "</s>"]
    assert record["target"] == ["▁A", "▁dog", "</s>"]
    assert np.array(record["weights"], np.float32).tolist() == alignment().weights_TS.tolist()
    assert (record["title"], record["centres"], record["radius"]) == ("Ein Hund", [0.0, 1.5, 3.0], 2)


def test_a_global_mechanism_has_no_window(tmp_path: Path) -> None:
    save_picture(alignment(), tmp_path / "a.png", "t")
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["title", "source", "target", "weights"]


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)a\.jpg: .*\.png, \.svg or \.pdf"):
        save_picture(alignment(), tmp_path / "a.jpg", "t")
    assert not list(tmp_path.iterdir())


def test_axes_say_what_they_are() -> None:
    grid = by_words(alignment("▁$a$ ▁_b^c </s>", "▁\\frac </s>"))
    figure = draw(grid, "costs $5 or $6", typeface([]))
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source", "target")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["$a$", "_b^c", "</s>"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["\\frac", "</s>"]
    assert axes.get_title(loc="left") == "costs $5 or $6"
    texts = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    assert not any(text.get_parse_math() for text in texts)
    assert axes.child_axes[0].get_ylabel() == "attention weight"
    assert axes.yaxis_inverted()


def test_a_formula_that_is_none_is_drawn(tmp_path: Path) -> None:
    # As mathematics, this would be an error.
    assert save_heatmap(alignment("▁$\\frac$ </s>"), tmp_path / "a.svg", "$x_$") == []


def test_size_grows_with_the_words() -> None:
    few, many = (draw(by_pieces(alignment("a " * n + "</s>")), "t", typeface([])) for n in (9, 19))
    (few_width, few_height), (many_width, many_height) = few.get_size_inches(), many.get_size_inches()
    assert many_width == pytest.approx(2 * few_width)
    assert many_height == pytest.approx(few_height)


def test_endless_words_are_cut() -> None:
    axes = draw(by_pieces(alignment("x" * 1000 + " </s>")), "t", typeface([])).axes[0]
    assert axes.get_xticklabels()[0].get_text() == "x" * 29 + "…"


def test_very_long_sentences_stay_in_bounds(tmp_path: Path) -> None:
    save_heatmap(alignment("▁a " * 400 + "</s>", "</s>"), tmp_path / "a.png", "t")
    height, width, _ = imread(tmp_path / "a.png").shape
    assert 10_000 <= width < 11_000
    assert height < 1_000


def test_the_window_is_outlined() -> None:
    axes = draw(by_pieces(alignment("a b c </s>", "x </s>", radius=1)), "t", typeface([])).axes[0]
    # Seen: columns 0 and 1 in row 0, columns 2 and 3 in row 1.
    (outline,) = [child for child in axes.collections if isinstance(child, LineCollection)]
    drawn = {tuple(map(tuple, segment.astype(int).tolist())) for segment in outline.get_segments()}
    upright = {((s, t), (s, t + 1)) for s, t in [(0, 0), (2, 0), (2, 1), (4, 1)]}
    level = {((s, t), (s + 1, t)) for s, t in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (3, 1), (2, 2), (3, 2)]}
    assert drawn == upright | level
    (centres,) = axes.lines
    assert centres.get_xdata() == pytest.approx([0.5, 3.5])  # the middle of a cell is half a cell to the right
    assert centres.get_ydata() == pytest.approx([0.5, 1.5])


def test_darker_is_more_in_print_too() -> None:
    mesh = draw(by_pieces(alignment()), "t", typeface([])).axes[0].collections[0]
    colours = mesh.get_cmap()(np.linspace(0, 1, 50))
    assert (np.diff(colours[:, :3] @ [0.299, 0.587, 0.114]) < 0).all()


def test_a_weight_has_one_colour_in_every_picture() -> None:
    """Also where none is large: nothing looks sure that is not."""
    colours = []
    for largest in (1.0, 0.4):
        weights_TS = np.array([[largest, 0.25, 0.1]], np.float32)
        shown = Alignment(("a", "b", "</s>"), ("</s>",), weights_TS)
        mesh = draw(by_pieces(shown), "t", typeface([])).axes[0].collections[0]
        colours.append(mesh.to_rgba(weights_TS[0]))
    assert np.array_equal(colours[0][1:], colours[1][1:])
    darkest, palest = mesh.get_cmap()([1.0, 0.0])
    assert np.array_equal(colours[0][0], darkest)
    assert not np.array_equal(colours[1][0], darkest)
    assert not np.array_equal(colours[1][2], palest)


@pytest.mark.usefixtures("only_dejavu")
def test_common_scripts_need_no_other_font() -> None:
    face = typeface(["Straße, ça", "Собака", "σκύλος", "الكلب", "שלום", "▁</s>"])
    assert face.families == ("DejaVu Sans",)
    assert not face.missing
    assert not face.warnings


@pytest.mark.usefixtures("only_dejavu")
def test_a_script_without_a_font_is_named_and_boxed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Warnings are errors: a missing glyph that reached matplotlib would fail here.
    warnings = save_heatmap(alignment("▁狗 ▁कुत्ता </s>"), tmp_path / "a.png", "ab犬")
    assert [("CJK" in warning, "Devanagari" in warning) for warning in warnings] == [(True, False), (False, True)]
    assert all(record.levelno < logging.WARNING for record in caplog.records)
    face = typeface(["ab犬"])
    assert face.printable("ab犬") == "ab□"


@pytest.mark.usefixtures("only_dejavu")
def test_invisible_characters_go_without_a_warning() -> None:
    face = typeface(["a\x07b\U000e0100"])
    assert face.printable("a\x07b\U000e0100") == "ab"
    assert face.warnings == []


def test_another_font_is_taken_for_what_the_first_lacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with machine_with("DejaVu Sans", "STIXGeneral", "Last Resort High-Efficiency"):
        face = typeface(["a", "𝒜"])  # a script capital that DejaVu Sans has not
        assert face.families == ("DejaVu Sans", "seq2seq: STIXGeneral.ttf 0")
        assert not face.missing
        assert save_heatmap(alignment("▁𝒜 </s>"), tmp_path / "a.png", "𝒜") == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def printed(shown: Alignment, width: int, merge: bool = True) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(terminal_heatmap(shown, merge))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_terminal_shows_percents() -> None:
    weights_TS = np.array([[0.85, 0.1, 0.05, 0.001], [0, 0.5, 0.25, 0.25], [0, 0, 0, 1]], np.float32)
    shown = Alignment(("▁Ein", "▁Hu", "nd", "</s>"), ("▁A", "▁dog", "</s>"), weights_TS)
    assert printed(shown, 60) == [
        "1 Ein 2 Hund 3 </s>",
        "       1  2  3",
        "   A  85 15  ·",
        " dog   · 75 25",
        "</s>   ·  ·100",
    ]
    assert printed(shown, 60, merge=False)[1] == "       1  2  3  4"


def test_a_terminal_leaves_out_what_no_window_held() -> None:
    shown = alignment("▁a ▁b ▁c </s>", "▁x </s>", radius=1)
    assert printed(shown, 60)[2:] == [
        "   x  64 24",
        "</s>        24 64",
    ]


@pytest.mark.parametrize("width", [20, 33, 80])
def test_a_grid_fits_its_terminal(width: int) -> None:
    shown = alignment("▁狗 睡 在 沙发 上 " + "▁ein " * 20 + "</s>", "▁犬 は ▁unbeschreiblichlangeswort </s>")
    lines = printed(shown, width)
    assert max(map(cell_len, lines)) <= width
    headers = [line.split() for line in lines if line and line.replace(" ", "").isdigit()]
    assert [int(number) for header in headers for number in header] == list(range(1, 27))


def test_colours_follow_the_weight() -> None:
    """From pale to deep, as the numbers go up, and whatever else is in the picture."""
    file = io.StringIO()
    weights_TS = np.array([[0.05, 0.2, 0.4, 0.6, 1.0], [0.6, 0.2, 0.2, 0.05, 0.001]], np.float32)
    shown = Alignment(("▁a", "▁b", "▁c", "▁d", "</s>"), ("▁x", "</s>"), weights_TS)
    Console(file=file, width=60, color_system="truecolor", force_terminal=True).print(
        terminal_heatmap(shown, merge=True)
    )
    shades: dict[str, set[tuple[int, ...]]] = {}
    for colour, percent in re.findall(r"48;2;([\d;]+)m *(\d+)\x1b", file.getvalue()):
        shades.setdefault(percent, set()).add(tuple(map(int, colour.split(";"))))
    assert list(shades) == ["5", "20", "40", "60", "100"]
    assert {len(colours) for colours in shades.values()} == {1}
    bright = [sum(colour) for colours in shades.values() for colour in colours]
    assert bright == sorted(bright, reverse=True)
    assert len(set(bright)) == 5
    assert shades["100"] == {DEEP}
