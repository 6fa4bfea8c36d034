"""What can be put right within a line without changing what it says."""

import re
import unicodedata

from seq2seq_cli.data.checks.characters import SETS, Character
from seq2seq_cli.data.invisible import INVISIBLE

_DROPPED = re.compile("|".join(SETS[kind] for kind in (Character.NUL, Character.CONTROL, Character.BIDI)))
_INVISIBLE = str.maketrans("", "", INVISIBLE)
_SEPARATORS = re.compile(f"{SETS[Character.SEPARATOR]}+")


def repaired(line: str) -> str:
    """``line`` in NFC, without NUL, control, direction and invisible characters, a blank for what others may take for its
    end."""
    seen = _DROPPED.sub("", line).translate(_INVISIBLE)
    return unicodedata.normalize("NFC", _SEPARATORS.sub(" ", seen))
