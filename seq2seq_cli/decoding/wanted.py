"""What is wanted of the translation of a text: how to search, and what to write of each line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.data.subword import END
from seq2seq_cli.decoding.confidence import Calibration, Confidence
from seq2seq_cli.decoding.hypothesis import Hypothesis, Origin
from seq2seq_cli.decoding.sentences import Details
from seq2seq_cli.decoding.translator import Sampling

DIGITS = 4
"""Decimals of a weight or a distance."""


@dataclass(frozen=True)
class Wanted:
    """The ``best`` so many translations of each line, found with the settings ``decoding`` or drawn by ``sampling``.
    Each is an output line: text or ``pieces``, and before it, if ``numbered``, the number of the input line and the
    score. ``replace_unknown`` as in ``Details``. ``glossary``: the digest of the one that they obey. ``structured``: a JSON object
    instead, with all of a line's translations. ``memory``: which one takes part, and how, if one does.
    With a ``calibration``, the confidence stands before the translation, and a tab between them; in an object, that of each word as well."""

    decoding: DecodingConfig
    sampling: Sampling | None = None
    best: int = 1
    numbered: bool = False
    pieces: bool = False
    replace_unknown: bool = False
    glossary: str | None = None
    calibration: Calibration | None = None
    structured: bool = False
    memory: str | None = None

    @property
    def details(self) -> Details:
        """The parts of a line's hypotheses that the output needs; the translator makes no others."""
        return Details(
            self.best,
            text=not self.pieces,
            alignment=False,
            replace_unknown=self.replace_unknown,
            confidence=self.calibration is not None,
            origins=self.structured,
        )

    def written(self, number: int, hypotheses: Sequence[Hypothesis]) -> str:
        """The output lines of the input line with this ``number``, from 1."""
        if self.calibration is not None:
            hypotheses = [one if one.confidence else replace(one, confidence=Confidence(0.0)) for one in hypotheses]
        if self.structured:
            told = {"line": number, "translations": [translation_json(hypothesis) for hypothesis in hypotheses]}
            return f"{json.dumps(told, ensure_ascii=False)}\n"
        return "".join(f"{self._line(number, hypothesis)}\n" for hypothesis in hypotheses)

    def _line(self, number: int, hypothesis: Hypothesis) -> str:
        # Nothing in a translation may look like the end of a line.
        text = " ".join(hypothesis.pieces) if self.pieces else hypothesis.text.replace("\n", " ")
        if hypothesis.confidence is not None:
            text = f"{hypothesis.confidence.shown}\t{text}"
        return f"{number}\t{hypothesis.shown_score}\t{text}" if self.numbered else text

    def to_json(self) -> dict[str, object]:
        """Everything that the output depends on. The names must stay: unfinished translations of earlier versions hold
        them."""
        # What earlier versions did not have has no name where it is not asked for.
        without = None if self.decoding.shortlist else {"shortlist"}
        later = {
            "glossary": self.glossary,
            "confidence": None if self.calibration is None else asdict(self.calibration),
            "structured": self.structured,
            "memory": self.memory,
        }
        return {name: value for name, value in later.items() if value} | {
            "decoding": self.decoding.model_dump(exclude=without),
            "drawing": None if self.sampling is None else asdict(self.sampling),
            "shown": self.best,
            "numbered": self.numbered,
            "pieces": self.pieces,
            "replace_unk": self.replace_unknown,
        }


def translation_json(hypothesis: Hypothesis) -> dict[str, object]:
    """A translation with its pieces and scores; how sure it is, and where each piece came from, ``</s>`` included, if that is
    known."""
    told: dict[str, object] = {
        "text": hypothesis.text,
        "score": hypothesis.score,
        "log_prob": hypothesis.log_prob,
        "pieces": list(hypothesis.pieces),
    }
    if hypothesis.confidence is not None:
        told["confidence"] = hypothesis.confidence.to_json()
    if hypothesis.origins is None:
        return told
    pieces = (*hypothesis.pieces, END)
    return told | {"origins": [_origin(piece, one) for piece, one in zip(pieces, hypothesis.origins, strict=True)]}


def _origin(piece: str, origin: Origin) -> dict[str, object]:
    examples = [
        {
            "weight": round(example.weight, DIGITS),
            "distance": round(example.distance, DIGITS),
            "piece": example.piece,
            "position": example.position,
            "source": example.source,
            "target": example.target,
        }
        for example in origin.examples
    ]
    return {"piece": piece, "memory": round(origin.share, DIGITS), "examples": examples}
