"""Which of two languages a text is written in, from prior knowledge of languages: py3langid's frequencies of byte
sequences (Lui & Baldwin 2012)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from seq2seq_cli.data.pairs import Lines

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LINES = 5
"""Lines of a part of the text that is identified at a time: a single line may be a name or a number."""
FEWEST, MOST = 5, 60
"""The fewest parts for which anything is said, and the most parts that are looked at."""
MAJORITY = 2 / 3
"""The share of the parts that must look swapped. Of two languages that cannot be told apart, a quarter does."""

_SAME = {"nb": "no", "iw": "he", "in": "id"}
"""Codes that the identifier knows under another name."""
_KNOWN = (
    "af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd gl gu ha he hi hr "
    "ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk ml mn mr ms mt my ne nl nn no oc om "
    "or pa pl ps pt qu ro ru rw sa se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz vi vo wa xh "
    "yo zh zu"
)
"""The identifier's languages with a two-letter code. It takes half a second to load, and is not loaded for other
languages."""


def look_swapped(src: Sequence[str], tgt: Sequence[str], languages: tuple[str, str]) -> bool:
    """Whether, in most parts of a sample of the pairs, the source reads like the target language of ``languages``
    (codes such as de, pt-BR) and the target like the source language. False where a language is unknown, or there are
    few pairs."""
    return bool(swapped_notes({"": Lines(list(src), list(tgt))}, languages))


def swapped_notes(texts: Mapping[str, Lines], languages: tuple[str, str]) -> list[str]:
    """A note on each of the ``texts``, by name, whose sides look swapped."""
    codes = _known(languages[0]), _known(languages[1])
    enough = {where: lines for where, lines in texts.items() if len(lines.src) >= FEWEST * LINES}
    if not codes[0] or not codes[1] or codes[0] == codes[1] or not enough:
        return []
    identifier = _identifier(codes)
    if identifier is None:
        return []
    src, tgt = languages
    return [
        f"{where}: the two sides look swapped: what should be {src} reads like {tgt}, and what should be {tgt}, like {src}."
        for where, lines in enough.items()
        if _swapped(lines, identifier, codes)
    ]


def _swapped(lines: Lines, identifier: LanguageIdentifier, codes: tuple[str, str]) -> bool:
    begins = range(0, len(lines.src) - LINES + 1, LINES)
    chosen = begins[:: -(-len(begins) // MOST)]

    def reads_like(side: list[str], row: int) -> str:
        return str(identifier.rank(" ".join(side[row : row + LINES]))[0][0])

    wrong = sum((reads_like(lines.tgt, row), reads_like(lines.src, row)) == codes for row in chosen)
    return wrong > MAJORITY * len(chosen)


def _known(language: str) -> str:
    """The identifier's code for a language; "" where it has none."""
    code = language.lower().replace("_", "-").partition("-")[0]
    code = _SAME.get(code, code)
    return code if code in _KNOWN.split() else ""


def _identifier(codes: tuple[str, str]) -> LanguageIdentifier | None:
    """An identifier of these two languages; None where there is no room to unpack it. It is not kept, because it takes
    75 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    try:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    except OSError:
        return None
    identifier.set_languages(codes)
    return identifier
