"""Training text for measuring alignments on hand-aligned Hansards: written as they are, with theirs at its end.

The gold text (Mihalcea & Pedersen 2003) is tokenised, and its French has no elisions and no contractions ("a le ordre",
"de le premier ministre"). Other text has to be written so too, or the words to be aligned were never seen in training.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.common import command
from seq2seq_cli import console
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.errors import DataError
from seq2seq_cli.runs import write_text

ELISION = re.compile(r"\b(l|d|j|n|m|t|s|c|qu|jusqu|lorsqu|puisqu|quoiqu)'(?=\w)")
WHOLE = {"l": "le", "d": "de", "j": "je", "n": "ne", "m": "me", "t": "te", "s": "se", "c": "ce"}
CONTRACTED = {"du": "de le", "des": "de les", "au": "à le", "aux": "à les"}
WORD = re.compile(r"(?:mr|mrs|ms|dr|st|hon|no|m|mm)\.(?=\s)|\d+(?:[.,]\d+)*|'s\b|aujourd'hui|\w+|[^\w\s]")


def main(
    train: Annotated[str, typer.Option(help="P/train: P/train.en and P/train.fr, as people write.")],
    dev: Annotated[str, typer.Option(help="P/dev, as well.")],
    test: Annotated[str, typer.Option(help="P/test, as well.")],
    gold: Annotated[str, typer.Option(help="G: G.src (English), G.tgt (French) and G.align.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is made.")],
) -> None:
    """Write train, dev, test and gold in English (.en) and French (.fr), tokenised in lower case, and the gold links in
    both directions. The gold sentences stand at the end of train, without their links."""
    english = [line.lower() for line in read_lines(Path(f"{gold}.src"))]
    french = [line.lower() for line in read_lines(Path(f"{gold}.tgt"))]
    for name, prefix in (("train", train), ("dev", dev), ("test", test)):
        for language, tokenised, last in (("en", english_words, english), ("fr", french_words, french)):
            lines = [tokenised(line) for line in read_lines(Path(f"{prefix}.{language}"))]
            _write(output / f"{name}.{language}", [*lines, *last] if name == "train" else lines)
    _write(output / "gold.en", english)
    _write(output / "gold.fr", french)
    links = list(read_lines(Path(f"{gold}.align")))
    if len(links) != len(english) or len(english) != len(french):
        raise DataError(f"{len(english)} and {len(french)} lines, and links for {len(links)}.", gold)
    _write(output / "gold.en-fr.align", links)
    _write(output / "gold.fr-en.align", [re.sub(r"(\d+)([-?])(\d+)", r"\3\2\1", line) for line in links])
    console.notice(f"written to {output}")


def english_words(line: str) -> str:
    """ "I can't: it's 6.42." as "i cannot : it 's 6.42 ."."""
    text = line.lower().replace("’", "'")
    text = re.sub(r"\bcan't\b", "cannot", text).replace("won't", "will not").replace("n't", " not")
    text = re.sub(
        r"'(m|re|ll|ve)\b", lambda match: {"m": " am", "re": " are", "ll": " will", "ve": " have"}[match[1]], text
    )
    return " ".join(WORD.findall(text))


def french_words(line: str) -> str:
    """ "J'ai vu l'ami du roi." as "je ai vu le ami de le roi ."."""
    text = ELISION.sub(lambda match: f"{WHOLE.get(match[1], match[1] + 'e')} ", line.lower().replace("’", "'"))
    return " ".join(CONTRACTED.get(word, word) for word in WORD.findall(text))


def _write(path: Path, lines: list[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    command(main)
