"""The settings of a run, whole."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import tomli_w
from pydantic import model_validator

from seq2seq_cli.config.attention import HEADS, AttentionConfig
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


class Difference(NamedTuple):
    """A setting that two configurations have otherwise."""

    key: str
    before: object
    after: object


def changed_settings(before: Config, after: Config, among: Iterable[str]) -> list[Difference]:
    """Which of these settings differ."""
    pairs = (Difference(key, value_of(before, key), value_of(after, key)) for key in among)
    return [one for one in pairs if one.before != one.after]
