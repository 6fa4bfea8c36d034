"""The table of attention kinds: what a user may write after ``--attention``.

A kind is a row of independent choices, score x window x wiring (and a normaliser), under a name; the code
of each choice stands in ``model/attention/``. This file is plain data, so that ``config`` and the command
line can read it without importing torch.
"""

from dataclasses import dataclass
from typing import Literal

from seq2seq_cli.errors import ConfigError, suggestion

Score = Literal["dot", "general", "additive", "location", "scaled-dot"]
Window = Literal["global", "local-m", "local-p"]
Wiring = Literal["before", "after"]

BAHDANAU = "Bahdanau, Cho & Bengio 2015"
LUONG = "Luong, Pham & Manning 2015"


@dataclass(frozen=True)
class Kind:
    """One row: a name, its choices, and where it comes from.

    ``score`` is None for the kind that attends to nothing. ``wiring`` is the paper's own place for the
    context: "before" the RNN reads (Bahdanau) or "after" it has read (Luong).
    """

    name: str
    score: Score | None
    window: Window
    wiring: Wiring
    formula: str
    paper: str
    aliases: tuple[str, ...] = ()

    @property
    def options(self) -> frozenset[str]:
        """Names of the settings under ``[attention]`` that mean something for this kind."""
        if self.score is None:
            return frozenset({"summary"})
        return frozenset({"score", "wiring", "input_feeding", "radius", "size", "max_positions"})


KINDS: tuple[Kind, ...] = (
    Kind("none", None, "global", "before", "c_t = c: the same fixed-size summary of the source at every step",
         "Sutskever, Vinyals & Le 2014; Cho et al. 2014"),
    Kind("bahdanau", "additive", "global", "before", "v^T tanh(W_1 s_{t-1} + W_2 h_s)", f"{BAHDANAU}, A.1.2"),
    Kind("luong-dot", "dot", "global", "after", "h_t . h_s", f"{LUONG}, 3.1"),
    Kind("luong-general", "general", "global", "after", "h_t^T W h_s", f"{LUONG}, 3.1", ("luong",)),
    Kind("luong-concat", "additive", "global", "after", "v^T tanh(W_1 h_t + W_2 h_s)", f"{LUONG}, 3.1"),
    Kind("luong-location", "location", "global", "after", "(W_a h_t)_s, from the query alone", f"{LUONG}, 3.1"),
    Kind("local-m", "general", "local-m", "after", "h_t^T W h_s for s in [p_t - D, p_t + D], p_t = min(t, S-1)",
         f"{LUONG}, 3.2"),
    Kind("local-p", "general", "local-p", "after",
         "softmax of h_t^T W h_s in [p_t - D, p_t + D], times exp(-2 (s - p_t)^2 / D^2), "
         "p_t = (S-1) sigmoid(v_p^T tanh(W_p h_t))", f"{LUONG}, 3.2", ("local",)),
    Kind("scaled-dot", "scaled-dot", "global", "after", "h_t . h_s / sqrt(D)", "Vaswani et al. 2017, 3.2.1"),
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
