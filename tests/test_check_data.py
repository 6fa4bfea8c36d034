"""check-data finds every kind of damage that is planted, says nothing of clean text, and mends a copy."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from checked import Sides, built_in_pairs, counts, found, sides, written
from commands import Terminal
from corpora import write_lines

from seq2seq_cli.data.checks import corpus as checks
from seq2seq_cli.data.checks.characters import Character, classes_of_code_points, codes_of, counts_by_class
from seq2seq_cli.data.checks.corpus import check
from seq2seq_cli.data.checks.duplicates import _repeats
from seq2seq_cli.data.checks.flaws import FLAGS, TABLE, Flaw
from seq2seq_cli.data.checks.keys import exact_keys, normalised_keys, of_pairs
from seq2seq_cli.data.checks.lengths import Lengths
from seq2seq_cli.data.checks.repair import repaired
from seq2seq_cli.data.checks.scripts import LANGUAGES, scripts_of
from seq2seq_cli.data.pairs import LineFiles
from seq2seq_cli.data.text import clean as as_trained_on
from seq2seq_cli.data.text import read_lines

LINES = 1500
AT = 700
"""The row that damage is planted in."""


@pytest.fixture(scope="module")
def clean() -> Sides:
    """The first pairs of the built-in corpus."""
    return sides(built_in_pairs("tatoeba-de-en", LINES))


def test_nothing_is_found_in_clean_text(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    status, record = found(terminal, written(tmp_path, clean))
    assert (status, counts(record), record["blocks"]) == (0, {}, [])
    assert (record["pairs"], record["lines"], record["damaged"]) == (LINES, [LINES, LINES], False)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("nul", "Guten\0 Tag, sagte sie."),
        ("control", "Guten\x1b[31m Tag, sagte sie."),
        ("control", "Guten \ufeffTag, sagte sie."),
        ("bidi", "Guten \u202eTag, sagte sie."),
        ("bidi", "Guten \u2067Tag, sagte sie."),
        *(
            ("separator", f"Guten{end}Tag, sagte sie.")
            for end in ("\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\r", "\x1c")
        ),
        ("normalisation", unicodedata.normalize("NFD", "Schöne Grüße, sagte sie.")),
        ("script", "Я хочу домой, сказала она."),
        ("script", "我想回家。"),
        ("empty", ""),
        ("empty", " \t\u3000\x00"),
        ("long", "Das ist zu viel. " * 40),
        ("ratio", "Das ist viel mehr als dort. " * 6),
        ("undecodable", "Guten \ufffd Tag, sagte sie."),
        ("undecodable", "Guten \uffff Tag, sagte sie."),
        ("empty", "\u200b \u00ad\u200d"),
        *(
            ("invisible", f"Guten{odd} Tag, sagte sie.")
            for odd in ("\u200b", "\u00ad", "\u2060", "\u200e", "\u061c", "\u17b4")
        ),
        *(
            ("joining", f"Guten Tag{odd}, sagte sie.")
            for odd in ("\u200c", "\u200d", "\ufe0f", "\u180e", "\U000e0067", "\U000e0100")
        ),
    ],
)
@pytest.mark.parametrize("side", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_damage_is_found_where_it_is(
    kind: str, line: str, side: int, clean: Sides, tmp_path: Path, terminal: Terminal
) -> None:
    sides = list(clean[0]), list(clean[1])
    sides[side][AT] = line
    status, record = found(terminal, written(tmp_path, sides))
    other_side = "target" if side == 0 else "source"
    assert record[kind]["pairs"] == 1
    assert [example["line"] for example in record[kind]["examples"]] == [AT + 1]
    if kind != "ratio":
        assert record[kind][other_side] == 0
        assert record[kind]["examples"][0][other_side] is None
    assert status == (3 if record[kind]["damage"] else 0)
    assert set(counts(record)) - {"ratio", "control", "nul"} - (
        {"invisible", "joining"} if kind == "empty" else set()
    ) <= {kind}


def test_undecodable_bytes(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    prefix = written(tmp_path, clean)
    path = tmp_path / "train.de"
    lines = path.read_bytes().split(b"\n")
    lines[AT] = b"Sch\xf6n, sagte sie."
    path.write_bytes(b"\n".join(lines))
    status, record = found(terminal, prefix)
    assert (status, counts(record)) == (3, {"undecodable": 1})
    assert record["undecodable"]["examples"][0]["source"] == "Sch\ufffdn, sagte sie."


def test_pairs_that_are_the_same(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = list(clean[0]), list(clean[1])
    src[AT] = tgt[AT] = "Das ist Deutsch."
    src += [src[5], src[6].upper().replace(" ", "  "), src[7], src[5]]
    tgt += [tgt[5], tgt[6].upper() + "!", "Quite another sentence.", tgt[5]]
    status, record = found(terminal, written(tmp_path, (src, tgt)))
    assert (status, counts(record)) == (0, {"identical": 1, "duplicate": 2, "duplicate-normalised": 1})
    assert record["identical"]["examples"][0]["line"] == AT + 1
    again = [(example["line"], example["repeats_line"]) for example in record["duplicate"]["examples"]]
    assert again == [(LINES + 1, 6), (LINES + 4, 6)]
    assert record["duplicate-normalised"]["examples"][0]["repeats_line"] == 7


def test_what_the_test_text_shares(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    prefix = written(tmp_path, clean)
    src, _ = clean
    shared = (
        [src[3], src[4].upper(), "Ein ganz anderer Satz."],
        ["Another.", "Yet another one.", "A sentence of its own."],
    )
    status, record = found(terminal, prefix, "--test", written(tmp_path, shared, "test"))
    assert (status, counts(record)) == (3, {"overlap": 1, "overlap-normalised": 1})
    assert (record["overlap"]["source"], record["overlap"]["target"]) == (1, 0)
    assert [record[name]["examples"][0]["line"] for name in ("overlap", "overlap-normalised")] == [4, 5]
    assert (record["test_pairs"], record["test_pairs_met"]) == (3, 2)


def test_a_shifted_block_and_unequal_counts(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = clean
    moved = [*tgt[:600], *tgt[601:801], tgt[600], *tgt[801:]]
    status, record = found(terminal, written(tmp_path, (src, moved)))
    (block,) = record["blocks"]
    assert (status, block["offset"]) == (3, -1)
    assert (abs(block["first"] - 601) <= 15, abs(block["last"] - 800) <= 15) == (True, True)
    status, record = found(terminal, written(tmp_path, (src, tgt[:900] + tgt[901:])))
    assert (status, record["unpaired"], record["lines"]) == (3, 1, [LINES, LINES - 1])
    assert abs(record["blocks"][0]["first"] - 901) <= 15
    assert record["blocks"][0]["last"] == LINES - 1


def test_the_table_is_safe_to_print(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    sides = list(clean[0]), list(clean[1])
    sides[0][AT] = "\x1b]0;evil\x07 \u202e\x9b31m Tag"
    prefix = written(tmp_path, sides)
    answer = terminal.run("check-data", prefix, "--src", "de", "--tgt", "en")
    assert answer.status == 3
    assert f"line {AT + 1} source: " in answer.out
    assert not [character for character in answer.out if not character.isprintable() and character != "\n"]
    for row in TABLE:
        assert (row.name in answer.out) == (not row.name.startswith("overlap"))


def test_a_cleaned_copy(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = list(clean[0]), list(clean[1])
    src[10], tgt[20], src[30], src[40] = (
        "",
        "\ufffd\ufffd",
        unicodedata.normalize("NFD", "Schöne Grüße!"),
        "Gut\x07en\u2028Tag!",
    )
    src, tgt = [*src, src[5], "zu viel"], [*tgt, tgt[5]]
    prefix = written(tmp_path, (src, tgt))
    before = [(tmp_path / f"train.{language}").read_bytes() for language in ("de", "en")]
    answer = terminal.ok("check-data", prefix, "--src", "de", "--tgt", "en", "--fix", tmp_path / "copy")
    assert "removed: 3 pairs (undecodable 1, empty 1, duplicate 1)" in answer.err
    assert "repaired: control 1, separator 1, normalisation 1" in answer.err
    assert "left out: 1 line without a partner" in answer.err
    copies = [list(read_lines(tmp_path / f"copy.{language}")) for language in ("de", "en")]
    kept = [row for row in range(LINES) if row not in (10, 20)]
    expected = list(src)
    expected[30], expected[40] = "Schöne Grüße!", "Guten Tag!"
    assert copies == [[expected[row] for row in kept], [tgt[row] for row in kept]]
    assert [(tmp_path / f"train.{language}").read_bytes() for language in ("de", "en")] == before
    assert counts(found(terminal, tmp_path / "copy")[1]) == {}
    assert "exists already" in terminal.refused(
        "check-data", prefix, "--src", "de", "--tgt", "en", "--fix", tmp_path / "copy"
    )
    terminal.ok("check-data", prefix, "--src", "de", "--tgt", "en", "--fix", tmp_path / "copy", "--overwrite")


def test_the_text_itself_is_never_written_to(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:
    prefix = written(tmp_path, clean)
    (tmp_path / "other.de").symlink_to(tmp_path / "train.de")
    for out, what in (
        (prefix, "is the text itself"),
        (tmp_path / "other", "the text itself"),
        (tmp_path / "x" / "y", "folder does not exist"),
    ):
        said = terminal.refused("check-data", prefix, "--src", "de", "--tgt", "en", "--fix", out, "--overwrite")
        assert what in said


def test_wrong_options(tmp_path: Path, terminal: Terminal) -> None:
    assert "needs --fix" in terminal.refused("check-data", "--overwrite")
    assert "needs a text of your own" in terminal.refused("check-data", "--src", "de")
    assert "two languages" in terminal.refused("check-data", "x", "--src", "de", "--tgt", "de")
    assert "is the built-in text" in terminal.refused("check-data", "x", "--corpus", "tatoeba-de-en")
    written(tmp_path, ([], []))
    said = terminal.refused("check-data", tmp_path / "train", "--src", "de", "--tgt", "en")
    assert "there are no pairs here" in said


def test_tables_are_checked_too(tmp_path: Path, terminal: Terminal) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(b"de\ten\ngut\tgood\nsch\xf6n\tfine\n\tnothing\n")
    status, record = found(terminal, path)
    assert (status, counts(record)) == (3, {"undecodable": 1, "empty": 1})


def result_of(folder: Path, processes: int) -> tuple[dict[Flaw, int], bytes]:
    files = LineFiles(folder / "train.de", folder / "train.en")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seq2seq_cli.data.checks.corpus.available_cores", lambda: processes)
        with check(files, ("de", "en"), None, lambda *_: None) as checked:
            return {finding.kind: finding.pairs for finding in checked.findings}, checked.flags.read_bytes()


def test_processes_and_chunks_change_nothing(clean: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src, tgt = list(clean[0]), list(clean[1])
    src[AT], src[AT + 1], tgt[90] = "", "\x00", "x" * 2000
    written(tmp_path, (src + src[:50], tgt + tgt[:50]))
    whole = result_of(tmp_path, 1)
    assert whole[0][Flaw.DUPLICATE] == 50
    monkeypatch.setattr(checks, "PAIRS", 100)
    monkeypatch.setattr(checks, "PAGE", 64)
    assert result_of(tmp_path, 1) == whole
    assert result_of(tmp_path, 2) == whole


def test_no_room_for_what_is_found(
    clean: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seq2seq_cli.data.checks.duplicates.Duplicates.add", full)
    prefix = written(tmp_path, clean)
    said = terminal.refused("check-data", prefix, "--src", "de", "--tgt", "en")
    assert "No space left" in said
    assert "TMPDIR" in said


# The parts.


def test_every_kind_has_its_row() -> None:
    assert [kind.name.lower().replace("_", "-") for kind in Flaw] == [row.name for row in TABLE]
    assert sum(kind.bits for kind in Flaw) == 4 ** len(Flaw) - 1 < 2 ** (8 * FLAGS.itemsize)


def test_characters_are_counted_by_class() -> None:
    table = counts_by_class(codes_of(["Aä1 ?", "", "Жя\0\u202e", "\ud800漢"]))
    latin, han = Character.LETTER + 1, Character.LETTER + 6
    assert [
        int(table[0, place])
        for place in (Character.LATIN_CAPITAL, latin, Character.DIGIT, Character.SPACE, Character.QUESTION)
    ] == [1] * 5
    assert table[1].sum() == 0
    assert [int(table[2, place]) for place in (Character.CYRILLIC_CAPITAL, Character.NUL, Character.BIDI)] == [1] * 3
    assert (table[3, Character.LOST], table[3, han], table.sum()) == (1, 1, 11)


def test_keys() -> None:
    exact = exact_keys(codes_of(["a", "b", "a", ""]))
    assert (exact[0] == exact[2], exact[0] == exact[1], exact[3]) == (True, False, 0)
    same = normalised_keys(
        ["Straße, 5!", "STRASSE 5", "ｓｔｒａｓｓｅ５", "Strasse 6", "...", "été", "e\u0301te\u0301"]
    )
    assert same[0] == same[1] == same[2] != same[3]
    assert same[4] == 0
    assert same[5] == same[6]
    assert of_pairs(exact[:1], exact[1:2]) != of_pairs(exact[1:2], exact[:1])


def test_repeats() -> None:
    again, first = _repeats(np.array([7, 5, 7, 7, 5, 9], dtype=np.uint64))
    assert dict(zip(again.tolist(), first.tolist(), strict=True)) == {2: 0, 3: 0, 4: 1}
    assert len(_repeats(np.array([], dtype=np.uint64))[0]) == 0


def test_what_is_too_long_and_too_uneven() -> None:
    chars = np.array([[100, 120]] * 99 + [[100, 1201]])
    lengths = Lengths()
    lengths.add(chars)
    limits = lengths.limits()
    assert limits.longest == (1000, 1200)
    assert limits.ratio == pytest.approx(np.log(130 / 110), abs=0.01)
    flagged = limits.flags(chars)
    assert flagged[:99].sum() == 0
    assert flagged[99] == Flaw.LONG.bit(1) | Flaw.RATIO.bits
    assert limits.flags(np.array([[0, 900]]))[0] == 0
    assert limits.flags(np.array([[100, 330], [100, 250]])).tolist() == [Flaw.RATIO.bits, 0]


def test_scripts_of_languages() -> None:
    assert scripts_of("de_AT") == scripts_of("EN") == {"Latin"}
    assert scripts_of("ja") == {"Han", "Hiragana", "Katakana"}
    assert scripts_of("sr-Latn") == {"Latin", "Cyrillic"}
    assert scripts_of("src") == scripts_of("xx") == frozenset()
    for codes in LANGUAGES.values():
        assert codes.split() == sorted(set(codes.split()))


@pytest.mark.parametrize(
    ("language", "lines", "wrong"),
    [
        ("ru", ["Да.", "iPhone 5 от Apple", "Microsoft Windows", "This is all in English, my dear."], [False, False, False, True]),
        ("en", ["Yes.", "π = 3.14", "Москва", "He said Да.", "..."], [False, False, True, False, False]),
        ("xx", ["раз", "два", "three"], [False, False, False]),
    ],
)  # fmt: skip
def test_lines_in_another_script(language: str, lines: list[str], wrong: list[bool], tmp_path: Path) -> None:
    write_lines(tmp_path / "a", lines)
    write_lines(tmp_path / "b", ["x"] * len(lines))
    with check(LineFiles(tmp_path / "a", tmp_path / "b"), (language, "en"), None, lambda *_: None) as checked:
        flags = np.fromfile(checked.flags, dtype=FLAGS)
    assert [bool(flag & Flaw.SCRIPT.bit(0)) for flag in flags] == wrong


def test_a_repaired_line_is_clean() -> None:
    line = "\ufeffa\0b\x1b\u202ec\r\u2028d u\u0308"
    assert repaired(line) == "abc d ü"
    assert repaired(repaired(line)) == repaired(line)
    untouched = "Ein\tSatz \u200d\ufe0f mit allem … ﬁ!"
    assert repaired(untouched) == untouched


def test_what_becomes_of_invisible_characters_is_what_training_makes_of_them() -> None:
    """The table says dropped of those that cleaning drops, and kept of those that it keeps."""
    table = classes_of_code_points()
    for code in (*range(0x20000), *range(0xE0000, 0xE1000)):
        line, kind = f"a{chr(code)}b", int(table[code])
        dropped = as_trained_on(line) == "ab"
        assert dropped == (kind in (Character.INVISIBLE, Character.BIDI) or code == 0xFEFF), hex(code)
        if dropped:
            assert repaired(line) == "ab"
        if kind == Character.JOINING:
            assert as_trained_on(line) == repaired(line) == line
    assert Flaw.INVISIBLE.row.remedy == "repaired"
    assert Flaw.JOINING.row.remedy == "kept"
