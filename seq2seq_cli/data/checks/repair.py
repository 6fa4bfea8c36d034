"""What can be repaired in a line without changing what it says."""

import re
import unicodedata
from collections.abc import Callable

from seq2seq_cli.data.checks.characters import SETS, Character
from seq2seq_cli.data.checks.flaws import Flaw
from seq2seq_cli.data.checks.markup import without_markup
from seq2seq_cli.data.checks.mojibake import unmixed
from seq2seq_cli.data.checks.quoting import unquoted
from seq2seq_cli.data.checks.segmentation import joined
from seq2seq_cli.data.invisible import INVISIBLE

_DROPPED = re.compile("|".join(SETS[kind] for kind in (Character.NUL, Character.CONTROL, Character.BIDI)))
_INVISIBLE = str.maketrans("", "", INVISIBLE)
_SEPARATORS = re.compile(f"{SETS[Character.SEPARATOR]}+")


def repaired(line: str) -> str:
    """``line`` as a cleaned copy has it: `unmarked`, in NFC, without NUL, control, direction and invisible characters,
    and with a blank for each character that some programs take for a line end."""
    while True:
        seen = _DROPPED.sub("", unmarked(line)).translate(_INVISIBLE)
        plain = unicodedata.normalize("NFC", _SEPARATORS.sub(" ", seen))
        if plain == line:
            return line
        line = plain


def unmarked(line: str) -> str:
    """``line`` without what programs have left behind in it: the quotation marks of CSV, markup, mixed-up encodings,
    subword marks."""
    for _, mend in MENDED:
        line = mend(line)
    return line


MENDED: tuple[tuple[Flaw, Callable[[str], str]], ...] = (
    (Flaw.QUOTED, unquoted),
    (Flaw.MARKUP, without_markup),
    (Flaw.MOJIBAKE, unmixed),
    (Flaw.SEGMENTED, joined),
)
"""What is mended, in this order, and by which function."""
