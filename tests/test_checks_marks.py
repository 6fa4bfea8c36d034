"""What programs leave on text: found line by line, mended in a copy in which nothing more is found."""

import csv
import time
from pathlib import Path

import pytest
from checked import Sides, built_in_pairs, counts, found, sides, written
from commands import Terminal
from corpora import write_lines
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.data.checks.flaws import TABLE
from seq2seq_cli.data.checks.markup import without_markup
from seq2seq_cli.data.checks.mojibake import unmixed
from seq2seq_cli.data.checks.quoting import unquoted
from seq2seq_cli.data.checks.repair import repaired
from seq2seq_cli.data.checks.segmentation import joined
from seq2seq_cli.data.text import read_lines

AT = 40
LINES = 400


@pytest.fixture(scope="module")
def clean() -> Sides:
    return sides(built_in_pairs("tatoeba-de-en", LINES))


DAMAGE = [
    ("markup", "Das ist <b>sehr</b> gut &amp; schön.", "Das ist sehr gut & schön."),
    ("markup", "Er sagte:<br/>&quot;Komm!&quot;", 'Er sagte: "Komm!"'),
    ("markup", '<seg id="4">Wer ist da?</seg>', "Wer ist da?"),
    ("markup", "Fisch &amp;amp; Brot", "Fisch & Brot"),
    ("segmented", "Der Bahn@@ hof ist ge@@ schlossen.", "Der Bahnhof ist geschlossen."),
    ("segmented", "▁Der ▁Bahn hof ▁ist ▁zu .", "Der Bahnhof ist zu."),
    ("mojibake", "SchÃ¶ne GrÃ¼ÃŸe aus MÃ¼nchen", "Schöne Grüße aus München"),
    ("mojibake", "Das war â€žgutâ€œ, fand sie.", "Das war „gut“, fand sie."),
    ("quoted", '"Sie rief: ""Halt!"" und lief."', 'Sie rief: "Halt!" und lief.'),
]


@pytest.mark.parametrize(("kind", "line", "right"), DAMAGE)
@pytest.mark.parametrize("side", [0, 1])
def test_marks_are_found_and_mended(
    kind: str, line: str, right: str, side: int, clean: Sides, tmp_path: Path, terminal: Terminal
) -> None:
    sides = list(clean[0]), list(clean[1])
    sides[side][AT] = line
    prefix = written(tmp_path, sides)
    status, record = found(terminal, prefix)
    assert (status, record[kind]["pairs"]) == (3, 1)
    assert record[kind][("source", "target")[side]] == 1
    assert [example["line"] for example in record[kind]["examples"]] == [AT + 1]
    _, again = found(terminal, prefix, "--fix", tmp_path / "copy")
    assert again["copy"]["repaired"] == {kind: 1}
    assert list(read_lines(tmp_path / f"copy.{('de', 'en')[side]}"))[AT] == right
    status, record = found(terminal, tmp_path / "copy")
    assert (status, counts(record)) == (0, {})


@pytest.mark.parametrize(
    "line", ["Das <unk> ist alt.", "Das [UNK] ist alt.", "Das ⁇ ist alt.", "Das &lt;unk&gt; ist alt."]
)
def test_lost_words_go_with_their_pair(line: str, clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = list(clean[0]), clean[1]
    src[AT] = line
    status, record = found(terminal, written(tmp_path, (src, tgt)), "--fix", tmp_path / "copy")
    assert (status, record["unknown"]["pairs"], record["copy"]["removed"]) == (0, 1, {"unknown": 1})
    assert counts(found(terminal, tmp_path / "copy")[1]) == {}


def test_swapped_pairs_are_found_and_turned_round(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = list(clean[0]), list(clean[1])
    rows = [row for row in range(0, LINES, 20) if len(src[row]) > 25]
    for row in rows:
        src[row], tgt[row] = tgt[row], src[row]
    _status, record = found(terminal, written(tmp_path, (src, tgt)), "--fix", tmp_path / "copy")
    assert set(counts(record)) == {"swapped"}
    assert record["swapped"]["pairs"] >= 0.85 * len(rows)
    assert {example["line"] - 1 for example in record["swapped"]["examples"]} <= set(rows)
    mended = list(read_lines(tmp_path / "copy.de"))
    assert sum(mended[row] == clean[0][row] for row in rows) == record["swapped"]["pairs"]
    assert [line for row, line in enumerate(mended) if row not in rows] == [
        line for row, line in enumerate(clean[0]) if row not in rows
    ]


def test_a_table_whose_cells_are_all_quoted(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    with open(tmp_path / "t.tsv", "w", encoding="utf-8", newline="") as file:
        file.write("de\ten\n")
        csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(zip(*clean, strict=True))
    _, record = found(terminal, tmp_path / "t.tsv", "--fix", tmp_path / "copy")
    assert record["quoted"]["pairs"] == LINES
    assert [list(read_lines(tmp_path / f"copy.{language}")) for language in ("de", "en")] == list(clean)
    assert counts(found(terminal, tmp_path / "copy")[1]) == {}


def test_one_line_with_everything(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = list(clean[0]), list(clean[1])
    src[AT] = '"<i>Die</i> Stra@@ ÃŸe hei@@ &szlig;t ""Weg"".\x00"'
    found(terminal, written(tmp_path, (src, tgt)), "--fix", tmp_path / "copy")
    assert list(read_lines(tmp_path / "copy.de"))[AT] == 'Die Straße heißt "Weg".'
    assert counts(found(terminal, tmp_path / "copy")[1]) == {}


@pytest.mark.parametrize(
    "line",
    [
        "Wenn a < b und c > d, dann ist a <b und c> d falsch.",
        "AT&T und R&D; 5 & 6",
        "<name> wohnt in <address>.",
        "I <3 you > me",
        "anna@@web.de @@",
        "snake▁case und ▁▂▃▄▅",
        '"Halt!", rief er. "Komm her!"',
        '"Halt!"',
        "Ünëxpëctéd Äüßerungen, créée à Noël, ÉÉÉ",
        "Я хочу домой, сказала она мужу.",
        "ÄÖÜ ß « » „x“ – …",
    ],
)
def test_what_only_looks_like_it_stays(line: str) -> None:
    assert repaired(line) == line


@given(st.text(alphabet=st.sampled_from("ab<>/&;=\"' @▁Ã¤¶?x#3amp") | st.characters(), max_size=30))
def test_mending_twice_changes_nothing_more(line: str) -> None:
    for mend in (without_markup, joined, unquoted, unmixed, repaired):
        assert mend(mend(line)) == mend(line)


@pytest.mark.parametrize("part", ["<", "<!--", "&amp;", '<a b="', "<a ", '"', "</x", "&#38;#38;", "@@ ", "▁"])
def test_a_line_of_any_length_is_looked_through_quickly(part: str) -> None:
    """Where each character were compared with each other one, it would take minutes."""
    began = time.process_time()
    for mend in (without_markup, joined, unquoted):
        mended = mend(part * 20_000)
        assert mend(mended) == mended, mend.__name__
    assert time.process_time() - began < 5


def test_every_remedy_is_one_that_there_is() -> None:
    assert {row.remedy for row in TABLE} == {"removed", "repaired", "realigned", "refused", "kept"}


def test_two_sides_of_one_language_are_not_called_swapped(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    write_lines(tmp_path / "train.de", clean[1])
    write_lines(tmp_path / "train.en", [line.replace("I ", "we ") for line in clean[1]])
    assert found(terminal, tmp_path / "train")[1]["swapped"]["pairs"] == 0
