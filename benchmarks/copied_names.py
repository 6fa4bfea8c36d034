"""How many names and numbers that training never had stand in a translation as they stand in the source, for runs with and
without copying.

    seq2seq train --attention luong-general --seed 1 --run runs/plain
    seq2seq train --attention luong-general --seed 1 --set model.copy=true --run runs/copying
    python -m benchmarks.copied_names runs/plain runs/copying --train data/tatoeba-de-en/train --test data/tatoeba-de-en/test

Of the test pairs that have the same name or number on either side, once, this is replaced on both by a made-up one, which
differs from round to round. A translation is right where it has the made-up word as often as the source, as a whole word.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.common import JsonOption, Src, Tgt, command, show
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.evaluation.metrics import bleu

WORD = re.compile(r"[^\W\d_]+|\d+")
ONSETS = ("b", "br", "d", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "z")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("", "", "l", "n", "r", "s", "k", "m")


@dataclass(frozen=True)
class Renamed:
    """A pair with a made-up ``word`` in it."""

    source: str
    target: str
    word: str


@dataclass(frozen=True)
class Copied:
    """The shares of made-up names and numbers that a run's translations have, in percent, and the BLEU of the translations."""

    run: str
    names: float
    numbers: float
    bleu: float
    lines: int


def renamed(pairs: Sequence[tuple[str, str]], known: set[str], rounds: int, seed: int) -> list[Renamed]:
    """The pairs with a shared name or number, with ``rounds`` made-up ones each, none of them ``known``."""
    rng, made = random.Random(seed), list[Renamed]()
    for source, target in pairs:
        for word in shared(source, target):
            for _ in range(rounds):
                other = new_word(word, known, rng)
                made.append(Renamed(replaced(source, word, other), replaced(target, word, other), other))
    return made


def shared(source: str, target: str) -> list[str]:
    """Names and numbers that either side has once."""
    ours, theirs = WORD.findall(source), WORD.findall(target)
    names = [word for word in ours if word[0].isdigit() or (word[0].isupper() and len(word) > 2)]
    return [word for word in names if ours.count(word) == 1 == theirs.count(word)]


def new_word(word: str, known: set[str], rng: random.Random) -> str:
    """A name, or a number of as many digits (at least three), that is not known."""
    while True:
        if word[0].isdigit():
            made = str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in range(max(2, len(word) - 1)))
        else:
            syllables = (rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randint(2, 3)))
            made = "".join(syllables).capitalize()
        if made not in known:
            return made


def replaced(text: str, word: str, other: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", other, text)


def main(
    runs: Annotated[list[Path], typer.Argument(help="Runs to compare.")],
    train: Annotated[str, typer.Option(help="The training text P/train, whose words are known.")],
    test: Annotated[str, typer.Option(help="The test text P/test.")],
    src: Src = "de",
    tgt: Tgt = "en",
    rounds: Annotated[int, typer.Option(min=1, help="Made-up words for each word of the test text.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the made-up words.")] = 1,
    json: JsonOption = False,
) -> None:
    """Translate the changed test text with each run."""
    known = {word for side in (src, tgt) for line in read_lines(Path(f"{train}.{side}")) for word in WORD.findall(line)}
    pairs = list(zip(read_lines(Path(f"{test}.{src}")), read_lines(Path(f"{test}.{tgt}")), strict=True))
    lines = renamed(pairs, known, rounds, seed)
    show([_measured(run, lines) for run in runs], json, "Made-up names and numbers")


def _measured(run: Path, lines: Sequence[Renamed]) -> Copied:
    found = Translator.load(run, "cpu").translate([line.source for line in lines])
    right = [line.word in WORD.findall(text) for line, text in zip(lines, found, strict=True)]
    share = {
        number: [hit for line, hit in zip(lines, right, strict=True) if line.word[0].isdigit() == number]
        for number in (False, True)
    }
    names, numbers = (100 * sum(hits) / max(1, len(hits)) for hits in share.values())
    return Copied(run.name, names, numbers, bleu(found, [line.target for line in lines], "13a"), len(lines))


if __name__ == "__main__":
    command(main)
