"""From what a search has found to what people read: text, pieces, and where each piece came from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.subword import BEGIN, END, SPACE, UNK, Subwords
from seq2seq_cli.decoding.hypothesis import Alignment, Role
from seq2seq_cli.decoding.search import Trace
from seq2seq_cli.decoding.sentences import Sentence
from seq2seq_cli.model.build import local_radius


@dataclass(frozen=True)
class Spelling:
    """Spells the translations of one sentence. What they have in common is made once, and only if it is needed."""

    subwords: Subwords
    config: Config
    sentence: Sentence

    @property
    def _first(self) -> int:
        """The position of its first piece, behind the sentences that stand in front of it."""
        return self.sentence.pieces_before if self.config.model.back.joins else 0

    @cached_property
    def _written(self) -> list[str]:
        """The pieces of the line, unknown ones spelled as in the line."""
        return self.subwords.src.written_pieces(self.sentence.line)

    @cached_property
    def source_pieces(self) -> tuple[str, ...]:
        """The pieces of the source, without ``</s>``."""
        ids = self.sentence.ids
        return tuple(self._written if UNK in ids else self.subwords.src.pieces(ids))

    def text(self, target: list[int], trace: Trace | None = None) -> str:
        """The text of target piece ids. With a ``trace``, each unknown piece becomes the source word that it attended
        to most."""
        if trace is None or trace.weights_RS.shape[-1] == 0:
            return self.subwords.tgt.decode(target)
        starts = [i for i, piece in enumerate(self._written) if i == 0 or piece.startswith(SPACE)]
        ends = [*starts[1:], len(self._written)]
        words = ["".join(self._written[i:j]) for i, j in zip(starts, ends, strict=True)]
        # Where pieces are whole words, so is an unknown one; elsewhere the piece before it says where a word ends.
        before = SPACE if self.config.subword.type == "word" else ""
        pieces = self.subwords.tgt.pieces(target)
        for step, position in enumerate(self._weights(trace.weights_RS)[: len(target), :-1].argmax(1)):
            if target[step] == UNK:
                pieces[step] = before + words[bisect_right(starts, position) - 1].removeprefix(SPACE)
        return self.subwords.tgt.text(pieces)

    def alignment(self, target_pieces: tuple[str, ...], trace: Trace) -> Alignment | None:
        """Where the steps looked that wrote ``target_pieces``, and the last step, which wrote ``</s>``. None for a
        model without attention."""
        return self.aligned(target_pieces, trace) if trace.weights_RS.shape[-1] else None

    def aligned(self, target_pieces: tuple[str, ...], trace: Trace) -> Alignment:
        """The same for a model with attention."""
        weights_TS, centre_T = trace
        return Alignment(
            source_pieces=(*self.source_pieces, END),
            target_pieces=(*target_pieces, END),
            weights_TS=self._weights(weights_TS),
            centre_T=None if centre_T is None else centre_T.float().cpu().numpy() - self._first,
            radius=local_radius(self.config.attention),
        )

    def within_source(self, weights_SS: Tensor) -> Alignment:
        """Where the source looked in itself."""
        return self._within(Role.ITSELF, (*self.source_pieces, END), weights_SS[self._first :, self._first :])

    def within_target(self, target_pieces: tuple[str, ...], weights_TT: Tensor) -> Alignment:
        """Where the translation that ``target_pieces`` make looked in itself."""
        return self._within(Role.MASKED, (BEGIN, *target_pieces), weights_TT)

    def _within(self, role: Role, pieces: tuple[str, ...], weights_PP: Tensor) -> Alignment:
        numbers = self.config.self_attention.numbers
        local = numbers.window == "local"
        return Alignment(
            source_pieces=pieces,
            target_pieces=pieces,
            weights_TS=_plain(weights_PP[: len(pieces), : len(pieces)]),  # without padding
            centre_T=np.arange(len(pieces), dtype=np.float32) if local else None,
            radius=numbers.radius if local else None,
            role=role,
        )

    def _weights(self, weights_TS: Tensor) -> np.ndarray:
        """The weights without the columns that only longer sentences of the batch use, and those of sentences in front."""
        return _plain(weights_TS[:, self._first : self._first + len(self.sentence.ids) + 1])


def _plain(weights: Tensor) -> np.ndarray:
    plain: np.ndarray = weights.float().cpu().numpy()
    return plain
