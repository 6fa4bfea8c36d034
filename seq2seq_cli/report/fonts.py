"""Fonts of this machine that have the characters which a picture needs."""

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from matplotlib import font_manager
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.ft2font import FT2Font

BASE = "DejaVu Sans"
"""A font that comes with matplotlib: Latin, Cyrillic, Greek, Arabic and many symbols."""
PLACEHOLDERS = ("Last Resort", ".LastResort", "Adobe Blank", "Adobe NotDef")
"""Fonts that claim to have every character, but show none of them."""
BOX = "□"
OURS = "seq2seq: "
"""Prefix of the names under which single font files are registered."""


@dataclass(frozen=True)
class Typeface:
    """Font ``families``, to be searched in this order for each character, and the characters ``missing`` from all of
    them."""

    families: tuple[str, ...]
    missing: frozenset[str]

    def printable(self, text: str) -> str:
        """``text`` with a box for each missing character; missing control characters and the like are dropped."""
        return "".join(character if character not in self.missing else _stand_in(character) for character in text)

    @property
    def warnings(self) -> list[str]:
        """A warning for each script that cannot be shown."""
        scripts = sorted({_script(character) for character in self.missing if _stand_in(character)})
        return [
            f'no font on this machine has these {script} characters, drawn as "{BOX}"; '
            "install one that does, for example of the Noto family."
            for script in scripts
        ]


def typeface(texts: Iterable[str]) -> Typeface:
    """A few installed fonts that together have the characters of ``texts``, as far as this machine can."""
    return _cover(frozenset("".join(texts)) - {" ", "\n"})


@lru_cache
def _cover(characters: frozenset[str]) -> Typeface:
    families, missing = [BASE], characters - _held(font_manager.findfont(BASE), 0, characters)
    if missing:
        _register_new_fonts()
    while missing:
        found = [(e, _held(e.fname, e.index, missing)) for e in fontManager.ttflist if _is_usable(e)]
        best, held = min(found, key=lambda pair: (-len(pair[1]), *_oddity(pair[0])))
        if not held:
            break
        families.append(_family_of(best.fname, best.index))
        missing -= held
    return Typeface(tuple(families), missing)


@cache
def _register_new_fonts() -> None:
    # Matplotlib keeps its list of fonts on disk, and does not see those installed since.
    known = {entry.fname for entry in fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                fontManager.addfont(path)
            except (OSError, RuntimeError, NotImplementedError):
                continue  # bitmaps and broken files: matplotlib leaves them out of its list as well


@cache
def _family_of(path: str, face: int) -> str:
    """A family name that finds exactly this font: the font's own name may find a sister file with other characters."""
    name = f"{OURS}{os.path.basename(path)} {face}"
    fontManager.ttflist.append(FontEntry(path, face, name, weight=400, size="scalable"))
    return name


def _held(path: str, face: int, characters: frozenset[str]) -> frozenset[str]:
    try:
        font = FT2Font(path, face_index=face)
    except (OSError, RuntimeError):
        return frozenset()  # gone since matplotlib listed it
    return frozenset(character for character in characters if font.get_char_index(ord(character)))


def _is_usable(entry: FontEntry) -> bool:
    return entry.style == "normal" and not entry.name.startswith((OURS, *PLACEHOLDERS))


def _oddity(entry: FontEntry) -> tuple[int, bool, str]:
    """A sort key: lower values are closer to a plain sans-serif of regular weight."""
    weight = entry.weight if isinstance(entry.weight, int) else font_manager.weight_dict[entry.weight]
    return abs(weight - 400), "Sans" not in entry.name, entry.name


def _stand_in(character: str) -> str:
    selects_variant = "VARIATION SELECTOR" in unicodedata.name(character, "")
    return "" if selects_variant or unicodedata.category(character) in ("Cc", "Cf") else BOX


def _script(character: str) -> str:
    # The standard library knows no scripts, but the names of letters begin with theirs: CYRILLIC SMALL LETTER A.
    if unicodedata.category(character)[0] not in "LM":
        return "symbol"
    name = unicodedata.name(character, "unnamed").split()[0]
    return name if name == "CJK" else name.capitalize()
