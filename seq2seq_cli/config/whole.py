"""All settings of a run."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import tomli_w
from pydantic import ModelWrapValidatorHandler, model_validator

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.config.context import Context, ContextConfig
from seq2seq_cli.config.layers import clashes
from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.config.sections import (
    DataConfig,
    DecodingConfig,
    EvaluationConfig,
    ObjectiveConfig,
    Section,
    SubwordConfig,
    TrainingConfig,
)
from seq2seq_cli.config.self_attention import SelfAttentionConfig

DEFAULTS = "defaults"
"""Where a file says what in it nobody has set."""
OF_TRANSFORMERS = "multi-head"
"""The kind of attention of Transformer decoders, where none is set."""
ABOUT_DEFAULTS = """\
# These follow from the other settings, and nobody has set them. Who changes the others here, another attention.kind above all,
# had better delete these with their values; flags and --set do so by themselves.
"""


class Config(Section):
    """One run, whole."""

    data: DataConfig = DataConfig()
    subword: SubwordConfig = SubwordConfig()
    model: ModelConfig = ModelConfig()
    attention: AttentionConfig = AttentionConfig()
    self_attention: SelfAttentionConfig = SelfAttentionConfig()
    context: ContextConfig = ContextConfig()
    training: TrainingConfig = TrainingConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    decoding: DecodingConfig = DecodingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="wrap")
    @classmethod
    def _attends_as_its_decoder_does(cls, values: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        """The default kind of attention follows from the decoder."""
        parts = [values.get(name, {}) for name in ("model", "attention")] if isinstance(values, dict) else []
        if not all(isinstance(part, dict) for part in parts) or not parts:
            return check(values)
        model, attention = parts
        if model.get("decoder", "rnn") == "rnn" or "kind" in attention:
            return check(values)
        return check(values | {"attention": attention | {"kind": OF_TRANSFORMERS}}).with_unset(["attention.kind"])

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        reasons = clashes(self.model, self.attention, self.self_attention, self.context)
        if self.model.tying == "all" and not self.subword.joint:
            reasons.append('model.tying = "all" needs one vocabulary: set subword.joint = true or tying = "target"')
        if self.training.guided_alignment is not None and not self.attention.row.attends:
            reasons.append(
                f'training.guided_alignment: attention.kind "{self.attention.kind}" has no weights that links could guide: '
                "leave it out, or train it without links"
            )
        reasons += self._against_coverage()
        if self.model.copy:
            reasons += self._against_copying()
        if self.training.guided_alignment is not None and self.objective.by_reward:
            reasons.append(
                f'training.guided_alignment guides the attention of references; the objective "{self.objective.kind}" trains '
                "on translations that have no links"
            )
        estimator = self.attention.choices.estimator
        if (
            estimator in ("marginal", "reinforce")
            and self.objective.by_reward
            and not self.objective.rewarding.cross_entropy_weight
        ):
            reasons.append(
                f'objective.cross_entropy_weight = 0: the estimator "{estimator}" of hard attention teaches it by the likelihood '
                "of references alone; set a weight above 0"
            )
        if reasons:
            raise ValueError("; ".join(reasons))
        return self

    def _against_coverage(self) -> list[str]:
        """Why there is no coverage loss to be weighed."""
        reasons = []
        if self.training.coverage_weight and not self.attention.row.attends:
            reasons.append(
                f'training.coverage_weight: attention.kind "{self.attention.kind}" has no weights that could cover anything'
            )
        if self.training.coverage_weight and self.objective.by_reward:
            reasons.append(
                f'training.coverage_weight is of where references are looked for; the objective "{self.objective.kind}" trains '
                "on translations that the model draws"
            )
        return reasons

    def _against_copying(self) -> list[str]:
        """Why pieces of the source cannot be copied."""
        reasons = []
        if not self.subword.joint:
            reasons.append(
                "model.copy = true copies pieces of the source, which needs one vocabulary: set subword.joint = true"
            )
        if not self.attention.row.attends:
            reasons.append(
                f'model.copy = true: attention.kind "{self.attention.kind}" has no weights that say what to copy'
            )
        if self.attention.choices.estimator == "marginal":
            reasons.append(
                'model.copy = true: attention.estimator "marginal" sums over what each position would say by itself, and a '
                "position that copies would always say its own piece"
            )
        return reasons

    @property
    def system(self) -> str:
        """What the model is called beside others: its attention; before it what it is made of, if that is not RNNs; and behind it
        how it reads the sentences before, if it does."""
        layers = [] if self.model.name == "rnn" else [self.model.name]
        context = [self.model.context] if self.model.back.anywhere else []
        return "-".join([*layers, self.attention.kind, *context])

    @property
    def reads_before(self) -> Context | None:
        """What the model reads of the sentences before; None where it reads none."""
        back = self.model.back
        return Context(back, self.context.numbers.sentences, self.data.max_length) if back.anywhere else None

    def resolved(self) -> Self:
        """The same with every default of the chosen kinds written out, so that the defaults of a later version change
        nothing."""
        sections: dict[str, Section] = {
            "data": self.data.resolved(),
            "model": self.model.resolved(self.subword.joint),
            "attention": self.attention.resolved(self.model),
            "self_attention": self.self_attention.resolved() if self.model.attends_to_itself else self.self_attention,
            "context": self.context.resolved(self.model.back),
            "training": self.training.resolved(),
            "objective": self.objective.resolved(),
        }
        return self.model_construct(self.model_fields_set, **(dict(self) | sections))

    def with_unset(self, keys: Iterable[str]) -> Self:
        """The same, but these settings (``section.key``) do not count as set: they follow from the rest."""
        names = list(keys)
        sections = {
            section: values.with_unset(key.partition(".")[2] for key in names if key.startswith(f"{section}."))
            for section, values in self
        }
        return self.model_construct(self.model_fields_set, **sections)

    @property
    def defaults(self) -> list[str]:
        """``section.key`` of each default that `resolved` has written out."""
        return [key for key in all_keys() if not is_set(self, key) and value_of(self, key) != _declared(key)]

    def to_values(self) -> dict[str, Any]:
        """Sections of settings as `loading.from_dict` reads them, without unset options."""
        defaults = self.defaults
        return ({DEFAULTS: defaults} if defaults else {}) | self.model_dump(exclude_none=True)

    def to_toml(self) -> str:
        """This configuration as TOML; unset options are left out."""
        return _head(self.defaults) + tomli_w.dumps(self.model_dump(exclude_none=True))

    def to_commented_toml(self) -> str:
        """As ``to_toml``, with every setting's meaning above it; unset options stand there as comments."""
        lines = []
        for section in type(self).model_fields:
            values: Section = getattr(self, section)
            lines.append(f"[{section}]")
            for key, setting in type(values).model_fields.items():
                lines += [f"# {line}" for line in (setting.description or "").splitlines()]
                value = getattr(values, key)
                lines += [f"# {key} is not set"] if value is None else _assigned(key, value)
            lines.append("")
        return _head(self.defaults) + "\n".join(lines).rstrip()


def _head(defaults: list[str]) -> str:
    if not defaults:
        return ""
    return f"{ABOUT_DEFAULTS}{tomli_w.dumps({DEFAULTS: defaults})}\n"


def _assigned(key: str, value: object) -> list[str]:
    """TOML that sets ``key`` within its section; of a table, key by key."""
    if isinstance(value, dict):
        return [f"{key}.{line}" for line in tomli_w.dumps(value).splitlines()]
    return [tomli_w.dumps({key: value}).rstrip()]


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


def is_set(config: Config, key: str) -> bool:
    """Whether a file or the command line has set ``key``."""
    section, _, name = key.partition(".")
    return name in getattr(config, section).model_fields_set


def _declared(key: str) -> object:
    section, _, name = key.partition(".")
    settings: type[Section] = Config.model_fields[section].annotation  # type: ignore[assignment]
    return settings.model_fields[name].default


class Difference(NamedTuple):
    """A setting whose value differs between two configurations."""

    key: str
    before: object
    after: object


def changed_settings(before: Config, after: Config, among: Iterable[str]) -> list[Difference]:
    """Which of the settings ``among`` differ, with defaults worked out; but not those defaults that differ only because
    another setting does."""
    old, new = before.resolved(), after.resolved()
    pairs = (Difference(key, value_of(old, key), value_of(new, key)) for key in among)
    found = [one for one in pairs if one.before != one.after]
    given = [one for one in found if is_set(before, one.key) or is_set(after, one.key)]
    # A setting that has a meaning on one side only follows from another setting, which need not be among these.
    return given or [one for one in found if None not in (one.before, one.after)]
