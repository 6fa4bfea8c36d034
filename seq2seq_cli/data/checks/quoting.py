"""Text in the quotation marks of CSV where no quotation is meant."""

import re
from collections.abc import Sequence

_ENCLOSED = re.compile(r'"(?:[^"]|"")*+"')
ALL = 0.9
"""From this share of lines in quotation marks on, a program must have written them."""
FEWEST = 20
"""So many lines are needed to tell."""


def all_quoted(lines: Sequence[str]) -> bool:
    """Whether the quotation marks around these lines come from a program."""
    filled = [line for line in lines if line]
    return len(filled) >= FEWEST and sum(map(enclosed, filled)) >= ALL * len(filled)


def enclosed(line: str) -> bool:
    """Whether ``line`` is a single quoted cell."""
    return line.startswith('"') and _ENCLOSED.fullmatch(line) is not None


def unquoted(line: str, every: bool = False) -> str:
    """The text of a quoted cell. By itself, only a line with doubled quotation marks inside is known to be a cell; with
    ``every``, any line in quotation marks is."""
    if every and enclosed(line):
        line = line[1:-1].replace('""', '"')
    while '""' in line[1:-1] and enclosed(line):
        line = line[1:-1].replace('""', '"')
    return line
