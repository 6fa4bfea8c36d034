"""Text in the quotation marks of CSV, where nothing was to be quoted."""

import re
from collections.abc import Sequence

_ENCLOSED = re.compile(r'"(?:[^"]|"")*+"')
ALL = 0.9
"""Share of lines in quotation marks from which on it was a program that wrote them."""
FEWEST = 20
"""Lines that tell."""


def all_quoted(lines: Sequence[str]) -> bool:
    """Whether the quotation marks around these lines are no one's words."""
    filled = [line for line in lines if line]
    return len(filled) >= FEWEST and sum(map(enclosed, filled)) >= ALL * len(filled)


def enclosed(line: str) -> bool:
    """Whether ``line`` is one quoted cell."""
    return line.startswith('"') and _ENCLOSED.fullmatch(line) is not None


def unquoted(line: str, every: bool = False) -> str:
    """The text of a quoted cell. Only one with doubled marks inside is known to be one by itself; ``every``: any is."""
    if every and enclosed(line):
        line = line[1:-1].replace('""', '"')
    while '""' in line[1:-1] and enclosed(line):
        line = line[1:-1].replace('""', '"')
    return line
