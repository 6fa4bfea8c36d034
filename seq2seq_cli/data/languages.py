"""Language codes as files write them: EN, en-GB and en_GB are English."""

from __future__ import annotations

from collections.abc import Iterable

from seq2seq_cli.errors import DataError


def fits(code: str, wanted: str) -> bool:
    """Whether one of the two codes is the other, or a region of it: en-GB fits en, and en fits en-GB."""
    one, other = _parts(code), _parts(wanted)
    shorter = min(len(one), len(other))
    return bool(code) and bool(wanted) and one[:shorter] == other[:shorter]


def find_language(codes: Iterable[str], wanted: str, where: str) -> str | None:
    """The one of ``codes`` that means ``wanted``: the very code, else one that differs only in case, else one that
    differs only in the region. None where there is none; raises DataError where there are several."""
    there = list(codes)
    for same in (_exactly, _alike, fits):
        found = [code for code in there if same(code, wanted)]
        if len(found) == 1:
            return found[0]
        if found and same is fits:
            hint = f"Name one of them in the place of {wanted}."
            raise DataError(f"{' and '.join(sorted(found))} are both {wanted}.", where, hint)
    return None


def _exactly(code: str, wanted: str) -> bool:
    return code == wanted


def _alike(code: str, wanted: str) -> bool:
    return _parts(code) == _parts(wanted)


def _parts(code: str) -> list[str]:
    return code.lower().replace("_", "-").split("-")
