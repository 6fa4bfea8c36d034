"""What programs have left behind in lines of text, found a chunk at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from seq2seq_cli.data.checks.characters import Codes, codes_of
from seq2seq_cli.data.checks.flaws import Flaw
from seq2seq_cli.data.checks.markup import may_have_markup
from seq2seq_cli.data.checks.mojibake import may_be_mojibake
from seq2seq_cli.data.checks.quoting import enclosed, unquoted
from seq2seq_cli.data.checks.repair import MENDED
from seq2seq_cli.data.checks.segmentation import may_be_segmented

_UNKNOWN = re.compile(r"<unk>|\[unk\]|(?:^|(?<=\s))\u2047(?=\s|$)", re.IGNORECASE)


def without_marks(
    lines: Sequence[str], side: int, codes: Codes, quoted: bool
) -> tuple[Sequence[str], np.ndarray, Codes]:
    """The lines `unmarked`, flags for what was found in each, and their code points. ``quoted``: whether everything in
    quotation marks is a cell of CSV."""
    flags = np.zeros(len(lines), dtype=np.uint64)
    mended = list(lines)
    for row in _suspects(lines, codes, quoted):
        line = lines[row]
        if quoted and enclosed(line):
            line = unquoted(line, every=True)
            flags[row] |= np.uint64(Flaw.QUOTED.bit(side))
        for kind, mend in MENDED:
            better = mend(line)
            if better != line:
                flags[row] |= np.uint64(kind.bit(side))
            line = better
        if _UNKNOWN.search(line):
            flags[row] |= np.uint64(Flaw.UNKNOWN.bit(side))
        mended[row] = line
    return (mended, flags, codes_of(mended)) if flags.any() else (lines, flags, codes)


def _suspects(lines: Sequence[str], codes: Codes, quoted: bool) -> Iterable[int]:
    """Rows that may have marks: few rows, found quickly."""
    found = set(may_be_mojibake(codes).tolist())
    text = "\n".join(lines)
    if may_have_markup(text):
        found.update(row for row, line in enumerate(lines) if may_have_markup(line))
    if may_be_segmented(text):
        found.update(row for row, line in enumerate(lines) if may_be_segmented(line))
    if '""' in text:
        found.update(row for row, line in enumerate(lines) if '""' in line)
    if "[" in text or "\u2047" in text:
        found.update(row for row, line in enumerate(lines) if "[" in line or "\u2047" in line)
    if quoted:
        found.update(row for row, line in enumerate(lines) if line.startswith('"'))
    return sorted(found)
