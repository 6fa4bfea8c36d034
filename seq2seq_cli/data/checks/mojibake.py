"""UTF-8 that was at some time read as another encoding."""

import re
from functools import cache

import numpy as np

from seq2seq_cli.data.checks.characters import Codes

HALVES = "ÃÂ"
"""Most mojibake begins with one of these, even if what followed it was lost."""
_SUSPECT = re.compile(f"[^\\x00-\\x7f]{{2}}|[{HALVES}]")
_ENCODINGS = ("latin-1", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "iso-8859-2", "mac_roman", "cp437")


@cache
def _bytes() -> tuple[np.ndarray, np.ndarray]:
    """For each code point a bit for each encoding: set where its byte leads a UTF-8 sequence; where it continues one."""
    begins, continues = np.zeros((2, 1 << 16), dtype=np.uint16)
    for number, name in enumerate(_ENCODINGS):
        for table, values in ((begins, range(0xC2, 0xF5)), (continues, range(0x80, 0xC0))):
            for value in values:
                # What an encoding leaves undefined is read as Latin-1 does.
                text = bytes([value]).decode(name, "ignore") or chr(value)
                table[ord(text)] |= 1 << number
    return begins, continues


def may_be_mojibake(codes: Codes) -> np.ndarray:
    """The numbers of lines that may hold mojibake: those with two characters that would be two bytes of one."""
    values = codes.values
    places = np.flatnonzero(values[:-1] >= 0x80)
    if not len(places):
        return places
    first, second = np.minimum(values[places], 0xFFFF), np.minimum(values[places + 1], 0xFFFF)
    begins, continues = _bytes()
    halves = np.isin(first, [ord(letter) for letter in HALVES])
    places = places[(begins[first] & continues[second] != 0) | halves]
    return np.unique(np.searchsorted(codes.ends, places, side="right"))


def unmixed(line: str) -> str:
    """``line`` as it was before it was read wrongly, once or several times; unchanged if it was not."""
    if line.isascii() or not _SUSPECT.search(line):
        return line
    from ftfy import TextFixerConfig, fix_encoding

    return fix_encoding(line, TextFixerConfig(fix_c1_controls=False))
