"""The table of attention kinds: what a user may write after ``--attention``, and what goes together.

A kind is a row of independent choices, score x window x normaliser x wiring, and the file of ``model/attention/`` that
makes a mechanism of them. This file is plain data, so that ``config`` and the command line can read it without
importing torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from seq2seq_cli.errors import ConfigError, suggestion

Score = Literal["dot", "general", "additive", "location", "scaled-dot"]
Window = Literal["global", "local-m", "local-p"]
Normaliser = Literal["softmax", "sparsemax", "entmax15", "top-k"]
Wiring = Literal["before", "after"]

BAHDANAU = "Bahdanau, Cho & Bengio 2015"
LUONG = "Luong, Pham & Manning 2015"

EVERY = frozenset({"wiring", "input_feeding", "window", "radius", "normaliser", "temperature", "top_k"})
"""Settings of every kind that attends to anything."""
SCORES = frozenset({"score", "size", "max_positions"})
"""Those of a kind that takes any score."""


@dataclass(frozen=True)
class Kind:
    """One row: a name, its choices, and where it comes from.

    ``score`` is None for the kind that attends to nothing. ``wiring`` is the paper's own place for the
    context: "before" the RNN reads (Bahdanau) or "after" it has read (Luong). ``module``: the file of
    ``model/attention/`` whose ``build`` makes it. ``own``: its settings beside those of ``EVERY`` kind; ``why_not``: why
    another one means nothing here. ``cost``: of a step, beside the decoder's own.
    """

    name: str
    score: Score | None
    window: Window
    wiring: Wiring
    formula: str
    paper: str
    aliases: tuple[str, ...] = ()
    normaliser: Normaliser = "softmax"
    module: str = "scored"
    own: frozenset[str] = SCORES
    why_not: Mapping[str, str] = field(default_factory=dict, compare=False)
    cost: str = "S scores and a mixture of S states"

    @property
    def options(self) -> frozenset[str]:
        """Names of the settings under ``[attention]`` that mean something for this kind."""
        return self.own if self.score is None else self.own | EVERY


@dataclass(frozen=True)
class Choices:
    """What a configuration comes to: the kind's own choice where the user made none."""

    score: Score | None
    window: Window
    normaliser: Normaliser
    wiring: Wiring
    input_feeding: bool


CLASHES: tuple[tuple[str, Callable[[Choices], bool]], ...] = (
    ("the location score knows its first positions only, which a local window may leave",
     lambda it: it.score == "location" and it.window != "global"),
)  # fmt: skip
"""Choices that make sense by themselves but not together, and why."""

ADDITIVE_COST = "S x A sigmoids, A the score's size, and a mixture of S states"

KINDS: tuple[Kind, ...] = (
    Kind("none", None, "global", "before", "c_t = c: the same fixed-size summary of the source at every step",
         "Sutskever, Vinyals & Le 2014; Cho et al. 2014", module="none", own=frozenset({"summary"}), cost="nothing"),
    Kind("bahdanau", "additive", "global", "before", "v^T tanh(W_1 s_{t-1} + W_2 h_s)", f"{BAHDANAU}, A.1.2",
         cost=ADDITIVE_COST),
    Kind("luong-dot", "dot", "global", "after", "h_t . h_s", f"{LUONG}, 3.1"),
    Kind("luong-general", "general", "global", "after", "h_t^T W h_s", f"{LUONG}, 3.1", ("luong",)),
    Kind("luong-concat", "additive", "global", "after", "v^T tanh(W_1 h_t + W_2 h_s)", f"{LUONG}, 3.1",
         cost=ADDITIVE_COST),
    Kind("luong-location", "location", "global", "after", "(W_a h_t)_s, from the query alone", f"{LUONG}, 3.1",
         cost="a product with the table, a mixture of S states"),
    Kind("local-m", "general", "local-m", "after", "h_t^T W h_s for s in [p_t - D, p_t + D], p_t = min(t, S-1)",
         f"{LUONG}, 3.2", cost="2 D + 1 scores and states of a long source, not S"),
    Kind("local-p", "general", "local-p", "after",
         "softmax of h_t^T W h_s in [p_t - D, p_t + D], times exp(-2 (s - p_t)^2 / D^2), "
         "p_t = (S-1) sigmoid(v_p^T tanh(W_p h_t))", f"{LUONG}, 3.2", ("local",),
         cost="2 D + 1 scores and states of a long source, not S, and p_t"),
    Kind("scaled-dot", "scaled-dot", "global", "after", "h_t . h_s / sqrt(D)", "Vaswani et al. 2017, 3.2.1"),
    Kind("sparse", "general", "global", "after",
         "1.5-entmax of h_t^T W h_s: [(e_s / 2 - tau)_+]^2, tau such that they sum to one; most are exactly zero",
         "Peters, Niculae & Martins 2019, 3; Martins & Astudillo 2016", normaliser="entmax15",
         cost="S scores, sorted, and a mixture of S states"),
)  # fmt: skip


def names() -> list[str]:
    """Every name a user may type, aliases included."""
    return [name for kind in KINDS for name in (kind.name, *kind.aliases)]


def find(name: str, where: str | None = None) -> Kind:
    """The row called ``name`` (or whose alias it is).

    Raises ConfigError, with the nearest name, where there is none.
    """
    for kind in KINDS:
        if name == kind.name or name in kind.aliases:
            return kind
    hint = suggestion(name, names()) or f"Known kinds: {', '.join(kind.name for kind in KINDS)}."
    raise ConfigError(f'attention kind "{name}" is unknown.', where, hint)
