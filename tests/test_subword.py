"""Text survives the round trip, sizes fit the text, the same text gives the same model."""

import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.config import SubwordConfig
from seq2seq_cli.data.subword import BOS, EOS, PAD, UNK, Subword, Subwords, train_subword
from seq2seq_cli.data.text import clean
from seq2seq_cli.errors import BrokenOffError, ConfigError, RunError
from seq2seq_cli.runs import Run

LETTERS = string.ascii_letters + "äöüß\u2026\uff0c!? "
TEXT = [f"{LETTERS[i:]} {LETTERS[:i]} Haus Maus haus" for i in range(0, len(LETTERS), 3)]


def config(kind: str, vocab_size: int) -> SubwordConfig:
    return SubwordConfig.model_validate({"type": kind, "vocab_size": vocab_size})


MODELS = {kind: train_subword(TEXT, config(kind, 100)) for kind in ("unigram", "bpe", "char")}


@pytest.fixture(scope="module")
def model() -> Subword:
    return train_subword(TEXT, SubwordConfig(vocab_size=120))


def test_special_ids(model: Subword) -> None:
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    assert model.pieces([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
@given(line=st.text(alphabet=LETTERS))
def test_text_comes_back(kind: str, line: str) -> None:
    model = MODELS[kind]
    [ids] = model.encode([line])
    assert model.decode(ids) == clean(line)
    assert "".join(model.pieces(ids)).replace("▁", " ").strip() == clean(line)
    assert not {PAD, UNK, BOS, EOS} & set(ids)


def test_words() -> None:
    words = train_subword(["das Haus", "das Meer"], SubwordConfig(type="word"))
    [ids] = words.encode(["das Meer das Boot"])
    assert words.pieces(ids) == ["▁das", "▁Meer", "▁das", "<unk>"]
    assert len(words) == 4 + 3


def test_blank_lines_and_odd_characters(model: Subword) -> None:
    assert model.encode(["", " \t\u2028\0 ", "\ud800"]) == [[], [], []]
    assert model.decode([]) == ""
    [ids, spaced] = model.encode(["Haus\0Maus", "Haus Maus"])
    assert ids == spaced
    assert UNK in model.encode(["Ω"])[0]
    assert EOS not in model.encode(["</s><pad>"])[0]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
@pytest.mark.parametrize("line", ["Haus " * 100_000, "H" * 500_000])
def test_lines_long_beyond_reason(kind: str, line: str) -> None:
    model = MODELS[kind]
    assert model.decode(model.encode([line])[0]) == line.strip()


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "char"])
def test_training_on_a_line_long_beyond_reason(kind: str) -> None:
    model = train_subword(["ab" * 100_000, "c " * 100_000], config(kind, 50))
    assert len(model) > 4
    assert kind == "word" or UNK not in model.encode(["abc"])[0]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word"])
def test_a_small_text_gets_the_largest_size_that_works(kind: str) -> None:
    def size(wanted: int) -> int:
        return len(train_subword(TEXT, config(kind, wanted)))

    largest = size(8000)
    assert largest < 8000
    assert size(largest) == size(largest + 1) == largest
    assert size(largest - 1) == largest - 1


def test_characters() -> None:
    text = ["abc", "cab"]
    assert len(train_subword(text, SubwordConfig(type="char"))) == 4 + 3 + 1  # the fourth: ▁


def test_a_size_below_the_number_of_characters() -> None:
    with pytest.raises(ConfigError) as caught:
        train_subword([string.ascii_lowercase], SubwordConfig(vocab_size=10))
    needed = 26 + 1 + 4
    assert caught.value.where == "subword.vocab_size"
    assert caught.value.what == f"10 pieces are too few: the characters of this text alone need {needed}."
    assert len(train_subword([string.ascii_lowercase], SubwordConfig(vocab_size=needed))) == needed


def test_the_same_text_gives_the_same_model_silently(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = (train_subword(TEXT, SubwordConfig(vocab_size=110)) for _ in range(2))
    assert first.model == second.model
    assert train_subword(TEXT[1:], SubwordConfig(vocab_size=110)).model != first.model
    assert capfd.readouterr() == ("", "")


def test_threads_do_not_change_ids(model: Subword) -> None:
    assert model.encode(TEXT * 50, threads=3) == model.encode(TEXT * 50)


@pytest.mark.parametrize("joint", [True, False])
def test_models_come_back_from_a_run(model: Subword, joint: bool, tmp_path: Path) -> None:
    saved = Subwords(model, model if joint else MODELS["bpe"])
    saved.save(Run(tmp_path))
    loaded = Subwords.load(Run(tmp_path), joint)
    assert loaded.joint is saved.joint is joint
    assert (loaded.src.model, loaded.tgt.model) == (saved.src.model, saved.tgt.model)
    names = {"subword.model"} if joint else {"subword.src.model", "subword.tgt.model"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_file_that_is_no_model(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "subword.model"
    with pytest.raises(RunError, match=r"subword\.model: the tokenizer cannot be read: No such file"):
        Subword.load(path)
    for content in (b"no model", b""):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"subword\.model: this is not a SentencePiece model"):
            Subword.load(path)
    assert capfd.readouterr() == ("", "")


def test_text_that_breaks_off_is_told_as_what_it_is() -> None:
    def sentences() -> Iterator[str]:
        yield "ein Haus"
        raise BrokenOffError("no route", "someone/wmt")

    with pytest.raises(BrokenOffError, match="someone/wmt: no route"):
        train_subword(sentences(), SubwordConfig(vocab_size=20))
