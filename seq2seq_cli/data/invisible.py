"""Characters that cannot be seen, or that no text can hold: which are dropped, which are kept, and why."""


def _characters(*ranges: str) -> str:
    """All characters of single ones and of ranges (first and last)."""
    return "".join(chr(code) for ends in ranges for code in range(ord(ends[0]), ord(ends[-1]) + 1))


INVISIBLE = _characters(
    "\u00ad", "\u061c", "\u17b4\u17b5", "\u200b", "\u200e\u200f", "\u202a\u202e", "\u2060\u206f", "\ufeff", "\ufff0\ufffb",
    "\U0001d173\U0001d17a", "\U000e0000\U000e001f", "\U000e0080\U000e00ff", "\U000e01f0\U000e0fff",
)  # fmt: skip
"""Dropped, because they show nothing and spell nothing: Unicode's Default_Ignorable_Code_Point (the zero-width space,
the word joiner, the soft hyphen, direction marks, a byte order mark in mid-text and the like), without JOINING and the
fillers in _BLANK; and the marks of interlinear annotation."""

JOINING = _characters(
    "\u034f", "\u115f\u1160", "\u180b\u180f", "\u200c\u200d", "\ufe00\ufe0f", "\U0001bca0\U0001bca3",
    "\U000e0020\U000e007f", "\U000e0100\U000e01ef",
)  # fmt: skip
"""Kept, although they cannot be seen by themselves, because they matter for spelling: the joiners of Persian, of Indic
scripts and of emoji, variation selectors, Mongolian's vowel separator, fillers of old Korean syllables, what keeps
accents in order, the tags in flags, and Duployan's controls."""

_BLANK = _characters("\x00\x1f", "\x7f\x9f", "\u3164", "\uffa0")
"""Become a space: control characters, and the Hangul fillers that look like one."""

NONCHARACTERS = _characters("\ufdd0\ufdef", *(chr(end) + chr(end + 1) for end in range(0xFFFE, 0x110000, 0x10000)))
"""Code points that Unicode reserves for the internal use of programs: no text holds them."""
_LOST = NONCHARACTERS + _characters("\ud800\udfff")
"""Become U+FFFD: noncharacters, and surrogates. UTF-8 cannot hold surrogates; bytes of a command line that are not
UTF-8 turn into them."""

BECOMES = str.maketrans(dict.fromkeys(INVISIBLE, "") | dict.fromkeys(_BLANK, " ") | dict.fromkeys(_LOST, "\ufffd"))
"""What each of these characters becomes in a cleaned line, as a table for ``str.translate``."""
