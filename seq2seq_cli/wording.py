"""How counts, names and places are written for people to read."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def counted(number: int, noun: str) -> str:
    """``1 pair``, ``2,000 pairs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str, keep: str = "") -> str:
    r"""``text`` with escapes for whatever a terminal might obey or not show, since names of files can hold anything. A
    byte that is not UTF-8, say 0xe9, becomes ``\udce9``. The characters in ``keep`` stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def shell_word(word: object) -> str:
    r"""``word`` quoted so that it can be pasted into a shell, whatever it holds. What cannot be shown, or is not UTF-8,
    is written as bash, zsh and ksh do: ``$'caf\xe9/r2'``."""
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_shell_letter, text))}'"


def _shell_letter(letter: str) -> str:
    if letter in "'\\":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", errors="surrogateescape"))


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last names of the folders, with as many of those above them as it takes to tell them apart. Equal names are
    numbered."""
    parts = [path.resolve().parts for path in paths]
    depths = [1] * len(parts)
    for depth in range(1, max(map(len, parts), default=0)):
        tails = Counter(part[-depth:] for part in set(parts))
        depths = [depth + 1 if tails[part[-depth:]] > 1 else used for part, used in zip(parts, depths, strict=True)]
    return numbered([printable("/".join(part[-depth:])) for part, depth in zip(parts, depths, strict=True)])


def numbered(names: Sequence[str]) -> list[str]:
    """The names, where an equal one comes before with how many times it has come by now."""
    return [
        name if names.index(name) == place else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]


ELSEWHERE = ("/", "~", "..")
"""How a path begins that may tell whose machine this is. A path relative to the working folder does not."""


def without_folders(where: str) -> str:
    """The name of a text in messages, such as ``/A/x.de and /A/x.en``, without folders that may tell whose machine it
    was on."""
    parts = [part.rpartition("/")[2] if part.startswith(ELSEWHERE) else part for part in where.split(" and ")]
    return printable(" and ".join(parts))


_WAY_IN = re.compile(r"""(?<![\w./~-])(?:~[^/\s]*|\.\.|)/[^\s"',;:=]*/(?=[^\s/])""")
"""Matches the folders of such a path within a text."""


def without_ways_in(value: str) -> str:
    """A setting or an argument with ``.../`` in place of the folders of a path outside the working folder."""
    option, separator, path = value.rpartition("=")
    bare = path.strip("\"'")
    if bare.startswith(ELSEWHERE) and "/" in bare:
        path = path.replace(bare, f".../{bare.rstrip('/').rpartition('/')[2]}")
    return printable(_WAY_IN.sub(".../", f"{option}{separator}{path}"), "\n\t")
