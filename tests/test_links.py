"""Links: read off weights, made symmetric, scored against gold ones, written and read."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.data.links import Links
from seq2seq_cli.errors import ConfigError, DataError
from seq2seq_cli.evaluation.gold import Agreement, Gold, agreement, read_gold
from seq2seq_cli.evaluation.linking import METHODS, check_method, pharaoh, strongest_links, symmetrised, transposed

METHODS_BY_SIZE = ("intersection", "grow-diag-final-and", "union")
LINKS = st.frozensets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


def drawn(grid: str, marks: str) -> Links:
    """The links of a drawing: a line a target word, a column a source word."""
    rows = [row.split() for row in grid.strip().splitlines()]
    return frozenset((i, j) for j, row in enumerate(rows) for i, mark in enumerate(row) if mark in marks)


def test_each_word_and_its_strongest() -> None:
    nan = np.nan
    weights_TS = np.array(
        [
            [0.2, 0.5, 0.3],
            [0.3, 0.1, 0.6],  # </s> is the strongest, and left out
            [0.0, 0.0, 1.0],  # looked at no word
            [nan, nan, nan],  # has no piece
            [0.4, 0.4, 0.2],  # the first of two
            [0.9, 0.1, 0.0],  # </s> itself
        ]
    )
    assert strongest_links(weights_TS) == {(1, 0), (0, 1), (0, 4)}
    assert strongest_links(np.ones((3, 1))) == frozenset()  # no source word
    assert strongest_links(np.ones((1, 3))) == frozenset()  # no target word


# f: forward alone, b: backward alone, x: both. A row has at most one f or x, a column at most one b or x.
# From x at 0-0: 1-0 joins (a neighbour, source 1 is free), then 1-1 (diagonal, target 1 is free). No other link has a
# neighbour. At last forward's 4-4 and 2-5, of which both words are free, then backward's 3-3. Not 5-0, as target 0 has
# links, nor 4-2, as source 4 has got one from forward just before.
FAR = """
    x b . . . b
    . f . . . .
    . . . . b .
    . . . b . .
    . . . . f .
    . . f . . .
"""
# 0-0 comes first: by 1-1, source 1 has its link, so that 1-2 finds both of its words taken.
ORDER = """
    x . .
    . f .
    . b x
"""
# 2-2 brings 1-1 in the first round, when row 1 is over; 1-1 brings 0-1 in the second.
ROUNDS = """
    . . .
    b f .
    . . x
"""


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (FAR, {(0, 0), (1, 0), (1, 1), (4, 4), (2, 5), (3, 3)}),
        (ORDER, {(0, 0), (1, 1), (2, 2)}),
        (ROUNDS, {(2, 2), (1, 1), (0, 1)}),
    ],
    ids=["far", "order", "rounds"],
)
def test_made_symmetric(grid: str, expected: set[tuple[int, int]]) -> None:
    forward, backward = drawn(grid, "fx"), drawn(grid, "bx")
    assert symmetrised(forward, backward, "intersection") == drawn(grid, "x")
    assert symmetrised(forward, backward, "union") == drawn(grid, "fbx")
    assert symmetrised(forward, backward, "grow-diag-final-and") == expected


@given(LINKS, LINKS)
def test_what_holds_for_any_links(forward: Links, backward: Links) -> None:
    few, grown, all_ = (symmetrised(forward, backward, method) for method in METHODS_BY_SIZE)
    assert few <= grown <= all_
    for method in ("intersection", "union"):
        turned = symmetrised(transposed(forward), transposed(backward), method)
        assert turned == transposed(symmetrised(forward, backward, method))
    assert symmetrised(forward, forward, "grow-diag-final-and") == forward


def test_methods() -> None:
    assert set(METHODS) == set(METHODS_BY_SIZE)
    for method in METHODS:
        check_method(method)
    with pytest.raises(ConfigError, match='Did you mean "grow-diag-final-and"'):
        check_method("grow-diag-final")


def test_agreement_worked_by_hand() -> None:
    gold = Gold(sure=frozenset({(0, 0), (1, 1)}), possible=frozenset({(0, 0), (1, 1), (1, 2), (2, 2)}))
    found = agreement(frozenset({(0, 0), (1, 2), (2, 1)}), gold)
    # Three links; 0-0 is sure, 0-0 and 1-2 are possible; two sure ones were to be found.
    assert found == Agreement(links=3, sure=2, sure_found=1, possible_found=2)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1 / 2)
    assert found.error_rate == pytest.approx(1 - (1 + 2) / (3 + 2))
    # Counts add up, ratios do not: with a perfect pair of one link, 3 of 4, 2 of 3 and 1 - (2 + 3) / (4 + 3).
    one = frozenset({(0, 0)})
    both = found + agreement(one, Gold(one, one))
    assert both.precision == pytest.approx(3 / 4)
    assert both.recall == pytest.approx(2 / 3)
    assert both.error_rate == pytest.approx(2 / 7)
    nothing = Agreement()
    assert (nothing.precision, nothing.recall, nothing.error_rate) == (None, None, None)


@given(LINKS.filter(bool), LINKS)
def test_sure_links_make_no_error(sure: Links, more: Links) -> None:
    found = agreement(sure, Gold(sure, sure | more))
    assert (found.error_rate, found.precision, found.recall) == (0, 1, 1)


@given(LINKS)
def test_written_and_read(tmp_path_factory: pytest.TempPathFactory, links: Links) -> None:
    path = tmp_path_factory.mktemp("links") / "links"
    path.write_text(pharaoh(links) + "\n\n")
    read, empty = read_gold(path, [(6, 6), (0, 0)])
    assert read.sure == read.possible == links
    assert not empty.possible


def test_links_are_sorted_by_source() -> None:
    assert pharaoh(frozenset({(10, 0), (2, 3), (2, 1)})) == "2-1 2-3 10-0"


def test_sure_and_possible(tmp_path: Path) -> None:
    path = tmp_path / "gold"
    path.write_text("0-0 1?2  1-1\n\n")
    (gold, empty) = read_gold(path, [(2, 3), (1, 1)])
    assert gold.sure == {(0, 0), (1, 1)}
    assert gold.possible == {(0, 0), (1, 1), (1, 2)}
    assert empty == Gold(frozenset(), frozenset())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0-0\n0-1 1_1\n", r"gold:2: '1_1' is no link.\nWrite i-j"),
        ("0-0\n1:1\n", "gold:2: '1:1' is no link"),
        ("0--1\n\n", "gold:1: '0--1' is no link"),
        ("0-\n\n", "gold:1: '0-' is no link"),
        ("0-²\n\n", "gold:1: '0-²' is no link"),
        ("0-0\n2-0\n", "gold:2: the link 2-0 is outside this pair of 2 source and 3 target words.\nWords are"),
        ("0-0\n0?3\n", r"gold:2: the link 0\?3 is outside"),
        ("0-0\n", "gold: 1 line of links for 2 sentence pairs"),
        ("0-0\n\n\n", "gold: 3 lines of links for 2 sentence pairs"),
    ],
)
def test_gold_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gold"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_gold(path, [(2, 3), (2, 3)])


# The forms that people have them in.

SIZES = [(3, 3), (2, 2), (4, 3)]
MARKED = [
    Gold(sure=frozenset({(0, 0), (1, 1)}), possible=frozenset({(0, 0), (1, 1), (2, 1)})),
    Gold(frozenset(), frozenset()),
    Gold(sure=frozenset({(3, 2)}), possible=frozenset({(3, 2), (0, 1)})),
]


def heard(path: Path, text: str, sizes: list[tuple[int, int]], first: int | None = None) -> tuple[list[Gold], str]:
    """The links of a file, and what is said of it."""
    path.write_text(text, encoding="utf-8")
    notes: list[str] = []
    return read_gold(path, sizes, first, notes.append), "\n".join(notes)


@pytest.mark.parametrize(
    "text",
    [
        "0-0 1-1 2?1\n\n3-2 0?1\n",
        "0-0 1-1 2p1\n\n3-2 0P1\n",
        "0-0S 1-1S 2-1P\n\n3-2s 0-1p\n",
        "0-0:S 1-1/S 2-1:P\n\n3-2 0-1/p\n",
        "0-0:0.93 1-1:1 2?1:1e-3\n\n3-2:-0.5 0?1\n",
        "a b c ||| d e f ||| 0-0 1-1 2?1\na b ||| c d |||\na b c d ||| e f g ||| 3-2 0?1\n",
        "0-0 1-1 2?1 ||| -3.5\n||| -1.0\n3-2 0?1 ||| -2.25\n",
        "1 0 0 S\n1 1 1\n1 2 1 P\n3 3 2 S 0.7\n\n0003 0 1 P 0.5\n",
    ],
    ids=["pharaoh", "p", "letters", "behind", "scores", "beside", "score beside", "wpt"],
)
def test_every_form_of_links(text: str, tmp_path: Path) -> None:
    assert heard(tmp_path / "gold", text, SIZES) == (MARKED, "")


def from_one(text: str) -> str:
    return re.sub(r"[0-9]+(?=[-?])|(?<=[-?])[0-9]+", lambda number: str(int(number[0]) + 1), text)


@pytest.mark.parametrize("text", ["0-0 1-1 2?1\n\n3-2 0?1\n", "1 0 0 S\n1 1 1\n1 2 1 P\n3 3 2 S\n3 0 1 P\n"])
def test_links_counted_from_one_are_recognised_and_said(text: str, tmp_path: Path) -> None:
    if "-" in text:
        moved = from_one(text)
    else:
        moved = re.sub(r"(?m)^(.) (.) (.)", lambda row: f"{row[1]} {int(row[2]) + 1} {int(row[3]) + 1}", text)
    for first in (None, 1):
        links, said = heard(tmp_path / "gold", moved, SIZES, first)
        assert links == MARKED
        assert ("no link names a word 0, so that words are counted from 1" in said) == (first is None)
    with pytest.raises(DataError, match=r"is outside this pair(.|\n)*counted from 0(.|\n)*--gold-from 1 \(align\)"):
        heard(tmp_path / "gold", moved, SIZES, 0)


def test_links_from_one_that_name_no_last_word(tmp_path: Path) -> None:
    """They were scored in silence, each one word off."""
    sizes = [(5, 5)] * 4
    text = "1-1 2-2\n1-2\n3-3\n\n"
    links, said = heard(tmp_path / "gold", text, sizes)
    assert [gold.sure for gold in links] == [{(0, 0), (1, 1)}, {(0, 1)}, {(2, 2)}, frozenset()]
    assert "counted from 1" in said
    links, said = heard(tmp_path / "gold", text, sizes, 0)
    assert links[0].sure == {(1, 1), (2, 2)}
    assert said == ""
    few, said = heard(tmp_path / "gold", "1-1\n\n\n\n", sizes)
    assert few[0].sure == {(1, 1)}
    assert "counted from 0 all the same, as there are few links" in said
    one_side, said = heard(tmp_path / "gold", "0-1\n1-1\n2-2\n3-3\n", sizes)
    assert one_side[0].sure == {(0, 1)}
    assert said == ""


@pytest.mark.parametrize(
    ("text", "first", "said"),
    [
        (
            "0-0\n\n1-1\n",
            1,
            "gold:1: the link 0-0 is outside this pair of 3 source and 3 target words.\nWords .* from 1",
        ),
        ("1 1 4 S\n", 1, "gold:1: the link 1 4 is outside this pair"),
        ("1 1 1 S\n9 1 1 S\n", None, "gold:2: there is no pair 9; there are 3, counted from 1"),
        ("1 1 1 S\n0-0\n", None, "gold:2: '0-0' is no link.\nThe first line is a link as in WPT"),
        ("1 1 1 S\n" * 99, None, "gold: 99 links, more than 3 pairs can have"),
        ("a ||| b ||| 0-0\n\n\n", None, "gold:1: the texts beside the links have 1 and 1 words, and this pair 3 and 3"),
        ("a ||| b\n\n\n", None, "gold:1: there are no links in this line of 2 parts"),
        ("0-0:high\n\n\n", None, "gold:1: '0-0:high' is no link"),
    ],
)
def test_forms_that_cannot_be_used(text: str, first: int | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        heard(tmp_path / "gold", text, SIZES, first)


@given(st.lists(LINKS, min_size=1, max_size=4), st.sampled_from([0, 1]))
def test_any_links_from_either_number(tmp_path_factory: pytest.TempPathFactory, pairs: list[Links], first: int) -> None:
    path = tmp_path_factory.mktemp("links") / "links"
    lines = (" ".join(f"{i + first}-{j + first}" for i, j in sorted(links)) for links in pairs)
    text = "".join(f"{line}\n" for line in lines)
    assert [gold.sure for gold in heard(path, text, [(6, 6)] * len(pairs), first)[0]] == pairs
