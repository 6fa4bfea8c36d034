"""Lines that do not stand beside their translations: said so where it is true, nowhere else, and paired anew."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from checked import Pairs, built_in_pairs, counts, found, sides, written
from commands import Terminal

from seq2seq_cli.data.checks.belonging import Sample, evidence
from seq2seq_cli.data.checks.chunk import Chunk
from seq2seq_cli.data.checks.realign import aligner
from seq2seq_cli.data.checks.realign import parts as parting
from seq2seq_cli.data.checks.realign.aligner import realigned
from seq2seq_cli.data.checks.realign.beads import BLOCK, BeadScores, Priors, Side
from seq2seq_cli.data.checks.realign.lexicon import Lexicon
from seq2seq_cli.data.checks.realign.parts import Part, parts
from seq2seq_cli.data.text import read_lines

Drifted = list[tuple[str, frozenset[int]]]
"""Lines, and which lines of the book each is made of: none where it was added."""


@pytest.fixture(scope="module")
def captions() -> Pairs:
    """Short sentences, German and English."""
    return built_in_pairs("tatoeba-de-en", 4000)


@pytest.fixture(scope="module")
def book() -> Pairs:
    """Long ones in the order of a book, Spanish and English."""
    return built_in_pairs("bible-es-en", 3600)


def by_length(pair: tuple[str, str]) -> tuple[int, str]:
    return len(pair[0]), pair[0]


def cards(pairs: Pairs) -> Pairs:
    """Flash cards: each question with several answers."""
    return [(src, answer) for src, tgt in pairs for answer in (tgt, f"{tgt.rstrip('.!?')}!", f"Well, {tgt}")]


CLEAN: dict[str, Callable[[Pairs], Pairs]] = {
    "as it is": lambda pairs: pairs,
    "by length of the source": lambda pairs: sorted(pairs, key=by_length),
    "by length of the target": lambda pairs: sorted(pairs, key=lambda pair: len(pair[1])),
    "by alphabet": sorted,
    "by alphabet of the target": lambda pairs: sorted(pairs, key=lambda pair: pair[1]),
    "deduplicated": lambda pairs: list({src: (src, tgt) for src, tgt in pairs}.values()),
    "reversed": lambda pairs: pairs[::-1],
    "every seventh": lambda pairs: pairs[::7],
    "in any order": lambda pairs: random.Random(2).sample(pairs, len(pairs)),
    "flash cards by length": lambda pairs: sorted(cards(pairs[: len(pairs) // 3]), key=by_length),
    "short lines": lambda pairs: [pair for pair in pairs if len(pair[0].split()) <= 4],
    "single words": lambda pairs: [(src.split()[0], tgt.split()[0]) for src, tgt in pairs],
    "twice": lambda pairs: pairs[:1500] * 2,
    "fifty": lambda pairs: pairs[:50],
    "a quarter of it noise": lambda pairs: [
        (src, pairs[row - 700][1] if row % 4 == 1 else tgt) for row, (src, tgt) in enumerate(pairs)
    ],
}


@pytest.mark.parametrize("cut", CLEAN)
@pytest.mark.parametrize("corpus", ["captions", pytest.param("book", marks=pytest.mark.slow)])
def test_nothing_is_said_of_clean_text(
    cut: str, corpus: str, tmp_path: Path, terminal: Terminal, request: pytest.FixtureRequest
) -> None:
    pairs = request.getfixturevalue(corpus)[:3000]
    _, record = found(terminal, written(tmp_path, sides(CLEAN[cut](pairs))))
    assert record["blocks"] == []
    assert record["unrelated"]["pairs"] == record["swapped"]["pairs"] == record["markup"]["pairs"] == 0


@pytest.mark.slow
def test_flash_cards_of_a_whole_collection(captions: Pairs, tmp_path: Path, terminal: Terminal) -> None:
    _, record = found(terminal, written(tmp_path, sides(sorted(cards(captions), key=by_length))))
    assert record["blocks"] == []


def test_two_corpora_joined_are_clean(captions: Pairs, book: Pairs, tmp_path: Path, terminal: Terminal) -> None:
    _, record = found(terminal, written(tmp_path, sides(captions[:1500] + book[:1500])))
    assert (record["blocks"], record["unrelated"]["pairs"]) == ([], 0)


STRANGERS: dict[str, Callable[[Pairs, Pairs], tuple[list[str], list[str]]]] = {
    "shuffled": lambda captions, _: (sides(captions)[0], random.Random(1).sample(sides(captions)[1], len(captions))),
    "each side sorted": lambda captions, _: (sorted(set(sides(captions)[0])), sorted(set(sides(captions)[1]))),
    "each side by length": lambda captions, _: (
        sorted(sides(captions)[0], key=len),
        sorted(sides(captions)[1], key=len),
    ),
    "another target": lambda captions, book: (sides(captions)[0], sides(book)[1][: len(captions)]),
    "another, longer target": lambda captions, book: (sides(captions)[0], sides(book)[1][: len(captions) + 300]),
    "four hundred": lambda captions, book: (sides(book)[0][:400], sides(captions)[1][:400]),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", STRANGERS)
def test_sides_that_do_not_belong_together(
    what: str, captions: Pairs, book: Pairs, tmp_path: Path, terminal: Terminal
) -> None:
    src, tgt = STRANGERS[what](captions[:2000], book)
    prefix = written(tmp_path, (src, tgt))
    answer = terminal.run("check-data", prefix, "--src", "de", "--tgt", "en", "--fix", tmp_path / "copy")
    assert answer.status == 3
    assert "nothing is written: the two sides do not belong together" in answer.err
    assert not list(tmp_path.glob("copy*"))
    status, record = found(terminal, prefix)
    assert (status, record["unrelated"]["pairs"], record["blocks"]) == (3, min(len(src), len(tgt)), [])


def test_scripts_that_share_nothing_are_no_reason(captions: Pairs, tmp_path: Path) -> None:
    def enciphered(line: str) -> str:
        return "".join(chr(0x4E00 + sum(map(ord, word)) % 4000) for word in line.split())

    sample = Sample()
    src, tgt = sides(captions[:600])
    sample.add(Chunk(0, src, list(map(enciphered, tgt))))
    assert evidence(sample.stretches()).related
    sample = Sample()
    sample.add(Chunk(0, src, list(map(enciphered, random.Random(3).sample(tgt, len(tgt))))))
    assert not evidence(sample.stretches()).related


def test_lines_missing_here_and_there(captions: Pairs, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = sides(captions[:1500])
    gone = range(149, 1500, 150)
    prefix = written(tmp_path, (src, [line for row, line in enumerate(tgt) if row not in gone]))
    status, record = found(terminal, prefix, "--fix", tmp_path / "copy")
    assert status == 0
    assert [block["offset"] for block in record["blocks"]] == list(range(-1, -len(gone), -1))
    for number, block in enumerate(record["blocks"], start=1):
        assert abs(block["first"] - (150 * number + 1)) <= 5
    right = set(captions[:1500])
    copy = list(zip(*(read_lines(tmp_path / f"copy.{language}") for language in ("de", "en")), strict=True))
    assert sum(pair in right for pair in copy) / len(copy) > 0.99
    assert len(copy) >= 0.98 * (1500 - len(gone))
    assert record["copy"]["realigned"]["moved"] >= 1300
    assert counts(found(terminal, tmp_path / "copy")[1]).keys() <= {"ratio"}


def drifted(pairs: Pairs, strangers: list[str], side: int, rng: random.Random, rate: float) -> Drifted:
    """One side of a book, of which lines were merged, split, dropped and added at random."""
    lines: Drifted = []
    row = 0
    while row < len(pairs):
        line, chance = pairs[row][side], rng.random()
        if chance < rate and row + 1 < len(pairs):
            lines.append((f"{line} {pairs[row + 1][side]}", frozenset({row, row + 1})))
            row += 1
        elif chance < 2 * rate and " " in line:
            words = line.split(" ")
            half = len(words) // 2
            lines += [(" ".join(part), frozenset({row})) for part in (words[:half], words[half:])]
        elif chance < 3 * rate:
            pass
        else:
            if chance < 4 * rate:
                lines.append((rng.choice(strangers), frozenset()))
            lines.append((line, frozenset({row})))
        row += 1
    return lines


def share_right(src: Drifted, tgt: Drifted, copy: list[tuple[str, str]]) -> float:
    """Of the pairs of a copy, those whose sides are made of the same lines of the book."""
    known = [{}, {}]  # type: list[dict[str, frozenset[int]]]
    for side, lines in enumerate((src, tgt)):
        for number, (line, rows) in enumerate(lines):
            known[side][line] = rows
            if number:
                known[side][f"{lines[number - 1][0]} {line}"] = lines[number - 1][1] | rows
    return sum(known[0][a] == known[1][b] != frozenset() for a, b in copy) / max(len(copy), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "count", "rate"), [(0, 1500, 0.04), (600, 1000, 0.03), (1100, 31, 0.04), (200, 80, 0.03)]
)
def test_a_drifting_book_comes_out_right_or_not_at_all(
    first: int, count: int, rate: float, book: Pairs, tmp_path: Path, terminal: Terminal
) -> None:
    rng = random.Random(count)
    src, tgt = (
        drifted(book[first : first + count], [pair[side] for pair in book[3000:]], side, rng, rate) for side in (0, 1)
    )
    prefix = written(tmp_path, ([line for line, _ in src], [line for line, _ in tgt]))
    answer = terminal.run("check-data", prefix, "--src", "de", "--tgt", "en", "--fix", tmp_path / "copy")
    if answer.status == 3 and count < 100:
        assert "nothing is written" in answer.err
        assert not list(tmp_path.glob("copy*"))
        return
    assert answer.status == 0
    assert "paired anew: " in answer.err
    copy = list(zip(*(read_lines(tmp_path / f"copy.{language}") for language in ("de", "en")), strict=True))
    assert share_right(src, tgt, copy) > 0.9
    assert len(copy) > 0.6 * count


@pytest.mark.slow
def test_lines_in_no_order_are_left_out(captions: Pairs, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = sides(captions[:3000])
    tgt[1000:1400] = random.Random(3).sample(tgt[1000:1400], 400)
    _, record = found(terminal, written(tmp_path, (src, tgt)), "--fix", tmp_path / "copy")
    assert {block["offset"] for block in record["blocks"]} == {None}
    assert abs(record["blocks"][0]["first"] - 1001) <= 15
    assert abs(record["blocks"][-1]["last"] - 1400) <= 15
    copy = list(zip(*(read_lines(tmp_path / f"copy.{language}") for language in ("de", "en")), strict=True))
    assert sum(pair in set(captions) for pair in copy) / len(copy) > 0.99


def test_what_one_side_lacks_at_its_end_is_no_shift(captions: Pairs, tmp_path: Path, terminal: Terminal) -> None:
    src, tgt = sides(captions[:1200])
    status, record = found(terminal, written(tmp_path, (src, tgt[:900])), "--fix", tmp_path / "copy")
    assert (status, record["blocks"], record["unpaired"]) == (0, [], 300)
    assert record["copy"]["realigned"]["left_out"] == {"source": 300, "target": 0}


def _parted(src: list[str], tgt: list[str]) -> Iterator[Part]:
    return parts(iter(src), iter(tgt), len(tgt) - len(src), lambda done: None)


def _links_of(part: Part) -> list[tuple[int, int]]:
    """Where the pairs of a part begin, counted from the beginning of the whole text."""
    return [(int(pair["src"]) + part.src_first, int(pair["tgt"]) + part.tgt_first) for pair in part.pairs]


def test_more_lines_in_one_place_than_are_looked_through(captions: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes behind them is found all the same, and is numbered as in the files."""
    for name, size in (("PART", 400), ("OVERLAP", 100), ("WIDEST", 64)):
        monkeypatch.setattr(parting, name, size)
    src, right = sides(captions[:1200])
    _, others = sides(captions[3000:3200])
    tgt = right[:700] + others + right[700:]
    found_links = [pair for part in _parted(src, tgt) for pair in _links_of(part)]
    true = {(row, row + 200 * (row >= 700)) for row in range(1200)}
    assert len(true.intersection(found_links)) > 0.9 * len(found_links)
    assert sum(row >= 1000 for row, _ in true.intersection(found_links)) > 150


def test_no_line_is_judged_by_what_was_learned_from_it(captions: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0

    class Watched(BeadScores):
        def __init__(self, src: Side, tgt: Side, lexicons: tuple[Lexicon, Lexicon], priors: Priors) -> None:
            nonlocal seen
            super().__init__(src, tgt, lexicons, priors)
            blocks = np.repeat(np.arange(len(src)) // BLOCK % 2, src.words.counts)
            for odd, lexicon in enumerate(lexicons):
                judged_alone = np.setdiff1d(src.words.ids[blocks == odd], src.words.ids[blocks != odd])
                assert not lexicon.seen[judged_alone].any()
                seen += int(lexicon.seen.sum())

    monkeypatch.setattr(aligner, "BeadScores", Watched)
    realigned(*sides(captions[:500]), closed=True, beside=0)
    assert seen


def test_a_sample_is_spread_evenly() -> None:
    sample = Sample()
    for first in range(0, 30_000, 1000):
        sample.add(Chunk(first, ["a"] * 1000, ["b"] * 1000))
    firsts = [stretch.first for stretch in sample.stretches()]
    assert len(firsts) >= 8
    assert len(set(np.diff(firsts))) == 1


def test_parts_change_nothing(captions: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    src, tgt = sides(captions[:1200])
    tgt = [line for row, line in enumerate(tgt) if row % 100 != 99]

    def links(part_size: int) -> list[tuple[int, int]]:
        monkeypatch.setattr(parting, "PART", part_size)
        monkeypatch.setattr(parting, "OVERLAP", part_size // 4)
        return [pair for part in _parted(src, tgt) for pair in _links_of(part)]

    of_parts = links(400)
    assert sorted(set(of_parts)) == of_parts  # where parts meet, nothing is in both
    whole, parted = set(links(8192)), set(of_parts)
    assert len(whole & parted) / len(whole | parted) > 0.98


def test_one_line_merged_and_one_dropped(book: Pairs) -> None:
    src, tgt = sides(book[:60])
    tgt = [*tgt[:20], f"{tgt[20]} {tgt[21]}", *tgt[22:40], *tgt[41:]]
    pairs = realigned(src, tgt, closed=True, beside=0)
    links = {tuple(int(pair[name]) for name in ("src", "src_lines", "tgt", "tgt_lines")) for pair in pairs}
    assert (20, 2, 20, 1) in links
    assert 40 not in {first for first, *_ in links}
    assert {(row, 1, row - 2, 1) for row in range(43, 57)} <= links
    assert np.all(pairs["probability"] > 0.5)


@pytest.mark.parametrize(
    ("src", "tgt"),
    [([""] * 60, [""] * 61), (["..."] * 60, ["!"] * 61), (["a"], ["b", "c"]), (["ja"] * 5, ["yes"] * 60)],
)
def test_what_cannot_be_told_is_not_written(src: list[str], tgt: list[str], tmp_path: Path, terminal: Terminal) -> None:
    prefix = written(tmp_path, (src, tgt))
    answer = terminal.run("check-data", prefix, "--src", "de", "--tgt", "en", "--fix", tmp_path / "copy")
    assert (answer.status, list(tmp_path.glob("copy*"))) == (3, [])
    assert "cannot be told with confidence" in answer.err
    assert found(terminal, prefix)[1]["blocks"] == []
