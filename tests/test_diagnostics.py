"""What alignments have in common: numbers worked out by hand, the shapes one knows by eye, and when words are said."""

from dataclasses import replace
from math import log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learners import CPU

from seq2seq_cli.decoding.hypothesis import Alignment
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.diagnostics import Diagnostics, diagnose, entropies, kendall_tau, moving_shares
from seq2seq_cli.runs import Run

Rows = list[list[float]] | np.ndarray


def alignment(rows: Rows, source: str = "", target: str = "") -> Alignment:
    """Of these weights; each piece is a word unless ``source`` and ``target`` say otherwise. The step that writes
    ``</s>`` is added, and looks at ``</s>``."""
    weights_TS = np.array(rows, np.float32)
    steps, positions = weights_TS.shape
    columns = tuple(source.split()) or tuple(f"▁s{i}" for i in range(positions - 1))
    written = tuple(target.split()) or tuple(f"▁t{i}" for i in range(steps))
    last_S = np.eye(positions, dtype=np.float32)[-1:]
    return Alignment((*columns, "</s>"), (*written, "</s>"), np.concatenate([weights_TS, last_S]))


def figures(*alignments: Alignment) -> Diagnostics:
    found = diagnose(alignments)
    assert found is not None
    return found


def test_a_sentence_worked_out_by_hand() -> None:
    # x looks at half a, a quarter b, a quarter </s>: 0.5 x 1 + 2 x 0.25 x 2 = 1.5 bits. y looks at b alone: 0 bits.
    found = figures(alignment([[0.5, 0.25, 0.25], [0, 1, 0]]))
    assert (found.sentences, found.target_pieces) == (1, 2)
    assert found.entropy_bits == pytest.approx(0.75)
    assert found.even_bits == pytest.approx(log2(3))
    assert found.largest_weight == pytest.approx(0.75)
    assert found.end_share == pytest.approx(0.125)
    # To turn the one row into the other, 0.5 goes from a to b and 0.25 from </s> to b.
    assert found.moving_share == pytest.approx(0.75)
    # a has 0.5 in all and b 1.25: neither is under a half.
    assert found.unattended_share == 0
    # x looks, on the mean, at 0.25 / 0.75 = 1/3, y at 1: the one pair rises.
    assert found.order_tau == 1


def test_a_word_is_attended_where_its_weights_sum_to_a_half() -> None:
    # Three words with 0.25 + 0.125 = 0.375, 0.125 + 0.375 = 0.5 and 0.5 + 0.5 = 1: the first alone is under a half.
    found = figures(alignment([[0.25, 0.125, 0.5, 0.125], [0.125, 0.375, 0.5, 0]]))
    assert found.unattended_share == pytest.approx(1 / 3)


def test_coverage_and_order_are_those_of_words_the_rest_of_pieces() -> None:
    rows: Rows = [[0.5, 0.125, 0.125, 0.25], [0.25, 0.25, 0.25, 0.25], [0, 0, 1, 0]]
    found = figures(alignment(rows, source="▁schl äft ▁tief", target="▁sle eps ▁deep"))
    # äft alone has 0.125 + 0.25, under a half; the word schläft has (0.625 + 0.5) / 2, and that is over it.
    assert found.unattended_share == 0
    # One pair of words, sleeps at 0.1875 / 0.75 and deep at 1.
    assert found.order_tau == 1
    assert found.target_pieces == 3
    assert found.entropy_bits == pytest.approx((1.75 + 2 + 0) / 3)
    assert found.even_bits == pytest.approx(2)


def test_pieces_of_one_word_are_no_order() -> None:
    found = figures(alignment([[0, 1, 0], [1, 0, 0]], target="▁sle eps"))
    assert found.order_tau is None
    # Backwards within the word: as two words, it would have been -1.
    assert figures(alignment([[0, 1, 0], [1, 0, 0]])).order_tau == -1


def test_the_end_is_no_place_in_the_order() -> None:
    # x and y look at b alone, apart from </s>: tied.
    assert figures(alignment([[0, 0.5, 0.5], [0, 1, 0]])).order_tau is None
    # The word between them looks at </s> alone, and is left out of the order: one pair, and it rises.
    assert figures(alignment([[1, 0, 0], [0, 0, 1], [0, 1, 0]])).order_tau == 1


def test_means_are_over_the_steps_of_all_sentences() -> None:
    one = alignment([[1, 0]])  # 0 bits, of at most 1
    three = alignment(np.full((3, 4), 0.25))  # three times 2 bits, of at most 2
    found = figures(one, three)
    assert (found.sentences, found.target_pieces) == (2, 4)
    assert found.entropy_bits == pytest.approx(1.5)
    assert found.even_bits == pytest.approx((1 + 3 * 2) / 4)
    assert found.largest_weight == pytest.approx((1 + 3 * 0.25) / 4)
    assert found.end_share == pytest.approx((0 + 3 * 0.25) / 4)
    # A sentence of one piece has nothing to move from; the three others stay.
    assert found.moving_share == pytest.approx(0)
    # Of the words, one has 1 and three have 0.75.
    assert found.unattended_share == 0


def test_one_piece_alone_neither_moves_nor_has_an_order() -> None:
    found = figures(alignment([[0.75, 0.25]]))
    assert found.moving_share is None
    assert found.order_tau is None
    assert found.verdict == "attention cannot be judged: no translation has two pieces"
    assert "moves" not in found.figures
    assert "tau" not in found.figures


def test_sentences_without_weights_are_passed_over() -> None:
    nothing_written = Alignment(("▁a", "</s>"), ("</s>",), np.array([[0.5, 0.5]], np.float32))
    assert diagnose([]) is None
    assert diagnose([None, None]) is None
    assert diagnose([nothing_written]) is None
    one = alignment([[0.5, 0.25, 0.25], [0, 1, 0]])
    assert figures(one) == diagnose([None, nothing_written, one, None])
    lost, nowhere = alignment([[np.nan, 0.5, 0.5], [0, 1, 0]]), alignment([[0, 0, 0], [0, 1, 0]])
    assert diagnose([lost, nowhere]) is None
    assert figures(one) == diagnose([lost, one, nowhere])


def test_entropies_of_rows() -> None:
    rows_TS = np.array([[0.5, 0.25, 0.125, 0.125], [0, 0, 1, 0], [0.25] * 4, [0.5, 0, 0.5, 0]])
    # 0.5 x 1 + 0.25 x 2 + 2 x 0.125 x 3 = 1.75
    assert entropies(rows_TS).tolist() == [1.75, 0, 2, 1]


def test_how_far_a_row_is_from_the_others() -> None:
    rows_TS = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])
    # From the mean of the other two: (0.25, 0.25, 0.5) is 0.75 away, (0.5, 0, 0.5) is 0.5, (0.75, 0.25, 0) is 1.
    assert moving_shares(rows_TS).tolist() == pytest.approx([0.75, 0.5, 1])
    assert len(moving_shares(rows_TS[:1])) == 0


@pytest.mark.parametrize(
    ("sentences", "tau"),
    [
        ([[0, 1, 2]], 1),
        ([[2, 1, 0]], -1),
        ([[1, 3, 2]], 1 / 3),  # two pairs rise, one falls
        ([[1, 1, 2]], 2 / sqrt(3 * 2)),  # one of three pairs is tied
        ([[1, 1.005, 2]], 2 / sqrt(3 * 2)),  # and so it is where they are as good as the same
        ([[5, 4], [0, 1, 2]], (3 - 1) / 4),  # pairs count, not sentences
        ([[7], [3, 3]], None),
        ([[]], None),
        ([], None),
    ],
)
def test_kendalls_tau(sentences: list[list[float]], tau: float | None) -> None:
    found = kendall_tau([np.array(positions, np.float64) for positions in sentences])
    assert found == (None if tau is None else pytest.approx(tau))


def plain_tau_b(x: list[int], y: list[int]) -> float | None:
    """The textbook's: (C - D) / sqrt((C + D + ties in x alone) (C + D + ties in y alone)), pair by pair."""
    rising = falling = tied_x = tied_y = 0
    for i in range(len(x)):
        for j in range(i):
            product = (x[i] - x[j]) * (y[i] - y[j])
            rising += product > 0
            falling += product < 0
            tied_x += x[i] == x[j] and y[i] != y[j]
            tied_y += y[i] == y[j] and x[i] != x[j]
    under = (rising + falling + tied_x) * (rising + falling + tied_y)
    return (rising - falling) / sqrt(under) if under else None


@given(st.lists(st.integers(0, 5), max_size=8))
def test_tau_is_the_textbooks(positions: list[int]) -> None:
    expected = plain_tau_b(list(range(len(positions))), positions)
    found = kendall_tau([np.array(positions, np.float64)])
    assert found == (None if expected is None else pytest.approx(expected))


def spread(on_end: float, words: int = 8) -> list[list[float]]:
    """Every step alike: ``on_end`` on ``</s>``, the rest evenly on the words."""
    return [[(1 - on_end) / words] * words + [on_end]] * words


FLAT = spread(1 / 9)
DIAGONAL = np.eye(8, 9)
SHAPES: dict[str, tuple[Rows, str]] = {
    "flat": (FLAT, "attention has not formed: the weight is spread evenly"),
    "on </s>": (spread(0.71), "attention has not formed: 71% of the weight lies on </s>"),
    "nowhere else": (spread(1.0), "attention has not formed: 100% of the weight lies on </s>"),
    "collapsed": (np.eye(8, 9)[[2] * 8], "attention has not formed: it stays at the same place whatever the target"),
    "a fixed pattern": (
        [[0.4, 0.4, 0, 0, 0, 0, 0, 0, 0.2]] * 8,
        "attention has not formed: it stays at the same places whatever the target",
    ),
    "diagonal": (DIAGONAL, "attention has formed, in the order of the source"),
    "reversed": (DIAGONAL[::-1], "attention has formed, in reverse order"),
    "peaked": (DIAGONAL[[3, 1, 6, 0, 7, 2, 5, 4]], "attention has formed, in mixed order"),
}


@pytest.mark.parametrize(("rows", "verdict"), SHAPES.values(), ids=SHAPES.keys())
def test_the_shapes_one_knows(rows: Rows, verdict: str) -> None:
    assert figures(alignment(rows)).verdict == verdict


def test_the_figures_of_these_shapes() -> None:
    flat, end, nowhere, collapsed, _, diagonal, reverse, _ = (figures(alignment(rows)) for rows, _ in SHAPES.values())
    assert flat.entropy_bits == pytest.approx(flat.even_bits) == pytest.approx(log2(9))
    # Each of its words has 8/9, each of 0.29 on eight words 0.29, and where all is at one of them, seven of eight none.
    assert [found.unattended_share for found in (flat, end, nowhere, collapsed)] == [0, 1, 1, 7 / 8]
    assert [found.moving_share for found in (flat, end, nowhere, collapsed)] == pytest.approx([0] * 4, abs=1e-6)
    assert [found.order_tau for found in (flat, end, nowhere, collapsed)] == [None] * 4
    for sharp in (collapsed, diagonal, reverse):
        assert (sharp.entropy_bits, sharp.largest_weight, sharp.end_share) == (0, 1, 0)
    for found in (diagonal, reverse):
        assert (found.moving_share, found.unattended_share) == (1, 0)
    assert (diagonal.order_tau, reverse.order_tau) == (1, -1)


FORMED = Diagnostics(
    sentences=3,
    target_pieces=20,
    entropy_bits=1.0,
    even_bits=4.0,
    largest_weight=0.6,
    end_share=0.05,
    moving_share=0.7,
    unattended_share=0.125,
    order_tau=0.8,
)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "has formed, in the order of the source"),
        ({"end_share": 0.499}, "has formed, in the order of the source"),
        ({"end_share": 0.5}, "has not formed: 50% of the weight lies on </s>"),
        ({"entropy_bits": 3.59}, "has formed, in the order of the source"),
        ({"entropy_bits": 3.6}, "has not formed: the weight is spread evenly"),
        ({"moving_share": 0.249}, "has not formed: it stays at the same place whatever the target"),
        (
            {"moving_share": 0.0, "largest_weight": 0.499},
            "has not formed: it stays at the same places whatever the target",
        ),
        ({"moving_share": 0.25}, "is forming: 25% of the weight moves with the target"),
        ({"moving_share": 0.494}, "is forming: 49% of the weight moves with the target"),
        ({"moving_share": 0.5}, "has formed, in the order of the source"),
        ({"moving_share": None}, "cannot be judged: no translation has two pieces"),
        ({"unattended_share": 0.499}, "has formed, in the order of the source"),
        ({"unattended_share": 0.5}, "is forming: 50% of the source words are hardly attended"),
        ({"order_tau": 0.5}, "has formed, in the order of the source"),
        ({"order_tau": 0.499}, "has formed, in mixed order"),
        ({"order_tau": -0.499}, "has formed, in mixed order"),
        ({"order_tau": -0.5}, "has formed, in reverse order"),
        ({"order_tau": None}, "has formed"),
    ],
)
def test_when_which_words_are_said(changed: dict[str, float | None], verdict: str) -> None:
    assert replace(FORMED, **changed).verdict == f"attention {verdict}"  # type: ignore[arg-type]


def test_in_one_line() -> None:
    assert str(FORMED) == (
        "attention has formed, in the order of the source (1.00 bits a step (spread evenly: 4.00), largest weight "
        "0.60, 70% moves, 5% on </s>, 12% of the source words hardly attended, order tau 0.80)"
    )


def test_rows_need_not_sum_to_one() -> None:
    # What a Gaussian leaves of a local window: 0.3 and 0.3, half of each, is 1 bit; all of 0.1 at one place is none.
    found = figures(alignment([[0.3, 0.3, 0], [0, 0, 0.1]]))
    assert found.entropy_bits == pytest.approx(0.5)
    assert found.largest_weight == pytest.approx(0.75)
    assert found.end_share == pytest.approx(0.5)


def test_even_is_even_within_the_window() -> None:
    rows = [[0.5, 0.5, 0, 0, 0], [0, 0.25, 0.5, 0.25, 0]]
    local = replace(alignment(rows), centre_T=np.array([0, 2, 4], np.float32), radius=1)
    # The first step sees two positions, the second three; </s> at the end is not counted.
    assert figures(local).even_bits == pytest.approx((1 + log2(3)) / 2)
    assert figures(alignment(rows)).even_bits == pytest.approx(log2(5))


@st.composite
def alignments(draw: st.DrawFn) -> Alignment:
    steps, words = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return alignment(rng.dirichlet(np.full(words + 1, draw(st.sampled_from([0.1, 1.0]))), steps) + 1e-6)


def assert_alike(one: Diagnostics, other: Diagnostics) -> None:
    assert one.to_json() == pytest.approx(other.to_json(), abs=1e-5)


@given(alignments())
def test_figures_stay_within_their_bounds(one: Alignment) -> None:
    found = figures(one)
    assert 0 <= found.entropy_bits <= found.even_bits + 1e-6
    for share in (found.end_share, found.moving_share or 0, found.unattended_share, found.largest_weight):
        assert 0 <= share <= 1 + 1e-6
    assert -1 <= (found.order_tau or 0) <= 1
    # An even row is the least peaked there is.
    assert found.largest_weight >= 1 / len(one.source_pieces) - 1e-6


@given(alignments(), st.integers(0, 1000))
def test_what_changes_nothing(one: Alignment, seed: int) -> None:
    found, rng = figures(one), np.random.default_rng(seed)
    scaled_TS = one.weights_TS * rng.uniform(0.2, 1, (len(one.weights_TS), 1))
    assert_alike(figures(replace(one, weights_TS=scaled_TS.astype(np.float32))), found)
    # Where the last step looks, that writes </s>.
    other_TS = np.concatenate([one.weights_TS[:-1], rng.dirichlet(np.ones(len(one.source_pieces)), 1)])
    assert_alike(figures(replace(one, weights_TS=other_TS)), found)
    twice = figures(one, one)
    assert_alike(replace(twice, sentences=1, target_pieces=found.target_pieces), found)
    assert (twice.sentences, twice.target_pieces) == (2, 2 * found.target_pieces)


@given(alignments())
def test_backwards_is_the_other_order_and_nothing_else(one: Alignment) -> None:
    found = figures(one)
    weights_TS = one.weights_TS
    source = figures(replace(one, weights_TS=np.concatenate([weights_TS[:, -2::-1], weights_TS[:, -1:]], axis=1)))
    target = figures(replace(one, weights_TS=np.concatenate([weights_TS[-2::-1], weights_TS[-1:]])))
    for turned in (source, target):
        if found.order_tau is None:
            assert turned.order_tau is None
        else:
            assert turned.order_tau == pytest.approx(-found.order_tau)
        assert_alike(replace(turned, order_tau=found.order_tau), found)


def test_padding_and_the_sentences_beside_are_not_seen(trained_run: Run) -> None:
    translator = Translator.load(trained_run.directory, str(CPU), "fp32")
    lines = ["ta", "nu ki po ze wu bi", "umgekehrt ta nu ki", "", "xa ge"]
    alone = translator.config.decoding.model_copy(update={"batch_tokens": 1})
    found = [
        [candidates[0].alignment for candidates in translator.hypotheses(lines, decoding)] for decoding in (None, alone)
    ]
    together, apart = (figures(*(one for one in some if one is not None)) for some in found)
    assert together.sentences == 4
    assert_alike(together, apart)
