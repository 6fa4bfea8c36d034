import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.data.subword import readable
from seq2seq_cli.data.words import word_starts
from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.evaluation.alignment import by_pieces, by_words


def test_columns_are_summed_and_rows_averaged() -> None:
    weights_TS = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.3, 0.7]], np.float32)
    grid = by_words(Alignment(("▁schl", "äft", ".", "</s>"), ("▁sle", "eps", "</s>"), weights_TS))
    assert grid.source == ("schläft.", "</s>")
    assert grid.target == ("sleeps", "</s>")
    # sleeps: the mean of 0.9 and 0.6, and of 0.1 and 0.4
    np.testing.assert_allclose(grid.weights_TS, [[0.75, 0.25], [0.3, 0.7]], atol=1e-7)
    assert grid.seen_TS is None
    assert grid.centre_T is None


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("▁Ein ▁Hund . </s>", "Ein Hund. </s>"),
        ("▁ E i n ▁ H u n d . </s>", "Ein Hund. </s>"),  # a character vocabulary
        ("▁Ein ▁Hund. </s>", "Ein Hund. </s>"),  # a word vocabulary
        ("▁ Ω ▁ist </s>", "Ω ist </s>"),  # a lone ▁ before a rare character
        ("▁ ▁Ein </s>", "Ein </s>"),
        ("▁Ein ▁ </s>", "Ein ▁ </s>"),  # a space at the end
        ('▁( " Ein " ) </s>', '("Ein") </s>'),
        ("▁a <unk> b ▁ <unk> </s>", "a⁇b ⁇ </s>"),
        ("▁the <unk> ▁cat </s>", "the ⁇ cat </s>"),  # every known piece is a whole word, so is the unknown one
        ("<unk> <unk> </s>", "⁇ ⁇ </s>"),
        ("▁我 喜欢 茶 。 </s>", "我 喜欢 茶。 </s>"),  # no spaces are written between these words
        ("▁แม ว ่ า </s>", "แม ว่ า </s>"),  # a tone mark stays with its letter
        ("ohne ▁Zeichen </s>", "ohne Zeichen </s>"),
        ("</s>", "</s>"),
    ],
)
def test_words_of_pieces(tokens: str, expected: str) -> None:
    source = tuple(tokens.split(" "))
    assert by_words(Alignment(source, ("</s>",), np.ones((1, len(source)), np.float32))).source == tuple(
        expected.split()
    )


@given(st.data())
def test_rows_that_sum_to_one_still_do(data: st.DataObject) -> None:
    token = st.sampled_from(["▁", "▁ein", "ein", ".", "<unk>", "我"])
    source = (*data.draw(st.lists(token, max_size=8)), "</s>")
    target = (*data.draw(st.lists(token, max_size=8)), "</s>")
    weights_TS = np.random.default_rng(len(source)).dirichlet(np.ones(len(source)), len(target)).astype(np.float32)
    grid = by_words(Alignment(source, target, weights_TS))
    assert grid.weights_TS.shape == (len(grid.target), len(grid.source))
    np.testing.assert_allclose(grid.weights_TS.sum(1), 1, atol=1e-5)
    # Only ▁ may go: every other character is still there, in order.
    assert "".join(grid.source).replace("▁", "") == "".join(map(readable, source)).replace("▁", "")
    assert grid.source[-1] == grid.target[-1] == "</s>"
    assert word_starts(source)[0] == 0
    assert word_starts(source)[-1] == len(source) - 1


def local(centres: list[float]) -> Alignment:
    source = ("▁a", "▁b", "b", "b", "▁c", "</s>")
    target = ("▁x", "x", "</s>")
    return Alignment(source, target, np.full((3, 6), 1 / 6, np.float32), np.array(centres, np.float32), radius=1)


def test_a_window_over_pieces() -> None:
    grid = by_pieces(local([0, 1.5, 4]))
    assert grid.seen_TS is not None
    assert grid.seen_TS.astype(int).tolist() == [[1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]
    assert grid.centre_T is not None
    assert grid.centre_T.tolist() == [0, 1.5, 4]


def test_a_window_over_words() -> None:
    grid = by_words(local([0, 2, 4]))
    assert grid.source == ("a", "bbb", "c", "</s>")
    assert grid.seen_TS is not None
    assert grid.centre_T is not None
    # "xx" saw a and the first b, then the three b's; </s> saw the last b, c and </s>.
    assert grid.seen_TS.tolist() == [[True, True, False, False], [False, True, True, True]]
    # 0 is the middle of a, 2 the middle of bbb (word 1): their mean is 0.5; 4 is the middle of c (word 2).
    assert grid.centre_T.tolist() == [0.5, 2]


def test_a_centre_keeps_its_place_within_a_word() -> None:
    grid = by_words(local([3, 3, 3]))
    # The third b of three: a third of a word right of the middle of word 1.
    assert grid.centre_T == pytest.approx([1 + 1 / 3, 1 + 1 / 3])


def test_pieces_change_nothing() -> None:
    alignment = Alignment(("▁a", "</s>"), ("</s>",), np.array([[0.25, 0.75]], np.float32))
    grid = by_pieces(alignment)
    assert (grid.source, grid.target) == (("▁a", "</s>"), ("</s>",))
    assert grid.weights_TS.tolist() == [[0.25, 0.75]]
