"""The links that both directions of a statistical aligner find, as sure ones, and those that one of them finds, as possible
ones: for text whose links nobody has set by hand.

    cat train.de dev.de | sed 's/./\\L&/g' > all.de; cat train.en dev.en | sed 's/./\\L&/g' > all.en
    eflomal-align -s all.de -t all.en -f forward -r reverse
    python -m benchmarks.silver_links --forward forward --reverse reverse --last 1014 -o dev.align
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.common import command
from seq2seq_cli import console
from seq2seq_cli.data.text import read_lines
from seq2seq_cli.errors import DataError
from seq2seq_cli.runs import write_text


def main(
    forward: Annotated[Path, typer.Option(help="Links i-j, a line a pair.")],
    reverse: Annotated[Path, typer.Option(help="Of the other direction, source word first as well.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Links i-j (sure) and i?j (possible).")],
    last: Annotated[int, typer.Option(min=1, help="How many of the last pairs are wanted.")],
) -> None:
    """Write the links of the last pairs."""
    there, back = list(read_lines(forward)), list(read_lines(reverse))
    if len(there) != len(back):
        raise DataError(f"{len(there)} lines here, and {len(back)} in {reverse}.", str(forward))
    lines = [_merged(set(a.split()), set(b.split())) for a, b in zip(there[-last:], back[-last:], strict=True)]
    write_text(output, "".join(f"{line}\n" for line in lines))
    console.notice(f"written to {output}")


def _merged(there: set[str], back: set[str]) -> str:
    both = there & back
    links = {link: "-" if link in both else "?" for link in there | back}
    ordered = sorted((*map(int, link.split("-")), sign) for link, sign in links.items())
    return " ".join(f"{i}{sign}{j}" for i, j, sign in ordered)


if __name__ == "__main__":
    command(main)
