"""Which choices do not go together, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from seq2seq_cli.kinds.attentions import Estimator, Normaliser, Score, Split, Summary, Window
from seq2seq_cli.kinds.layers import Wiring


@dataclass(frozen=True)
class Choices:
    """All choices of a configuration: the user's, and the kind's own where the user made none."""

    score: Score | None
    window: Window
    normaliser: Normaliser
    wiring: Wiring
    input_feeding: bool
    estimator: Estimator | None
    split: Split | None
    summary: Summary | None


CLASHES: tuple[tuple[str, Callable[[Choices], bool]], ...] = (
    ("the location score knows its first positions only, which a local window may leave",
     lambda it: it.score == "location" and it.window != "global"),
    ("the location score scores positions: the segments of a source have none",
     lambda it: it.score == "location" and it.split is not None),
    ("a position is chosen by weights that sum to one: those of local-p do not",
     lambda it: it.estimator is not None and it.window == "local-p"),
    ('the marginal of a step sums over its own positions: with wiring "before" or input feeding, later steps depend on them, '
     "and the sum would go over all their histories",
     lambda it: it.estimator == "marginal" and (it.wiring == "before" or it.input_feeding)),
)  # fmt: skip
"""Choices that make sense by themselves but not together, and why."""


class Condition(NamedTuple):
    """The choices that an option needs to mean anything (``met``), and what to tell a user who has made others. They are
    `Choices`, or those of self-attention, which have some of the same names."""

    option: str
    met: Callable[[Any], bool]
    why_not: str

    def unmet(self, kind: str, chosen: object) -> str:
        """Why the option means nothing, given what was ``chosen`` with the kind of this name."""
        return self.why_not.format(kind=kind, it=chosen)


CONDITIONS: tuple[Condition, ...] = (
    Condition("radius", lambda it: it.window != "global", "radius belongs to local windows; {kind} is global"),
    Condition("temperature", lambda it: it.normaliser in ("softmax", "top-k"),
              "temperature belongs to the normalisers softmax and top-k; this one is {it.normaliser}"),
    Condition("top_k", lambda it: it.normaliser == "top-k",
              "top_k belongs to the normaliser top-k; this one is {it.normaliser}"),
    Condition("size", lambda it: it.score == "additive", "size belongs to the additive score; this one is {it.score}"),
    Condition("max_positions", lambda it: it.score == "location",
              "max_positions belongs to the location score; this one is {it.score}"),
    Condition("segment_length", lambda it: it.split == "length",
              'segment_length belongs to split = "length"; this one is {it.split}'),
    Condition("input_feeding", lambda it: it.wiring == "after",
              'input_feeding belongs to the wiring "after"; "before" feeds the context itself'),
)  # fmt: skip
"""Options that mean something only with some choices. An option that is not among them always means something, if the
kind has it."""
