"""The encoding of text that is not UTF-8."""

from __future__ import annotations

import codecs
import unicodedata
from itertools import pairwise
from typing import NamedTuple

FEWEST = 8
"""At least so many bytes that are not ASCII are needed for a guess."""
MOST = 1 << 16
"""At most so many bytes are used for a guess."""
ALIGNED = 0.75
"""Text is taken for UTF-16 or UTF-32 if this share of its bytes 0x0A are line ends when read in units of two or four
bytes."""

DISORDER = 0.3
"""With more disorder, text is in another encoding, or is no text."""


class Encoding(NamedTuple):
    """``name`` is the name for people and for iconv, ``codec`` the one for Python."""

    name: str
    codec: str


_MARKS = (
    (codecs.BOM_UTF8, Encoding("UTF-8", "utf-8-sig")),
    (codecs.BOM_UTF32_LE, Encoding("UTF-32", "utf-32")),
    (codecs.BOM_UTF32_BE, Encoding("UTF-32", "utf-32")),
    (codecs.BOM_UTF16_LE, Encoding("UTF-16", "utf-16")),
    (codecs.BOM_UTF16_BE, Encoding("UTF-16", "utf-16")),
)
"""UTF-32 before UTF-16, whose marks begin alike."""
WIDE = frozenset({"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"})
"""Codecs with more than one byte for every character. Text in them cannot be mistaken for any other encoding."""
_WESTERN = ("cp1252", "mac_roman", "cp850", "cp437")
_USUAL, _SELDOM = "€\xa0", "§¶†‡•‰·"
_OF_LANGUAGES = {
    "bs cs hr hu pl ro sk sl sq": ("cp1250", "iso8859_2", "cp852"),
    "be bg kk mk mn ru sr uk": ("cp1251", "koi8_r", "koi8_u", "iso8859_5", "cp866", "mac_cyrillic"),
    "el": ("cp1253", "iso8859_7"),
    "az ku tr": ("cp1254", "iso8859_9"),
    "he yi": ("cp1255", "iso8859_8"),
    "ar fa ps ug ur": ("cp1256", "iso8859_6"),
    "et lt lv": ("cp1257", "iso8859_13"),
    "vi": ("cp1258",),
    "th": ("cp874",),
    "ja": ("cp932", "euc_jp", "iso2022_jp"),
    "zh": ("gb18030", "big5"),
    "ko": ("cp949", "johab"),
}
"""Encodings that were in use for each language (ISO 639-1). _WESTERN is tried for all languages."""
ALIKE = 0.02
"""Encodings whose disorder differs by less differ only in letters that the text hardly has."""


def by_mark(beginning: bytes) -> Encoding | None:
    """The encoding named by a byte order mark at the beginning of a file."""
    return next((encoding for mark, encoding in _MARKS if beginning.startswith(mark)), None)


def wide(beginning: bytes) -> Encoding | None:
    """UTF-16 or UTF-32, if the beginning of a file can be nothing else, as shown by a mark or by where its zero bytes
    are."""
    named = by_mark(beginning)
    if named is not None:
        return named if named.codec != "utf-8-sig" else None
    sample = beginning[:MOST]
    if sample.isascii() and b"\0" not in sample:
        return None
    for order in ("LE", "BE"):
        for width in (32, 16):
            text = _decoded(sample, f"utf-{width}-{order.lower()}")
            zeros = sample[1 if order == "LE" else 0 :: 2].count(0) * 2
            ends = text.count("\n") > ALIGNED * sample.count(b"\n") if "\n" in text else zeros > len(sample) / 2
            if ends and text and "\0" not in text:
                return Encoding(f"UTF-{width}{order}", f"utf-{width}-{order.lower()}")
    return None


def _decoded(sample: bytes, codec: str) -> str:
    """The decoded text; "" where ``sample`` is not in that encoding. A character cut off at the end is no error."""
    try:
        return codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return ""


def detect(sample: bytes, language: str | None = None) -> Encoding | None:
    """The encoding of text, of which ``sample`` is the beginning or some lines; UTF-8 if it is that. None where nothing
    fits, or there is too little text to tell.

    Encodings of one byte a character are told apart by charset-normalizer, which judges how much sense the letters
    make. It chooses among the encodings that were in use for the ``language`` (ISO 639-1).
    """
    found = wide(sample)
    if found is not None:
        return found
    sample = sample[:MOST]
    if not sample or _decoded(sample, "utf-8"):
        return by_mark(sample) or Encoding("UTF-8", "utf-8")
    if sum(byte >= 0x80 for byte in sample) < FEWEST:
        return None
    return _narrow(sample, (language or "").lower()[:2])


def _narrow(sample: bytes, language: str) -> Encoding | None:
    own = [codec for codes, of in _OF_LANGUAGES.items() if language in codes.split() for codec in of]
    western = [codec for codec in _WESTERN if codec not in own]
    for wanted in (own, western, None):  # at last: whatever it may be
        if wanted != [] and (codec := _tidiest(sample, wanted)):
            return _named(codec, sample)
    return None


def _tidiest(sample: bytes, wanted: list[str] | None) -> str | None:
    """The encoding in which the text makes most sense (the first, if several tie); None where none makes sense."""
    from charset_normalizer import from_bytes

    disorder = {
        match.encoding: match.chaos + _odd_letters(sample, match.encoding)
        for match in from_bytes(sample, cp_isolation=wanted)
    }
    least = min(disorder.values(), default=1.0)
    if least > DISORDER:
        return None
    order = wanted or list(disorder)
    return min((codec for codec, much in disorder.items() if much <= least + ALIKE), key=order.index)


def _named(codec: str, sample: bytes) -> Encoding:
    if codec == "cp1252" and not any(0x80 <= byte < 0xA0 for byte in sample):
        return Encoding("ISO-8859-1", "latin_1")
    return Encoding(codec.upper().replace("_", "-"), codec)


def _odd_letters(sample: bytes, codec: str) -> float:
    """Share of the non-ASCII characters that are no letters, or are capitals inside a word."""
    text = sample.decode(codec, "replace")
    beyond = odd = 0
    for before, character in pairwise(f" {text}"):
        if character > "\x7f":
            beyond += 1
            usual = character.isalpha() or character in _USUAL or unicodedata.category(character)[0] == "P"
            odd += not usual or character in _SELDOM or (character.isupper() and before.islower())
    return odd / max(beyond, 1)
