"""A glossary as the pieces of one run write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seq2seq_cli.data.boundaries import Joint, is_open, joint
from seq2seq_cli.data.glossary import Glossary, Term
from seq2seq_cli.data.subword import EOS, SPACE, UNK, Subword
from seq2seq_cli.data.text import shorten
from seq2seq_cli.decoding.constraints import Constraint, Joints, count_nested
from seq2seq_cli.wording import counted

OPENING = "("
"""A term may follow this directly: so it is seen which pieces write a term without a space before it."""


@dataclass(frozen=True)
class TermPieces:
    """The terms of ``glossary``, their translations in the pieces of ``subword``."""

    glossary: Glossary
    subword: Subword

    def constraints(self, line: str) -> tuple[Constraint, ...]:
        """What a translation of ``line`` must hold. Terms that cannot be written ask for nothing."""
        found = Counter(term for term in self.glossary.found_in(line) if self._forms[term])
        return count_nested([Constraint(self._forms[term], times) for term, times in found.items()], self.joints)

    @property
    def digest(self) -> str:
        """Of the glossary's file."""
        return self.glossary.digest

    @property
    def unwritable(self) -> list[Term]:
        """The terms of which no translation can be written."""
        return [term for term in self.glossary.terms if not self._forms[term]]

    def remarks(self, most: int = 5) -> list[str]:
        """What is to be said of them, of the first so many one by one."""
        lost = self.unwritable
        said = [
            f"{term.where}: {', '.join(map(shorten, term.targets))} cannot be written in the pieces of this run: "
            f"{shorten(term.source)} is translated as if the glossary did not have it."
            for term in lost[:most]
        ]
        more = len(lost) - most
        return said if more <= 0 else [*said, f"{counted(more, 'more term')} cannot be written either."]

    @cached_property
    def joints(self) -> Joints:
        """How the pieces of the vocabulary stand beside each other."""
        pieces = self.subword.pieces(list(range(len(self.subword))))
        behind_V = np.array([joint(piece[0]) for piece in pieces], dtype=np.int64)
        open_V = np.array([is_open(piece[-1]) for piece in pieces])
        behind_V[: EOS + 1], open_V[: EOS + 1] = Joint.BREAKS, False
        # An unknown piece may be a letter, unless pieces are words.
        if not self.subword.word_by_word:
            behind_V[UNK], open_V[UNK] = Joint.CLINGS, True
        return Joints(behind_V, open_V)

    @cached_property
    def _forms(self) -> dict[Term, tuple[tuple[int, ...], ...]]:
        """The ways to write each term: of each translation the pieces behind a space, and without one."""
        texts = list(dict.fromkeys(target for term in self.glossary.terms for target in term.targets))
        written = dict(zip(texts, self.subword.encode(texts), strict=True))
        return {
            term: tuple(form for target in term.targets for form in self._ways(target, written[target]))
            for term in self.glossary.terms
        }

    def _ways(self, text: str, behind_space: Sequence[int]) -> list[tuple[int, ...]]:
        if not behind_space or UNK in behind_space or self.subword.decode(list(behind_space)) != text:
            return []
        directly = self._without_space(text)
        return [tuple(behind_space), *([directly] if directly else [])]

    def _without_space(self, text: str) -> tuple[int, ...]:
        """The pieces of ``text`` where it follows `OPENING`; none where that is part of its first piece."""
        if self.subword.word_by_word:
            return ()
        line, before = OPENING + text, ""
        for number, piece in enumerate(self.subword.written_pieces(line), start=1):
            before += piece
            if before == SPACE + OPENING:
                rest = self.subword.encode([line])[0][number:]
                return () if UNK in rest else tuple(rest)
        return ()
