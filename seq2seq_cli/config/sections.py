"""The sections of a configuration, except those of the model and its attention: every setting with its default and its
meaning. Defaults stand nowhere else."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from seq2seq_cli.wording import counted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEFAULT_CORPUS = "tatoeba-de-en"
GUIDED_WEIGHT = 0.5
"""Weight of word links in the loss where none is set."""
FINE_TUNING: dict[str, object] = {"learning_rate": 1e-4, "epochs": 3}
"""Training settings whose defaults are others where training starts from a trained run."""

MOST = 2**31 - 1
Positive = Annotated[int, Field(gt=0, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Size = Annotated[int, Field(gt=0, le=65_536)]
LONGEST_TRANSLATION = 100_000
Pieces = Annotated[int, Field(ge=0, le=LONGEST_TRANSLATION)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Minutes = Annotated[float, Field(gt=0, le=10 * 366 * 24 * 60)]
"""Ten years at most."""
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

    @property
    def given(self) -> list[str]:
        """The settings that have a value."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    def filled(self, defaults: Mapping[str, object]) -> Self:
        """The same with these defaults for settings that nobody has set; they do not count as set
        (`model_fields_set`)."""
        unset = {name for name in defaults if getattr(self, name) == type(self).model_fields[name].default}
        values = dict(self) | {name: defaults[name] for name in unset}
        return self.model_construct(self.model_fields_set - unset, **values)

    def without(self, names: Collection[str]) -> Self:
        """The same without any value of these settings."""
        return self.model_construct(self.model_fields_set - set(names), **(dict(self) | dict.fromkeys(names)))

    def with_unset(self, names: Iterable[str]) -> Self:
        """The same, but these settings do not count as set: they follow from the rest."""
        return self.model_construct(self.model_fields_set - set(names), **dict(self))


Defaults = TypeVar("Defaults", bound="DataclassInstance")


def settled(defaults: type[Defaults], section: Section) -> Defaults:
    """``defaults``, a dataclass, with the values that the section sets in place of its own."""
    names = (field.name for field in fields(defaults))
    return defaults(**{name: value for name in names if (value := getattr(section, name)) is not None})


def _text_form(value: object) -> str | list[str]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return value[0] if len(value) == 1 else value
    raise PydanticCustomError("text_form", "must be the name of a text, or a list of files' names")


TextForm = Annotated[str | list[str], PlainValidator(_text_form)]
"""What names a text: one name, or its files."""


def _column(value: object) -> object:
    """The number of a column may be given without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Language = Annotated[str, BeforeValidator(_column)]


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_NO_LANGUAGE = frozenset(("txt", "tsv", "csv", "xml", "sgm", "tmx", "xlf", "po", "zip", "raw", "tok", "doc", "gz"))


def languages_in(files: Sequence[str]) -> tuple[str, str] | None:
    """The languages in the suffixes of two files (A.de B.en.txt.gz); None where these do not name two."""
    found = []
    for name in files:
        end = re.sub(r"(\.(txt|sgm|xml))?(\.gz)?$", "", name).rpartition(".")[2]
        if _LANGUAGE.fullmatch(end) and end.lower() not in _NO_LANGUAGE and end != name:
            found.append(end)
    return (found[0], found[1]) if len(files) == len(found) == 2 and found[0] != found[1] else None


Documents = Literal["names", "segments", "blank-lines"]


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
    """Test text, in the same forms: read once, after training. A list of more than two files is a source and several
    references; every score takes them all."""
    references: list[Language] = []
    """Further target columns (or file suffixes) of the test text, with more translations of the same sentences."""
    src: Language | None = None
    """Source language: file suffix or column, by name or (where no line names them) by number."""
    tgt: Language | None = None
    """Target language, likewise."""
    documents: Documents | None = None
    """For a model that reads the sentences before: how documents are told, by a column or file of names (names; see
    data.document), by the names of segments (segments), or by lines that are blank on both sides (blank-lines). Default: what there
    is, in this order."""
    document: Language | None = None
    """The column (of line files, the suffix of the file) that names each pair's document. Default: ids, where a number
    behind the last colon is that of the sentence ("Gen 1:1" is in "Gen 1")."""
    streaming: bool = False
    """Read a hub dataset given as train as it comes, without a copy of it on this machine."""
    max_length: Positive = 100
    """Pairs with more subword pieces than this on either side are left out of training."""

    @property
    def built_in(self) -> str:
        """The built-in corpus that is used where `train` is not given."""
        return self.corpus or DEFAULT_CORPUS

    def resolved(self) -> Self:
        """The same with the corpus named, if it is a built-in one."""
        return self.filled({"corpus": self.built_in}) if self.train is None else self

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
        if self.references and self.test is None:
            raise ValueError("references given without test: they are columns of a test text of your own")
        if self.references and isinstance(self.test, list):
            raise ValueError(
                "references are columns or file suffixes of test; of a list of files they are the files after the second"
            )
        if self.document is not None and self.documents not in (None, "names"):
            raise ValueError(f'document names a column, and documents = "{self.documents}" goes by none')
        if self.train is None:
            extra = [name for name in ("dev", "src", "tgt") if getattr(self, name) is not None]
            extra += ["streaming"] if self.streaming else []
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


class Guidance(NamedTuple):
    """The weight of the guidance by word links at the beginning of training, and at its end."""

    first: float
    final: float


class TrainingConfig(Section):
    epochs: Positive = 14
    """Passes over the training text, unless early stopping or max_minutes ends training sooner."""
    max_minutes: Minutes | None = None
    """Stop training after this long, looks at dev included and the preparation of the text not; the cosine schedule lands
    inside it. What follows training takes a tenth of it more at most; what does not fit is left out and said."""
    batch_tokens: Positive = 1500
    """Target positions a batch may hold, padding included. (It may hold a little less than would fit: the number
    of its rows is rounded down, for speed.)"""
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
    threads and processes, are the same bit for bit. (Not promised on GPUs, where torch adds in whatever order it comes.)"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the processor or GPU computes it natively, fp16 on older GPUs, else fp32."""
    threads: Annotated[int, Field(ge=0, le=MOST_THREADS)] = 0
    """Processor threads; 0: all cores, at most 8."""
    processes: Annotated[int, Field(ge=0, le=MOST_THREADS)] = 0
    """Processes that share each update, and the threads; 0: one a thread where that pays (long texts, large batches),
    otherwise one. Not for GPUs, nor under torchrun, which starts processes itself."""
    guided_alignment: str | None = None
    """Word links of the training text, a line a pair, as i-j (Pharaoh format): attention is drawn to them."""
    guided_from: Annotated[int, Field(ge=0, le=1)] | None = None
    """With guided_alignment: whether its words are counted from 0 or from 1 (default: from 1 where no link names a word 0)."""
    guided_weight: Annotated[float, Field(gt=0, le=LARGEST_WEIGHT)] | None = None
    """With guided_alignment: how much a target piece's guidance counts beside its cross-entropy (default: 0.5)."""
    guided_final_weight: Annotated[float, Field(ge=0, le=LARGEST_WEIGHT)] | None = None
    """With guided_alignment: what that weight has come to, in a straight line, when training ends (default:
    guided_weight)."""
    coverage_weight: Annotated[float, Field(ge=0, le=LARGEST_WEIGHT)] = 0.0
    """How much looking again at what was looked at before counts, in nats for each whole weight (the coverage loss of See, Liu
    & Manning 2017, who have 1); 0: nothing."""
    tensorboard: bool = False
    """Also write TensorBoard scalars and alignment images (needs the tensorboard package)."""

    @property
    def guidance(self) -> Guidance:
        """The weights of the guidance."""
        first = GUIDED_WEIGHT if self.guided_weight is None else self.guided_weight
        return Guidance(first, first if self.guided_final_weight is None else self.guided_final_weight)

    def resolved(self) -> Self:
        """The same with the weights of word links written out, if there are links."""
        if self.guided_alignment is None:
            return self
        return self.filled({"guided_weight": self.guidance.first, "guided_final_weight": self.guidance.final})

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if self.guided_alignment is None:
            for name in ("guided_from", "guided_weight", "guided_final_weight"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} given without guided_alignment: there are no links to be weighed")
        return self


Reward = Literal["bleu", "chrf"]


@dataclass(frozen=True)
class Rewarding:
    """How translations are rewarded, with the defaults."""

    reward: Reward = "bleu"
    samples: int = 5
    """Translations drawn for a sentence."""
    cross_entropy_weight: float = 0.1
    """Of cross-entropy beside the reward."""
    alpha: float = 0.005
    """Sharpness of minimum risk training: Shen et al. 2016, 4.2."""


class ObjectiveConfig(Section):
    kind: Literal["cross-entropy", "scst", "mrt"] = "cross-entropy"
    """What training makes small: cross-entropy; or what translations drawn from the model lack in reward, by self-critical
    sequence training (scst; Rennie et al. 2017) or minimum risk training (mrt; Shen et al. 2016)."""
    from_run: str | None = None
    """A trained run: training starts from its best weights, with its vocabulary and sizes, by default on its text, and
    training.learning_rate is 1e-4 and training.epochs 3 unless set. The kinds scst and mrt need one."""
    reward: Reward | None = None
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
    def own(self) -> frozenset[str]:
        """Names of the settings that mean something for this kind, besides those of every kind."""
        rewarded = frozenset({"reward", "samples", "cross_entropy_weight"} if self.by_reward else ())
        return rewarded | {"alpha"} if self.kind == "mrt" else rewarded

    @property
    def rewarding(self) -> Rewarding:
        """How translations are rewarded, if they are."""
        return settled(Rewarding, self)

    def resolved(self) -> Self:
        """The same with every setting of the kind written out."""
        values = asdict(self.rewarding)
        return self.filled({name: values[name] for name in self.own})

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        foreign = [field.name for field in fields(Rewarding) if field.name not in self.own]
        given = [name for name in foreign if getattr(self, name) is not None]
        if given:
            raise ValueError(f'{" and ".join(given)} given, which the objective "{self.kind}" has no use for')
        if self.by_reward and self.from_run is None:
            raise ValueError(
                f'the objective "{self.kind}" learns from translations that the model draws, and an untrained one draws noise: '
                "name a trained run as from_run (--from)"
            )
        return self


LONGEST_SHORTLIST = 100
"""Most target pieces that are remembered of a source piece."""


class DecodingConfig(Section):
    beam: Annotated[int, Field(gt=0, le=1000)] = 5
    """Hypotheses kept at each step; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0, le=100)] = 1.0
    """alpha in score(y) = log p(y) / |y|^alpha, |y| counting the end of the sentence."""
    min_length: Pieces = 0
    """Fewest pieces of a translation, its end not counted."""
    max_length: Pieces = 0
    """Most pieces of a translation, its end not counted; 0: twice the source's plus 20, at most 200 more than it."""
    batch_tokens: Positive = 12000
    """Source positions times (beam + 1) decoded together."""
    shortlist: Annotated[int, Field(ge=0, le=LONGEST_SHORTLIST)] = 0
    """Target pieces considered for each piece of a batch's sources, the likeliest by the training text, besides those that
    are common; 0: the whole vocabulary. With 60 a translation in a hundred changes. Not for looks at dev."""

    def with_beam(self, beam: int) -> Self:
        """The same with another beam."""
        return self.model_copy(update={"beam": beam})


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
