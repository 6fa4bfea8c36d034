"""Words of pieces and of lines: whatever the tokenizer makes of a line, its words are what white space separates."""

import numpy as np
import pytest
from earlier import earlier_subword
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.config.sections import SubwordConfig
from seq2seq_cli.data.subword import readable, train_subword
from seq2seq_cli.data.text import clean
from seq2seq_cli.data.words import words_of_line, words_of_pieces
from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.evaluation.alignment import merged

LETTERS = "abcdefgäöé!?"
TEXT = [f"{LETTERS[i:]} {LETTERS[:i]} abc cab" for i in range(1, len(LETTERS))]
MODELS = {
    kind: train_subword(TEXT, SubwordConfig.model_validate({"type": kind, "vocab_size": 60}))
    for kind in ("unigram", "bpe", "char", "word")
}
ODD = "ab \t\n\0\x1c\u00a0\u200b\ufeff\u2028\u3000▁e\u0301Ω我🙂\u1100\u1161"
"""Letters known and unknown, white space, what is read as such, a plain ▁, and characters that combine."""


@pytest.mark.parametrize(
    ("line", "pieces", "edges"),
    [
        ("", "", [0, 1]),
        (" \t ", "", [0, 1]),
        ("ta nu", "▁ta ▁n u", [0, 1, 3, 4]),
        ("  ta \t nu ", "▁ta ▁n u", [0, 1, 3, 4]),
        ("ta\u3000nu\u2028ki", "▁ta ▁nu ▁ki", [0, 1, 2, 3, 4]),
        ("ta\u200bnu\0ki po", "▁ta nu ▁ki ▁po", [0, 3, 4, 5]),  # dropped; read as a space, but no white space
        ("ta \u200b\ufeff nu", "▁ta ▁nu", [0, 1, 1, 2, 3]),  # a word of which nothing is left
        ("\0 ta", "▁ta", [0, 0, 1, 2]),
        ("ta \0", "▁ta", [0, 1, 1, 2]),
        ("\0", "", [0, 0, 1]),
        ("e\u0301 \u0301a", "▁é ▁ \u0301 a", [0, 1, 4, 5]),  # composed where it can be
        ("Ωa ta", "▁ Ω a ▁ta", [0, 3, 4, 5]),  # a lone ▁ belongs to what follows
        ("ta Ω ΨΨΨ nu", "▁ta ▁Ω▁ΨΨΨ ▁nu", [0, 1, 1 + 2 / 6, 2, 3, 4]),  # ▁Ω is two characters of six
        ("Ω Ω", "▁Ω▁Ω", [0, 0.5, 1, 2]),
        ("我喜欢茶。", "▁我 喜欢 茶 。", [0, 4, 5]),  # one word
        ("我 喜欢", "▁我 ▁喜欢", [0, 1, 2, 3]),
        ("a▁b c", "▁a ▁b ▁c", [0, 2, 3, 4]),  # a ▁ of the text itself
        ("a ▁", "▁a", [0, 1, 1, 2]),  # SentencePiece drops it at the end
    ],
)
def test_words_of_odd_lines(line: str, pieces: str, edges: list[float]) -> None:
    words = words_of_line(line, pieces.split(" ") if pieces else [])
    assert words.texts == (*line.split(), "</s>")
    assert words.edges.tolist() == pytest.approx(edges)


@pytest.mark.parametrize("kind", MODELS)
@given(line=st.text(alphabet=ODD, max_size=12))
def test_every_word_has_its_own_characters(kind: str, line: str) -> None:
    written = MODELS[kind].written_pieces(line)
    assert len(written) == len(MODELS[kind].encode([line])[0])
    words = words_of_line(line, written)
    assert len(words.texts) == len(line.split()) + 1 == len(words.edges) - 1
    assert words.edges[[0, -2, -1]].tolist() == [0, len(written), len(written) + 1]
    np.testing.assert_allclose(words.shares().sum(1), 1)
    # Where no edge divides a piece, the pieces of a word spell it; SentencePiece drops ▁ at the end of a line.
    if np.all(words.edges == words.edges.round()):
        written = [readable(piece) for piece in written]
        spelled = ["".join(written[int(a) : int(b)]) for a, b in zip(words.edges[:-2], words.edges[1:-1], strict=True)]
        for text, found in zip(line.split(), spelled, strict=True):
            assert found.strip("▁") == clean(text).replace(" ", "▁").strip("▁")


def test_unknown_words_in_a_row_are_divided() -> None:
    """A tokenizer of an earlier version makes one piece of them; one of today's, a piece of each."""
    line = "abc ΩΩΩ Ψ abc"
    assert MODELS["word"].written_pieces(line) == ["▁abc", "▁ΩΩΩ", "▁Ψ", "▁abc"]
    written = earlier_subword(TEXT, "word", 60).written_pieces(line)
    assert written == ["▁abc", "▁ΩΩΩ▁Ψ", "▁abc"]
    words = words_of_line(line, written)
    assert words.texts == (*line.split(), "</s>")
    assert words.edges.tolist() == pytest.approx([0, 1, 1 + 4 / 6, 2, 3, 4])


def test_weights_of_divided_and_missing_words() -> None:
    # The source's second piece is two words of two and four characters; the target's second word has no piece.
    source = words_of_line("ta Ω ΨΨΨ", ["▁ta", "▁Ω▁ΨΨΨ"])
    target = words_of_line("la \0 ro", ["▁la", "▁r", "o"])
    weights_TS = np.array([[0.1, 0.6, 0.3], [0.0, 0.9, 0.1], [0.4, 0.3, 0.3], [0, 0, 1]], np.float32)
    centres = np.array([0, 1, 1, 2], np.float32)
    alignment = Alignment(("▁ta", "<unk>", "</s>"), ("▁la", "▁r", "o", "</s>"), weights_TS, centres, radius=0)
    grid = merged(alignment, source, target)
    assert (grid.source, grid.target) == (("ta", "Ω", "ΨΨΨ", "</s>"), ("la", "\0", "ro", "</s>"))
    nothing = [np.nan] * 4
    expected = np.array([[0.1, 0.2, 0.4, 0.3], nothing, [0.2, 0.2, 0.4, 0.2], [0, 0, 0, 1]])
    np.testing.assert_allclose(grid.weights_TS, expected, atol=1e-6)
    # The middle of the second piece, character 3 of 6, is a quarter into ΨΨΨ (word 2, from 1.5 to 2.5).
    assert grid.centre_T is not None
    np.testing.assert_allclose(grid.centre_T, [0, np.nan, 1.75, 3])
    assert grid.seen_TS is not None
    assert grid.seen_TS.astype(int).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("pieces", [
    ("▁la", "ro", "▁se"), ("la", "▁ro"), ("▁", "la"), ("<unk>", "▁la"), ("▁la", "<unk>"), ("我", "▁la"), (),
])  # fmt: skip
def test_a_beginning_is_a_word_and_all_others_are_what_they_were(pieces: tuple[str, ...]) -> None:
    assert words_of_pieces(("<s>", *pieces)).texts == ("<s>", *words_of_pieces((*pieces, "</s>")).texts[:-1])


def test_words_of_pieces_may_differ_from_those_of_the_line() -> None:
    assert words_of_pieces(("▁我", "喜欢", "。", "</s>")).texts == ("我", "喜欢。", "</s>")
    assert words_of_line("我喜欢。", ("▁我", "喜欢", "。")).texts == ("我喜欢。", "</s>")
