"""Every setting of a run, with its default, in typed sections. The only place for defaults; no torch here.

Precedence: the defaults below < a TOML file < ``--set section.key=value`` and the named flags.
"""

import codecs
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from seq2seq_cli import kinds
from seq2seq_cli.complaints import complaint
from seq2seq_cli.errors import ConfigError, suggestion
from seq2seq_cli.files import read_bytes
from seq2seq_cli.wording import counted

RADIUS = 10
"""D of a local window where none is set: Luong, Pham & Manning 2015, 4.1."""
MAX_POSITIONS = 128
"""Rows of the location score's table where none are set."""
TOP_K = 5
"""Scores that the top-k normaliser keeps where no number is set."""
HEADS = 8
"""Of multi-head attention where no number is set: Vaswani et al. 2017, 3.2.2."""
SLOTS = 8
"""Slots of an external memory where no number is set."""
CHANNEL_SIZE = 128
"""Hidden size of the score of `channel` where none is set."""
SEGMENT_LENGTH = 10
"""Pieces of a segment where segments have a length and none is set."""
SENTENCE_MARKS = ".!?…。！？؟।"
"""What ends a sentence; and a clause, as well:"""
CLAUSE_MARKS = SENTENCE_MARKS + ",;:—–،؛、，；："
GUIDED_WEIGHT = 0.5
"""Weight of word links in the loss where none is set."""
SAMPLES = 5
"""Translations drawn for a sentence where no number is set."""
CROSS_ENTROPY_WEIGHT = 0.1
"""Of cross-entropy beside a reward where none is set."""
ALPHA = 0.005
"""Sharpness of minimum risk training where none is set: Shen et al. 2016, 4.2."""
FINE_TUNING: dict[str, object] = {"learning_rate": 1e-4, "epochs": 3}
"""Training settings whose defaults are others where training starts from a trained run."""

LARGEST_FILE, LONGEST_LINE = 64 << 10, 8 << 10
"""Bytes of a configuration. tomllib takes minutes for a key of ten thousand parts."""

MOST = 2**31 - 1
Positive = Annotated[int, Field(gt=0, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Size = Annotated[int, Field(gt=0, le=65_536)]
LONGEST_TRANSLATION = 100_000
Pieces = Annotated[int, Field(ge=0, le=LONGEST_TRANSLATION)]
Layers = Annotated[int, Field(gt=0, le=64)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Minutes = Annotated[float, Field(gt=0, le=10 * 366 * 24 * 60)]
"""Ten years at most."""
Temperature = Annotated[float, Field(ge=1e-6, le=1e6)]
"""Beyond, scores in single precision are all the same, or no numbers."""
LARGEST_WEIGHT = 1e6
"""Of a part of the loss: it is to be a finite number in single precision."""
MOST_THREADS = 1024


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _can_be_a_name(cls, value: object) -> object:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("the character NUL is in no name of a file")
        return value


def _text_form(value: object) -> str | list[str]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return value[0] if len(value) == 1 else value
    raise PydanticCustomError("text_form", "must be the name of a text, or a list of two files' names")


TextForm = Annotated[str | list[str], PlainValidator(_text_form)]
"""What names a text: one name, or its files."""


def _column(value: object) -> object:
    """The number of a column may be given without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Language = Annotated[str, BeforeValidator(_column)]


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_NO_LANGUAGE = frozenset(("txt", "tsv", "csv", "xml", "sgm", "tmx", "xlf", "po", "zip", "raw", "tok", "doc", "gz"))


def languages_in(files: Sequence[str]) -> tuple[str, str] | None:
    """The languages that the names of two files end in (A.de B.en.txt.gz); None where they do not say two."""
    found = []
    for name in files:
        end = re.sub(r"(\.(txt|sgm|xml))?(\.gz)?$", "", name).rpartition(".")[2]
        if _LANGUAGE.fullmatch(end) and end.lower() not in _NO_LANGUAGE and end != name:
            found.append(end)
    return (found[0], found[1]) if len(files) == len(found) == 2 and found[0] != found[1] else None


class DataConfig(Section):
    corpus: str | None = None
    """A built-in corpus; default: tatoeba-de-en, where `train` is not given."""
    train: TextForm | None = None
    """Training text: a prefix (P/train means P/train.SRC and P/train.TGT), a list of two files, a table (.tsv, .csv, .jsonl,
    .json, .parquet), a .zip, .tmx, .xlf, .po or WMT .xml (most of them gzipped, too), a folder, or a Hugging Face hub
    dataset; patterns (P/train-*, P/*.parquet, P/{lang}/*.txt) name many files at once."""
    dev: TextForm | None = None
    """Development text, in the same forms: early stopping and choices are made on it."""
    test: TextForm | None = None
    """Test text, in the same forms: read once, after training. Of more than two files the others are further references."""
    references: list[Language] | None = None
    """Columns or file suffixes of the test text beside tgt that hold further references: a translation is scored against all."""
    src: Language | None = None
    """Source language: file suffix or column, by name or (where no line names them) by number."""
    tgt: Language | None = None
    """Target language, likewise."""
    streaming: bool = False
    """Read a hub dataset given as train as it comes, without a copy of it on this machine."""
    max_length: Positive = 100
    """Pairs with more subword pieces than this on either side are left out of training."""

    @model_validator(mode="before")
    @classmethod
    def _named_by_files(cls, values: object) -> object:
        """Two files whose names end in languages need no others to be given."""
        if isinstance(values, dict) and values.get("src") is None and values.get("tgt") is None:
            train = values.get("train")
            found = languages_in(train) if isinstance(train, list) and all(isinstance(x, str) for x in train) else None
            return values if found is None else values | {"src": found[0], "tgt": found[1]}
        return values

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.train is None:
            extra = [name for name in ("dev", "src", "tgt") if getattr(self, name) is not None]
            extra += ["streaming"] if self.streaming else []
            extra += ["references"] if self.references else []
            if extra:
                raise ValueError(f"{' and '.join(extra)} given without train: they belong to a corpus of your own")
        else:
            for name, form in (("train", self.train), ("dev", self.dev)):
                if isinstance(form, list) and len(form) > 2:
                    raise ValueError(
                        f"{name} names {counted(len(form), 'file')}: a text is a file of each language, or one pattern"
                    )
            if self.corpus is not None:
                raise ValueError("corpus and train are both given: the built-in text and your own")
            if self.references and (self.test is None or isinstance(self.test, list)):
                raise ValueError(
                    "references are columns or file suffixes of test; of a list of files they are the files after the second"
                )
            missing = [name for name in ("dev", "src", "tgt") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"train is given, so {' and '.join(missing)} must be given as well")
            if self.src == self.tgt:
                raise ValueError(f'src and tgt are both "{self.src}"')
        return self


class SubwordConfig(Section):
    type: Literal["unigram", "bpe", "char", "word"] = "unigram"
    """SentencePiece model type."""
    vocab_size: Annotated[int, Field(ge=8, le=10_000_000)] = 8000
    """Pieces; a corpus too small for this many gets as many as it can feed, and you are told."""
    joint: bool = True
    """One vocabulary for both languages (true), or one each."""
    character_coverage: Annotated[float, Field(ge=0.98, le=1)] = 1.0
    """Share of the training text's characters that get pieces; 0.9995 suits Chinese or Japanese."""


class ModelConfig(Section):
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of encoder and decoder."""
    embedding_size: Size = 256
    """Size of the token embeddings."""
    hidden_size: Annotated[int, Field(gt=0, le=65_536, multiple_of=2)] = 512
    """Size D of the decoder state; each of the encoder's two directions has half of it."""
    encoder_layers: Layers = 1
    """Bidirectional layers of the encoder."""
    decoder_layers: Layers = 1
    """Layers of the decoder."""
    dropout: Fraction = 0.4
    """Dropout on embeddings, encoder states, between layers and before the output."""
    bridge: Literal["linear", "zeros"] = "linear"
    """How the encoder's final states start the decoder: through a learned projection, or not at all."""
    tying: Literal["auto", "all", "target", "none"] = "auto"
    """Which embeddings share one matrix: source, target and output (all), target and output (target), or
    none. auto: all with a joint vocabulary, target otherwise."""


class AttentionConfig(Section):
    kind: str = "bahdanau"
    """A name of the table of kinds: see `seq2seq attentions`."""
    score: kinds.Score | None = None
    """Another score than the kind's own."""
    window: kinds.Window | None = None
    """Which source positions a step may see, if not those of the kind: all (global), or a local window. (Kinds coverage
    and temporal score the others all the same.)"""
    normaliser: kinds.Normaliser | None = None
    """How scores become weights; default: the kind's own, softmax for most. sparsemax and entmax15 make exact zeros."""
    temperature: Temperature | None = None
    """Normalisers softmax and top-k only: T in exp(e/T); below 1 weights are sharper (default: 1)."""
    top_k: Positive | None = None
    """Normaliser top-k only: the largest scores that get a weight (default: 5)."""
    wiring: kinds.Wiring | None = None
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
    split: kinds.Split | None = None
    """Kind "hierarchical" only: what a segment of the source is: a sentence (up to a piece that ends in . ! ? or the like),
    a clause (the same, or , ; : or a dash; the default), or a number of pieces (length)."""
    segment_length: Positive | None = None
    """With split "length" only: pieces of a segment (default: 10)."""
    estimator: kinds.Estimator | None = None
    """Kind "hard" only: how it learns which position to look at: straight-through (the default), reinforce, or by the exact
    marginal likelihood, which needs `wiring` "after" without input_feeding and a readout for every source position."""
    summary: Literal["start", "every-step"] | None = None
    """Kind "none" only: the source's summary starts the decoder (Sutskever et al. 2014), or is read at every
    step as well (Cho et al. 2014; the default)."""

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        try:
            return kinds.find(kind).name  # of which there is one, whatever its aliases
        except ConfigError as problem:
            raise ValueError(str(problem).replace("\n", " ")) from None

    @property
    def row(self) -> kinds.Kind:
        """Its row of the table."""
        return kinds.find(self.kind)

    @property
    def choices(self) -> kinds.Choices:
        """The user's choices and, where there are none, those of the row."""
        row = self.row
        estimator = self.estimator or row.estimator
        return kinds.Choices(
            score=self.score or row.score,
            window=self.window or row.window,
            normaliser=self.normaliser or row.normaliser,
            wiring=self.wiring or row.wiring,
            input_feeding=estimator != "marginal" if self.input_feeding is None else self.input_feeding,
            estimator=estimator,
            split=self.split or row.split,
        )

    @property
    def segment_marks(self) -> str:
        """What a piece that ends a segment ends with; nothing where punctuation ends none."""
        return {"sentences": SENTENCE_MARKS, "clauses": CLAUSE_MARKS}.get(self.choices.split or "", "")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        row, chosen = self.row, self.choices
        given = {name for name in type(self).model_fields if name != "kind" and getattr(self, name) is not None}
        reasons = {_means_nothing(name, row) for name in given - row.options}
        given &= row.options
        if "radius" in given and chosen.window == "global":
            reasons.add(f"radius belongs to local windows; {row.name} is global")
        if "temperature" in given and chosen.normaliser not in ("softmax", "top-k"):
            reasons.add(f"temperature belongs to the normalisers softmax and top-k; this one is {chosen.normaliser}")
        if "top_k" in given and chosen.normaliser != "top-k":
            reasons.add(f"top_k belongs to the normaliser top-k; this one is {chosen.normaliser}")
        if "size" in given and chosen.score != "additive":
            reasons.add(f"size belongs to the additive score; this one is {chosen.score}")
        if "max_positions" in given and chosen.score != "location":
            reasons.add(f"max_positions belongs to the location score; this one is {chosen.score}")
        if "segment_length" in given and chosen.split != "length":
            reasons.add(f'segment_length belongs to split = "length"; this one is {chosen.split}')
        if "input_feeding" in given and chosen.wiring != "after":
            reasons.add('input_feeding belongs to the wiring "after"; "before" feeds the context itself')
        reasons |= {reason for reason, clash in kinds.CLASHES if clash(chosen)}
        if reasons:
            raise ValueError("; ".join(sorted(reasons)))
        return self


def _means_nothing(name: str, row: kinds.Kind) -> str:
    why = row.why_not.get(name)
    return f"{name} is not an option of {row.name}" + (f": {why}" if why else "")


class TrainingConfig(Section):
    epochs: Positive = 14
    """Passes over the training text, unless early stopping or max_minutes ends training sooner."""
    max_minutes: Minutes | None = None
    """Stop training after this long, looks at dev included and the preparation of the text not; the cosine schedule lands
    inside it. What follows training takes a tenth of it more at most; what does not fit is left out and said."""
    batch_tokens: Positive = 1500
    """Target positions a batch may hold, padding included."""
    accumulate: Positive = 1
    """Batches whose gradients are added up before each step."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Optimiser."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.002
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Decoupled for adamw, L2 for adam."""
    schedule: Literal["cosine", "plateau", "inverse-sqrt", "constant"] = "cosine"
    """cosine: down to a hundredth over the run; plateau: halved when dev loss stops falling;
    inverse-sqrt: by 1/sqrt(step) after the warm-up."""
    warmup_steps: Count = 100
    """Steps over which the rate climbs from zero to its peak."""
    label_smoothing: Fraction = 0.1
    """Probability spread evenly over the vocabulary."""
    clip_norm: Annotated[float, Field(ge=0)] = 1.0
    """Largest gradient norm; 0 leaves gradients as they are."""
    stop_on: Literal["bleu", "loss"] = "bleu"
    """What the best checkpoint and early stopping are judged by, on dev."""
    patience: Positive = 6
    """Evaluations without a new best before training stops."""
    evaluate_every: Count = 0
    """Steps between evaluations on dev; 0: once an epoch."""
    average: Positive = 4
    """The weights of this many last evaluations are averaged at the end, and kept as the best where dev
    agrees; 1: no averaging."""
    save_minutes: Minutes = 5.0
    """Longest time between two `last` checkpoints."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Everything random starts from it: two runs with one seed, on one machine's processor and with the same number of
    threads, are the same bit for bit. (Not promised on GPUs, where torch adds in whatever order it comes.)"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the processor or GPU computes it natively, fp16 on older GPUs, else fp32."""
    threads: Annotated[int, Field(ge=0, le=MOST_THREADS)] = 0
    """Processor threads; 0: all cores, at most 8."""
    guided_alignment: str | None = None
    """Word links of the training text, a line a pair, as i-j (Pharaoh format): attention is drawn to them."""
    guided_from: Annotated[int, Field(ge=0, le=1)] | None = None
    """With guided_alignment: whether its words are counted from 0 or from 1 (default: from 1 where no link names a word 0)."""
    guided_weight: Annotated[float, Field(gt=0, le=LARGEST_WEIGHT)] | None = None
    """With guided_alignment: how much a target piece's guidance counts beside its cross-entropy (default: 0.5)."""
    guided_final_weight: Annotated[float, Field(ge=0, le=LARGEST_WEIGHT)] | None = None
    """With guided_alignment: what that weight has come to, in a straight line, when training ends (default:
    guided_weight)."""
    tensorboard: bool = False
    """Also write TensorBoard scalars and alignment images (needs the tensorboard package)."""

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if self.guided_alignment is None:
            for name in ("guided_from", "guided_weight", "guided_final_weight"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} given without guided_alignment: there are no links to be weighed")
        return self


class ObjectiveConfig(Section):
    kind: Literal["cross-entropy", "scst", "mrt"] = "cross-entropy"
    """What training makes small: cross-entropy; or what translations drawn from the model lack in reward, by self-critical
    sequence training (scst; Rennie et al. 2017) or minimum risk training (mrt; Shen et al. 2016)."""
    from_run: str | None = None
    """A trained run: training starts from its best weights, with its vocabulary and sizes, by default on its text, and
    training.learning_rate is 1e-4 and training.epochs 3 unless set. The kinds scst and mrt need one."""
    reward: Literal["bleu", "chrf"] | None = None
    """Kinds scst and mrt only: a translation's score against its reference, by sacreBLEU (default: bleu)."""
    samples: Positive | None = None
    """Kinds scst and mrt only: translations drawn for each sentence (default: 5)."""
    cross_entropy_weight: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Kinds scst and mrt only: w in w x cross-entropy + (1 - w) x the rest (default: 0.1)."""
    alpha: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    """Kind mrt only: sharpness of the distribution over the candidates, p^alpha (default: 0.005, the paper's)."""

    @property
    def by_reward(self) -> bool:
        """Whether translations are drawn and rewarded."""
        return self.kind != "cross-entropy"

    @property
    def mixed_weight(self) -> float:
        """The cross-entropy's."""
        return CROSS_ENTROPY_WEIGHT if self.cross_entropy_weight is None else self.cross_entropy_weight

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        own = {"reward", "samples", "cross_entropy_weight"} if self.by_reward else set()
        own |= {"alpha"} if self.kind == "mrt" else set()
        foreign = [name for name in ("reward", "samples", "cross_entropy_weight", "alpha") if name not in own]
        given = [name for name in foreign if getattr(self, name) is not None]
        if given:
            raise ValueError(f'{" and ".join(given)} given, which the objective "{self.kind}" has no use for')
        if self.by_reward and self.from_run is None:
            raise ValueError(
                f'the objective "{self.kind}" learns from translations that the model draws, and an untrained one draws noise: '
                "name a trained run as from_run (--from)"
            )
        return self


class DecodingConfig(Section):
    beam: Annotated[int, Field(gt=0, le=1000)] = 5
    """Hypotheses kept at each step; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0, le=100)] = 1.0
    """alpha in score(y) = log p(y) / |y|^alpha, |y| counting the end of the sentence."""
    min_length: Pieces = 0
    """Fewest pieces of a translation, its end not counted."""
    max_length: Pieces = 0
    """Most pieces of a translation, its end not counted; 0: twice the source's plus 20, at most 200 more than it."""
    batch_tokens: Positive = 16000
    """Source positions times (beam + 1) decoded together."""


WORDS = "13a"
"""sacreBLEU's tokenizer for text with spaces between its words."""
TokenizerName = Literal[
    "auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "flores101", "flores200", "char", "none"
]  # fmt: skip


class EvaluationConfig(Section):
    tokenizer: TokenizerName = "auto"
    """sacreBLEU's, for BLEU (and for TER, where text has no spaces between words). auto: zh, ja-mecab, ko-mecab or char by
    the script of the references, 13a for all others. ja-mecab and ko-mecab need sacrebleu[ja] and sacrebleu[ko],
    flores101 and flores200 a model that is downloaded once."""


class Config(Section):
    """One run, whole."""

    data: DataConfig = DataConfig()
    subword: SubwordConfig = SubwordConfig()
    model: ModelConfig = ModelConfig()
    attention: AttentionConfig = AttentionConfig()
    training: TrainingConfig = TrainingConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    decoding: DecodingConfig = DecodingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.model.tying == "all" and not self.subword.joint:
            raise ValueError('model.tying = "all" needs one vocabulary: set subword.joint = true or tying = "target"')
        heads = self.attention.heads or HEADS
        if "heads" in self.attention.row.options and self.model.hidden_size % heads:
            raise ValueError(f"attention.heads = {heads} does not divide model.hidden_size = {self.model.hidden_size}")
        if self.training.guided_alignment is not None and not self.attention.row.attends:
            raise ValueError(
                f'training.guided_alignment: attention.kind "{self.attention.kind}" has no weights that links could guide: '
                "leave it out, or train it without links"
            )
        if self.training.guided_alignment is not None and self.objective.by_reward:
            raise ValueError(
                f'training.guided_alignment guides the attention of references; the objective "{self.objective.kind}" trains '
                "on translations that have no links"
            )
        estimator = self.attention.choices.estimator
        if estimator in ("marginal", "reinforce") and self.objective.by_reward and not self.objective.mixed_weight:
            raise ValueError(
                f'objective.cross_entropy_weight = 0: the estimator "{estimator}" of hard attention teaches it by the likelihood '
                "of references alone; set a weight above 0"
            )
        return self

    def to_toml(self) -> str:
        """This configuration as TOML; unset options are left out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))

    def to_commented_toml(self) -> str:
        """As ``to_toml``, with every setting's meaning above it; unset options stand there as comments."""
        lines = []
        for section in type(self).model_fields:
            values: Section = getattr(self, section)
            lines.append(f"[{section}]")
            for key, setting in type(values).model_fields.items():
                lines += [f"# {line}" for line in (setting.description or "").splitlines()]
                value = getattr(values, key)
                lines.append(f"# {key} is not set" if value is None else tomli_w.dumps({key: value}).rstrip())
            lines.append("")
        return "\n".join(lines).rstrip()


def load(path: Path | None = None, overrides: Iterable[str] = (), flags: Mapping[str, object] | None = None) -> Config:
    """The configuration of a TOML file, ``section.key=value`` overrides and named flags on top, in that order.

    ``flags`` maps ``section.key`` to a value; None means not given. Raises ConfigError naming every problem.
    """
    return from_dict(read_values(path, overrides, flags), str(path) if path is not None else None)


def read_values(
    path: Path | None = None, overrides: Iterable[str] = (), flags: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The same as they were given, in sections, unchecked and without defaults. Raises ConfigError for what has no such
    form."""
    values = read_toml(path) if path is not None else {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f'"{override}" has no "=".', "--set", "Write it as section.key=value.")
        _assign(values, key.strip(), _parse_value(text.strip()), "--set")
    for key, value in (flags or {}).items():
        if value is not None:
            _assign(values, key, value, "command line")
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file as they stand. Raises ConfigError where it is missing or not TOML."""
    try:
        content = read_bytes(path, LARGEST_FILE)
        if any(len(line) > LONGEST_LINE for line in content.split(b"\n")):
            raise ConfigError(f"a line is longer than {LONGEST_LINE:,} bytes.", str(path))
        # What Windows' PowerShell writes behind a > is UTF-16.
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16") if wide else content.decode("utf-8-sig", errors="surrogateescape")
        return tomllib.loads(text.replace("\r\n", "\n"))
    except FileNotFoundError:
        raise ConfigError("there is no such configuration file.", str(path)) from None
    except RecursionError:
        raise ConfigError("not readable as TOML: nested too deeply.", str(path)) from None
    except OSError as error:
        raise ConfigError(f"not readable as TOML: {error.strerror}.", str(path)) from None
    except ValueError as error:  # of Unicode, of TOML, of numbers with thousands of digits
        raise ConfigError(f"not readable as TOML: {error}", str(path)) from None


def encoded(text: str) -> bytes:
    """A configuration as a file holds it: UTF-8, but for names of files that are not: these are their own bytes."""
    return text.encode("utf-8", errors="surrogateescape")


def from_dict(values: Mapping[str, object], where: str | None = None) -> Config:
    """A checked configuration. Raises ConfigError that lists every problem, with suggestions."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = [_explain(detail, where) for detail in error.errors()]
        raise ConfigError("\n".join(problems)) from None


def decoding_with(decoding: DecodingConfig, changes: Mapping[str, int | float | None], where: str) -> DecodingConfig:
    """The settings with ``changes`` (None: no change) laid over them. Raises ConfigError as ``from_dict``."""
    given = {name: value for name, value in changes.items() if value is not None}
    return from_dict({"decoding": decoding.model_dump() | given}, where).decoding


def _assign(values: dict[str, Any], key: str, value: object, where: str) -> None:
    section, dot, name = key.partition(".")
    if not dot:
        raise ConfigError(f'"{key}" is not of the form section.key.', where, suggestion(key, all_keys()))
    if not isinstance(values.setdefault(section, {}), dict):
        raise ConfigError(f"{section} is a section, not a value.", where)
    values[section][name] = value


def _parse_value(text: str) -> object:
    """TOML's reading of ``text``, or the text itself: ``--set data.src=de`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


def _shortened(value: object) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def all_keys() -> list[str]:
    """Every ``section.key`` there is."""
    return [
        f"{section}.{key}"
        for section, field in Config.model_fields.items()
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    ]


def value_of(config: Config, key: str) -> object:
    """The value of ``section.key``."""
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def _explain(detail: Any, where: str | None) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    prefix = f"{where}: " if where else ""
    if detail["type"] == "extra_forbidden":
        known = all_keys() if len(detail["loc"]) > 1 else list(Config.model_fields)
        return f"{prefix}{key} is unknown. {suggestion(key, known) or 'See `seq2seq config show` for all there are.'}"
    message = complaint(detail)
    if detail["type"] in ("value_error", "missing") or "input" not in detail:
        return f"{prefix}{key}: {message}" if key else f"{prefix}{message}"
    return f"{prefix}{key} = {_shortened(detail['input'])}: {message}"
