"""Errors that are the user's to mend: shown without a traceback, exit status 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: what is wrong, where it is, what to do about it.

    ``where`` names a file, line, key or option; ``hint`` is an instruction. Everything that is not a
    ``UserError`` is a bug of ours and keeps its traceback.
    """

    def __init__(self, what: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n{self.hint}" if self.hint else text


class ConfigError(UserError):
    """A setting that is unknown, of the wrong type, or at odds with another one."""


class DataError(UserError):
    """Text that cannot be used as it is: missing, empty, unequal, undecodable."""


class BrokenOffError(DataError):
    """Text that cannot be read to its end for now, as where a network fails: what was made of it so far is good, and can be
    gone on with."""


class RunError(UserError):
    """A run directory or checkpoint that is missing, in the way, damaged, or of another shape."""


class DamagedError(RunError):
    """A checkpoint that is not what was written: cut off, or altered."""


class UnsearchableError(RunError):
    """A sentence in which a model finds no translation: what it gives for probabilities are no numbers."""


SYNONYMS = {
    "gpu": "cuda",
    "nvidia": "cuda",
    "metal": "mps",
    "processor": "cpu",
    "float32": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
}
"""What some call a choice that is called otherwise here."""


def suggestion(word: str, choices: Iterable[str]) -> str | None:
    """``Did you mean "x"?`` for the choice nearest to ``word``, or None where nothing is near."""
    there, other = list(choices), SYNONYMS.get(word.lower())
    near = [other] if other in there else difflib.get_close_matches(word, there, n=1, cutoff=0.5)
    return f'Did you mean "{near[0]}"?' if near else None
