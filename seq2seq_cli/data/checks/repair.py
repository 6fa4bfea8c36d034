"""What can be put right within a line without changing what it says."""

import re
import unicodedata

from seq2seq_cli.data.checks.characters import SETS, Character

_DROPPED = re.compile("|".join(SETS[kind] for kind in (Character.NUL, Character.CONTROL, Character.BIDI)))
_SEPARATORS = re.compile(f"{SETS[Character.SEPARATOR]}+")


def repaired(line: str) -> str:
    """``line`` in NFC, without NUL, control and direction characters, a blank for what others may take for its end."""
    return unicodedata.normalize("NFC", _SEPARATORS.sub(" ", _DROPPED.sub("", line)))
