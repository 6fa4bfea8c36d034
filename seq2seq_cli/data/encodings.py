"""In which encoding bytes are written that are not UTF-8."""

import codecs

MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""What a text may begin with, and the encoding that it says, the longer ones first."""


def marked_encoding(begin: bytes) -> str | None:
    """The encoding that a byte order mark says; None for that of UTF-8, and without one."""
    return next((name for mark, name in MARKS if begin.startswith(mark)), None)


def likely_encoding(sample: bytes) -> str | None:
    """The encoding of a text that is not UTF-8, by a name that iconv knows; None where nothing speaks for one."""
    marked = marked_encoding(sample)
    if marked is not None:
        return marked
    # Letters of most alphabets have their first byte in common, which is 0 for Latin ones: so have blanks and line ends.
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    most = len(sample) // 2
    if most and max(even, odd) >= 0.2 * most and min(even, odd) <= 0.1 * most:
        return "UTF-16LE" if odd > even else "UTF-16BE"
    return None
