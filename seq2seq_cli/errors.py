"""Errors that the user can mend: shown without a traceback, exit status 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can put right: what is wrong, where it is, what to do about it.

    ``where`` names a file, line, key or option; ``hint`` is an instruction. Any other exception is a bug of ours and
    keeps its traceback.
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
    """A setting that is unknown, of the wrong type, or in conflict with another one."""


class DataError(UserError):
    """Text that cannot be used as it is: missing, empty, unequal, undecodable."""


class BrokenOffError(DataError):
    """Text that cannot be read to its end for now, for instance because a network fails. What was made of it so far is
    good and can be continued."""


class RunError(UserError):
    """A run directory or checkpoint that is missing, in the way, damaged, or of another shape."""


class DamagedError(RunError):
    """A checkpoint that has changed since it was written: cut off, or altered."""


class UnsearchableError(RunError):
    """A sentence for which a model finds no translation because its probabilities are NaN."""


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
"""Other names that people use for a choice."""


def suggestion(word: str, choices: Iterable[str]) -> str | None:
    """``Did you mean "x"?`` for the choice nearest to ``word``, or None where nothing is near."""
    there, other = list(choices), SYNONYMS.get(word.lower())
    near = [other] if other in there else difflib.get_close_matches(word, there, n=1, cutoff=0.5)
    return f'Did you mean "{near[0]}"?' if near else None
