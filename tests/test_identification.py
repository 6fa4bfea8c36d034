"""A text whose languages stand in each other's place as a whole is told, wherever it is given."""

import random
from pathlib import Path

import pytest
from checked import Sides, found, written
from commands import Terminal
from corpora import TinyCorpus, write_lines
from test_check_data import clean  # noqa: F401 (a fixture)

from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data import identification
from seq2seq_cli.data.corpora import find_corpus
from seq2seq_cli.data.identification import look_swapped, swapped_notes
from seq2seq_cli.data.pairs import Lines
from seq2seq_cli.data.prepare import prepare
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.evaluation.testset import FoundTests
from seq2seq_cli.runs import Run


@pytest.mark.parametrize("count", [30, 400])
def test_a_text_that_is_swapped_as_a_whole(count: int, clean: Sides, tmp_path: Path, terminal: Terminal) -> None:  # noqa: F811
    src, tgt = clean[0][:count], clean[1][:count]
    prefix = written(tmp_path, (tgt, src))
    status, record = found(terminal, prefix)
    assert status == 3
    assert record["swapped"]["pairs"] == count
    answer = terminal.run("check-data", prefix, "--src", "de", "--tgt", "en", "--fix", tmp_path / "mended")
    assert answer.status == 0
    assert "what should be de reads like en, and what should be en, like de" in answer.out
    kept = set(zip(src, tgt, strict=True))
    mended = list(zip(*(read_lines(tmp_path / f"mended.{side}") for side in ("de", "en")), strict=True))
    assert len(mended) > 0.95 * count
    assert set(mended) <= kept


def test_pairs_that_are_right_in_a_text_that_is_swapped(clean: Sides, tmp_path: Path, terminal: Terminal) -> None:  # noqa: F811
    src, tgt = list(clean[1]), list(clean[0])
    rows = random.Random(3).sample(range(len(src)), 60)
    for row in rows:
        src[row], tgt[row] = tgt[row], src[row]
    _, record = found(terminal, written(tmp_path, (src, tgt)))
    assert len(src) - 60 <= record["swapped"]["pairs"] <= len(src) - 50


@pytest.mark.parametrize(
    ("languages", "swapped"),
    [
        (("en", "de"), True),
        (("EN", "de_AT"), True),
        (("de", "en"), False),
        (("xx", "de"), False),
        (("en", "en"), False),
    ],
)
def test_codes_of_languages(languages: tuple[str, str], swapped: bool, clean: Sides) -> None:  # noqa: F811
    assert look_swapped(clean[0], clean[1], languages) is swapped
    assert not look_swapped(clean[0][:20], clean[1][:20], languages)  # too few to tell


def test_the_other_corpus_is_as_it_should_be() -> None:
    dev = Lines.read(find_corpus(DataConfig(corpus="bible-es-en")).dev)
    told = {"right": dev, "wrong": Lines(dev.tgt, dev.src)}
    assert swapped_notes(told, ("es", "en")) == [
        "wrong: the two sides look swapped: what should be es reads like en, and what should be en, like es."
    ]


ENGLISH = [f"He has bought {number} books for his friends and for himself." for number in range(1400)]
HEBREW = [f"הוא קנה {number} ספרים לחבריו ולעצמו." for number in range(1400)]


def test_the_sample_is_of_all_of_a_text() -> None:
    """Not of its beginning, which has more parts than are looked at."""
    begin, rest = slice(400), slice(400, None)
    assert look_swapped(HEBREW[begin] + ENGLISH[rest], ENGLISH[begin] + HEBREW[rest], ("he", "en"))
    assert not look_swapped(ENGLISH[begin] + HEBREW[rest], HEBREW[begin] + ENGLISH[rest], ("he", "en"))


def test_an_older_code_of_a_language() -> None:
    assert look_swapped(ENGLISH[:60], HEBREW[:60], ("iw", "en"))
    assert not look_swapped(HEBREW[:60], ENGLISH[:60], ("iw", "en"))


def test_two_scripts(tmp_path: Path, terminal: Terminal) -> None:
    english = [f"He has bought {number} books for his friends and for himself." for number in range(60)]
    russian = [f"Он купил {number} книг для своих друзей и для себя." for number in range(60)]
    write_lines(tmp_path / "a.ru", english)
    write_lines(tmp_path / "a.en", russian)
    out = terminal.run("check-data", tmp_path / "a", "--src", "ru", "--tgt", "en").out
    assert "swapped: the two sides as a whole" in out
    assert "script" not in out.partition("not found")[0]


def test_the_identifier_knows_what_it_is_said_to_know() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    labels = LanguageIdentifier.from_model_file(MODEL_FILE).labels
    assert set(identification._KNOWN.split()) == {label for label in labels if len(label) == 2}


def test_without_room_to_unpack_it_nothing_is_said(clean: Sides, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def full(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert not look_swapped(clean[1], clean[0], ("de", "en"))


def test_it_is_not_loaded_for_languages_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "_identifier", None)
    assert not look_swapped(["a b"] * 100, ["c d"] * 100, ("xx", "en"))


def test_training_and_evaluation_tell_of_it(clean: Sides, tiny_corpus: TinyCorpus, tmp_path: Path, cache: Path) -> None:  # noqa: F811
    written(tmp_path, clean)
    prefix = written(tmp_path, (clean[1][:50], clean[0][:50]), "test")
    data: dict[str, object] = {
        "train": str(tmp_path / "train"),
        "dev": str(tmp_path / "train"),
        "test": str(prefix),
        "src": "de",
        "tgt": "en",
    }
    config = tiny_corpus.config(data=data, subword={"vocab_size": 120})
    prepared = prepare(config.data, config.subword)
    said = f"{prefix}.de and {prefix}.en: the two sides look swapped"
    [told] = [note for note in prepared.notes if "swapped" in note]
    assert told.startswith(said)
    run = Run(tmp_path / "run")
    run.directory.mkdir()
    run.config.write_text(config.to_toml(), encoding="utf-8")
    notes: list[str] = []
    texts = FoundTests()
    for _ in range(2):
        texts.of(config.data, run, notes.append)
    assert len(notes) == 1
    assert notes[0].startswith(said)
