"""Text survives the round trip, sizes fit the text, the same text gives the same model."""

import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from earlier import earlier_subword
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli.config.sections import SubwordConfig
from seq2seq_cli.data.subword import BOS, EOS, PAD, UNK, Subword, Subwords, train_subword
from seq2seq_cli.data.text import clean
from seq2seq_cli.errors import BrokenOffError, ConfigError, RunError
from seq2seq_cli.runs import Run

LETTERS = string.ascii_letters + "äöüß\u2026\uff0c!? "
TEXT = [f"{LETTERS[i:]} {LETTERS[:i]} Haus Maus haus" for i in range(0, len(LETTERS), 3)]


def config(kind: str, vocab_size: int) -> SubwordConfig:
    return SubwordConfig.model_validate({"type": kind, "vocab_size": vocab_size})


EVERY_CHARACTER = st.text(st.characters(exclude_categories=[]))
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


KINDS = ("unigram", "bpe", "char", "word")
ODD_WORDS = [
    "<unk>",
    "</s>",
    "<s>",
    "<pad>",
    "<0x41>",
    "(<unk>)",
    "snake\u2581case",
    "\u2581",
    "\u2047",
    "\u2585\u2583",
    "a\u2581",
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_looks_like_a_mark_comes_back(kind: str) -> None:
    lines = [f"{odd} und {odd}{odd} {odd}" for odd in ODD_WORDS] * 5 + ["<>/s unk pad 0x41"] * 5
    model = train_subword(lines, config(kind, 300))
    for line in lines:
        [ids] = model.encode([line])
        assert not {PAD, UNK, BOS, EOS} & set(ids)
        assert model.decode(ids) == model.text(model.written_pieces(line)) == line
        assert model.ids(model.pieces(ids)) == ids
    if kind == "bpe":  # a piece of text that is written like a mark is another piece
        assert UNK not in model.ids(model.pieces(list(range(4, len(model)))))
    assert model.ids(["<pad>", "<unk>", "<s>", "</s>"]) == [PAD, UNK, BOS, EOS]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(lines=st.lists(EVERY_CHARACTER | st.sampled_from(ODD_WORDS), max_size=8))
def test_whatever_a_line_holds_comes_back(kind: str, lines: list[str]) -> None:
    """All of Unicode: what a model was trained on, it can spell."""
    model = train_subword([*lines, " ".join(lines), "a"], config(kind, 100_000))
    for line in [*lines, " ".join(lines)]:
        [ids] = model.encode([line])
        assert model.decode(ids) == clean(line)
        assert len(model.written_pieces(line)) == len(ids)


@pytest.mark.parametrize("kind", KINDS)
@given(line=st.text(alphabet="ab Ωψ我\u2581\u2585\u0301"))
def test_what_is_not_known_is_one_mark_in_its_place(kind: str, line: str) -> None:
    model = train_subword(["ab ba abab"] * 5, config(kind, 100))
    unknown = re.compile(r"[^ ]*[^ab ][^ ]*" if kind == "word" else r"[^ab ]+")
    known = {"ab", "ba", "abab"}
    words = [word if kind != "word" or word in known else "⁇" for word in unknown.sub("⁇", clean(line)).split()]
    assert model.decode(model.encode([line])[0]) == " ".join(words)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_pieces_of_a_translation_leave_no_blanks(kind: str) -> None:
    """Whatever pieces a search puts side by side, of a tokenizer of today or of an earlier version."""
    for model in (train_subword(TEXT, config(kind, 100)), earlier_subword(TEXT, kind, 100)):
        [haus] = model.encode(["Haus"])
        for ids in ([UNK], [UNK, *haus], [*haus, UNK], [*haus, UNK, UNK, *haus], [UNK, BOS, EOS, PAD]):
            text = model.decode(ids)
            assert text == " ".join(text.split())
            assert text.count("⁇") == ids.count(UNK)
    word = " " if kind == "word" else ""
    assert model.decode([*haus, UNK, *haus]) == f"Haus{word}⁇ Haus"


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizers_of_earlier_versions_read_as_they_did(kind: str) -> None:
    """Runs that were trained with them go on translating the same."""
    model = earlier_subword([*TEXT, "a b"], kind, 100)
    assert model.pieces([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert model.ids(["<pad>", "<unk>", "<s>", "</s>"]) == [PAD, UNK, BOS, EOS]
    zero_width, blank = model.encode(["Haus\u200bMaus", "Haus Maus"])
    assert zero_width == blank
    assert model.encode(["Haus\u2581Maus"]) == [blank]
    assert model.decode(blank) == "Haus Maus"
    if kind == "word":
        assert len(model.encode(["Ω Ψ"])[0]) == 1


def test_words() -> None:
    words = train_subword(["das Haus", "das Meer"], SubwordConfig(type="word"))
    [ids] = words.encode(["das Meer das Boot"])
    assert words.pieces(ids) == ["▁das", "▁Meer", "▁das", "<unk>"]
    assert len(words) == 4 + 3


def test_blank_lines_and_odd_characters(model: Subword) -> None:
    assert model.encode(["", " \t\u2028\0 ", "\u200b\u00ad \ufeff"]) == [[], [], []]
    assert model.decode(model.encode(["\ud800"])[0]) == "⁇"
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
