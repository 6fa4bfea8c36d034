"""The section ``attention``: a kind from the table, and whatever is chosen instead of the kind's own."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from seq2seq_cli.complaints import of_value
from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.config.sections import Positive, Section, Size, settled
from seq2seq_cli.errors import ConfigError, suggestion
from seq2seq_cli.kinds.attentions import Estimator, Kind, Normaliser, Score, Split, Summary, Window, find, row_of
from seq2seq_cli.kinds.clashes import CLASHES, CONDITIONS, Choices
from seq2seq_cli.kinds.layers import Wiring

SENTENCE_MARKS = ".!?…。！？؟।"
"""What ends a sentence; and a clause, as well:"""
CLAUSE_MARKS = SENTENCE_MARKS + ",;:—–،؛、，；："

WIRED = frozenset({"wiring", "input_feeding"})
"""Settings that mean something only beside an RNN."""
Temperature = Annotated[float, Field(ge=1e-6, le=1e6)]
"""Beyond, scores in single precision are all the same, or no numbers."""


@dataclass(frozen=True)
class Numbers:
    """The numbers of a mechanism, with their defaults."""

    temperature: float = 1.0
    """T in exp(e/T)."""
    top_k: int = 5
    """Scores that the normaliser top-k keeps."""
    radius: int = 10
    """D of a local window: Luong, Pham & Manning 2015, 4.1."""
    max_positions: int = 128
    """Rows of the location score's table."""
    heads: int = 8
    """Of multi-head attention: Vaswani et al. 2017, 3.2.2."""
    slots: int = 8
    """Of an external memory."""
    segment_length: int = 10
    """Pieces of a segment, where segments have a length."""


class AttentionConfig(Section):
    kind: str = "bahdanau"
    """A name of the table of kinds: see `seq2seq attentions` (default: bahdanau; in Transformer decoders multi-head)."""
    score: Score | None = None
    """Another score than the kind's own."""
    window: Window | None = None
    """Which source positions a step may see, if not those of the kind: all (global), or a local window. (Kinds coverage
    and temporal score the others all the same.)"""
    normaliser: Normaliser | None = None
    """How scores become weights; default: the kind's own, softmax for most. sparsemax and entmax15 make exact zeros."""
    temperature: Temperature | None = None
    """Normalisers softmax and top-k only: T in exp(e/T); below 1 weights are sharper (default: 1)."""
    top_k: Positive | None = None
    """Normaliser top-k only: the largest scores that get a weight (default: 5)."""
    wiring: Wiring | None = None
    """Where the context enters: before the RNN (Bahdanau) or after it (Luong); default: the kind's own."""
    input_feeding: bool | None = None
    """Wiring "after" only: join the last attentional vector to the RNN's input (default: true, but for the estimator
    marginal, which allows no such thing)."""
    radius: Positive | None = None
    """Local windows only: D, positions seen on either side of p_t (default: 10, the paper's)."""
    size: Size | None = None
    """Additive score only: hidden size of the score (default: model.hidden_size; of kind "channel": 128)."""
    max_positions: Size | None = None
    """Location score only: source positions that can be attended to; later ones never are (default: 128)."""
    heads: Positive | None = None
    """Kind "multi-head" only: heads, which share model.hidden_size evenly (default: 8)."""
    slots: Size | None = None
    """Kind "memory" only: learned slots beside the source (default: 8)."""
    split: Split | None = None
    """Kind "hierarchical" only: what a segment of the source is: a sentence (up to a piece that ends in . ! ? or the like),
    a clause (the same, or , ; : or a dash; the default), or a number of pieces (length)."""
    segment_length: Positive | None = None
    """With split "length" only: pieces of a segment (default: 10)."""
    estimator: Estimator | None = None
    """Kind "hard" only: how it learns which position to look at: straight-through (the default), reinforce, or by the exact
    marginal likelihood, which needs `wiring` "after" without input_feeding and a readout for every source position."""
    layer: Positive | None = None
    """Transformer decoders only: the layer, counted from 1 at the bottom, whose weights are shown, aligned by and guided
    (default: the last but one)."""
    summary: Summary | None = None
    """Kind "none" only: the source's summary starts the decoder (Sutskever et al. 2014), or is read at every
    step as well (Cho et al. 2014; the default)."""

    own: dict[str, Any] | None = Field(default=None, validate_default=True)
    """Kinds that installed packages add: settings that only they have (see `seq2seq attentions KIND`)."""

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        try:
            return find(kind).name  # of which there is one, whatever its aliases
        except ConfigError as problem:
            raise ValueError(str(problem).replace("\n", " ")) from None

    @field_validator("own")
    @classmethod
    def _are_declared(cls, own: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        """Checked by what the package has declared, whose defaults are written out."""
        row = row_of(info.data.get("kind", ""))
        if row is None:
            return own
        if row.settings is None:
            if own is not None:
                raise ValueError(f"{row.name} has no settings that only it has")
            return None
        try:
            return row.settings.model_validate(own or {}).model_dump(exclude_none=True)
        except ValidationError as error:
            known = list(row.settings.model_fields)
            raise ValueError("; ".join(_undeclared(detail, known) for detail in error.errors())) from None

    @property
    def row(self) -> Kind:
        """The row of the kind in the table."""
        return row_of(self.kind) or find(self.kind)

    @property
    def own_settings(self) -> Any:
        """The settings that only this kind has, of the class that its row declares; None where it declares none."""
        settings = self.row.settings
        return None if settings is None else settings.model_validate(self.own or {})

    @property
    def choices(self) -> Choices:
        """The user's choices; where there is none, the row's."""
        row = self.row
        estimator = self.estimator or row.estimator
        return Choices(
            score=self.score or row.score,
            window=self.window or row.window,
            normaliser=self.normaliser or row.normaliser,
            wiring=self.wiring or row.wiring,
            input_feeding=estimator != "marginal" if self.input_feeding is None else self.input_feeding,
            estimator=estimator,
            split=self.split or row.split,
            summary=self.summary or row.summary,
        )

    @property
    def numbers(self) -> Numbers:
        """The user's numbers; where there is none, the default."""
        return settled(Numbers, self)

    def size_beside(self, hidden_size: int) -> int:
        """Hidden size of an additive score in a decoder whose state has ``hidden_size``."""
        return self.size or self.row.size or hidden_size

    def resolved(self, model: ModelConfig) -> Self:
        """The same with every option of the kind written out, except those that mean nothing with the choices made."""
        values = asdict(self.choices) | asdict(self.numbers)
        values |= {"size": self.size_beside(model.hidden_size), "layer": self.layer_of(model)}
        unmet = {it.option for it in CONDITIONS if not it.met(self.choices)}
        unmet |= {"layer"} if model.decoder == "rnn" else WIRED
        return self.filled({name: values[name] for name in self.row.options - unmet})

    def layer_of(self, model: ModelConfig) -> int:
        """The layer of the decoder whose weights are shown, counted from 1 at the bottom. Of Transformer layers the last but
        one aligns best (Garg et al. 2019, 4.1)."""
        return self.layer or (1 if model.decoder == "rnn" else max(1, model.decoder_depth - 1))

    @property
    def segment_marks(self) -> str:
        """Characters such that a piece which ends with one ends a segment; "" where punctuation ends none."""
        return {"sentences": SENTENCE_MARKS, "clauses": CLAUSE_MARKS}.get(self.choices.split or "", "")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        row, chosen = self.row, self.choices
        given = {
            name for name in type(self).model_fields if name not in ("kind", "own") and getattr(self, name) is not None
        }
        reasons = {_means_nothing(name, row) for name in given - row.options}
        given &= row.options
        reasons |= {it.unmet(row.name, chosen) for it in CONDITIONS if it.option in given and not it.met(chosen)}
        reasons |= {reason for reason, clash in CLASHES if clash(chosen)}
        if reasons:
            raise ValueError("; ".join(sorted(reasons)))
        return self


def _undeclared(detail: Any, known: list[str]) -> str:
    key = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        return f"{key} is unknown. {suggestion(key, known) or 'Known: ' + ', '.join(known) + '.'}"
    return of_value(key, detail).removesuffix(".")


def _means_nothing(name: str, row: Kind) -> str:
    why = row.why_not.get(name)
    return f"{name} is not an option of {row.name}" + (f": {why}" if why else "")
