"""In which scripts a language is written, and which lines are in another script."""

import re

import numpy as np

from seq2seq_cli.data.checks.characters import CAPITALS, FIRST_SCRIPT, SCRIPTS, Character

LANGUAGES = {
    "Latin": "aa af ak az bm br bs ca co cs cy da de ee en eo es et eu ff fi fj fo fr fy ga gd gl gn gv ha ho hr ht hu ia "
    "id ie ig ik io is it jv kg ki kj kk kl ku kw la lb lg li ln lt lu lv mg mh mi mn ms mt na nb nd ng nl nn no nr nv ny "
    "oc om pl pt qu rm rn ro rw sc se sg sk sl sm sn so sq sr ss st su sv sw tg tk tl tn to tr ts tt tw ty ug uz ve vi vo "
    "wa wo xh yo za zu",
    "Cyrillic": "ab av az ba be bg bs ce cu cv kk ku kv ky mk mn os ru sr tg tk tt ug uk uz",
    "Arabic": "ar az fa kk ks ku ky ms ps sd tg ug ur uz",
    "Greek": "el",
    "Hebrew": "he iw yi",
    "Han": "ja ko zh",
    "Hiragana": "ja",
    "Katakana": "ja",
    "Hangul": "ko",
    "Bopomofo": "zh",
    "Devanagari": "hi ks mr ne sa sd",
    "Bengali": "as bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Oriya": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Tibetan": "bo dz",
    "Myanmar": "my",
    "Khmer": "km",
    "Armenian": "hy",
    "Georgian": "ka",
    "Ethiopic": "am ti",
    "Thaana": "dv",
    "Mongolian": "mn",
    "Canadian_Aboriginal": "cr iu oj",
}
"""The languages (ISO 639-1) written in each script; a language with several scripts stands in several rows."""

FEW, MANY = 3, 20
"""So many letters of a wrong script are too many; of Latin, in which names and part numbers are written everywhere, so
many are."""
COMMON = 0.1
"""Where the language is unknown, a script with this share of a text's letters is one of its own."""


def scripts_of(language: str) -> frozenset[str]:
    """The scripts of a language code such as "ru", "zh-TW" or "pt_BR"; none where the code is not in ISO 639-1."""
    found = re.fullmatch(r"([a-z]{2})([-_].*)?", language.lower())
    return frozenset(script for script, codes in LANGUAGES.items() if found and found[1] in codes.split())


def letters_by_script(counts: np.ndarray) -> np.ndarray:
    """How many letters of each script each line has, capitals included: lines x scripts, from the rows of
    `counts_by_class`."""
    letters = counts[:, FIRST_SCRIPT:].copy()
    for script, character in CAPITALS.items():
        letters[:, SCRIPTS.index(script)] += counts[:, character]
    return letters


def common_scripts(letters: np.ndarray) -> frozenset[str]:
    """The scripts that have a tenth or more of a text's letters."""
    totals = letters.sum(0)
    return frozenset(SCRIPTS[number] for number in np.flatnonzero(totals > COMMON * totals.sum()))


def in_another_script(letters: np.ndarray, counts: np.ndarray, expected: frozenset[str]) -> np.ndarray:
    """Which lines are mostly in scripts other than ``expected``. None are if nothing is expected."""
    if not expected:
        return np.zeros(len(letters), dtype=bool)
    right = np.array([script in expected for script in SCRIPTS])
    latin = np.zeros(len(SCRIPTS), dtype=bool)
    latin[SCRIPTS.index("Latin")] = "Latin" not in expected
    own, foreign_latin = letters[:, right].sum(1), letters[:, latin].sum(1)
    foreign = letters[:, ~right & ~latin].sum(1) + counts[:, Character.LETTER]
    wrong: np.ndarray = ((foreign >= FEW) | (foreign + foreign_latin >= MANY)) & (foreign + foreign_latin > own)
    return wrong
