"""The table of attention kinds: what a user may write after ``--attention``.

A kind is a row of independent choices (score, window, normaliser, wiring) and the file of ``model/attention/`` that
makes a mechanism of them. Installed packages may add rows: see docs/extension.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from seq2seq_cli.errors import ConfigError, suggestion
from seq2seq_cli.kinds.installed import Offer, failed, offers
from seq2seq_cli.kinds.layers import Wiring

if TYPE_CHECKING:
    from pydantic import BaseModel

Score = Literal["dot", "general", "additive", "location", "scaled-dot"]
Window = Literal["global", "local-m", "local-p"]
Normaliser = Literal["softmax", "sparsemax", "entmax15", "top-k"]
Estimator = Literal["straight-through", "marginal", "reinforce"]
Split = Literal["sentences", "clauses", "length"]
Summary = Literal["start", "every-step"]

BAHDANAU = "Bahdanau, Cho & Bengio 2015"
LUONG = "Luong, Pham & Manning 2015"

EVERY = frozenset({"wiring", "input_feeding", "window", "radius", "normaliser", "temperature", "top_k", "layer"})
"""Settings that every kind with attention weights has."""
SCORES = frozenset({"score", "size", "max_positions"})
"""Settings of the kinds that take any score."""


@dataclass(frozen=True)
class Kind:
    """One row: a name, its choices, and where it comes from.

    ``score`` is None for a kind with a score of its own, or none. ``wiring`` is where the context enters in the paper:
    "before" the RNN reads (Bahdanau) or "after" it has read (Luong). ``module``: the file of ``model/attention/`` whose
    ``build`` makes the mechanism, or the full dotted name of a module of the package that adds the row. ``own``: its
    settings in addition to those of ``EVERY`` kind; ``why_not``: why a setting means nothing for this kind. ``cost``:
    of a step, in addition to the decoder's. ``estimator``: how a kind that looks at a single position learns.
    ``split``: into which segments the source is split. ``summary``: what a kind without weights reads of the source.
    ``size``: the default hidden size of its additive score (None: the size of the decoder's state). ``attends``:
    whether the kind has attention weights. ``settings``: the class of the settings that only a package's kind has,
    under ``[attention.own]``. ``package``: the package that has added the row; filled in by the table.
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
    estimator: Estimator | None = None
    split: Split | None = None
    summary: Summary | None = None
    size: int | None = None
    attends: bool = True
    settings: "type[BaseModel] | None" = None
    package: str | None = None

    @property
    def import_path(self) -> str:
        """The dotted name of the module whose ``build`` makes the mechanism."""
        ours = self.package is None or any(kind.module == self.module for kind in KINDS)
        return f"seq2seq_cli.model.attention.{self.module}" if ours else self.module

    @property
    def names(self) -> tuple[str, ...]:
        """All names that a user may type for it."""
        return (self.name, *self.aliases)

    @property
    def options(self) -> frozenset[str]:
        """Names of the settings under ``[attention]`` that mean something for this kind."""
        return self.own | EVERY if self.attends else self.own


ADDITIVE_COST = "S x A sigmoids, A the score's size, and a mixture of S states"

KINDS: tuple[Kind, ...] = (
    Kind("none", None, "global", "before", "c_t = c: the same fixed-size summary of the source at every step",
         "Sutskever, Vinyals & Le 2014; Cho et al. 2014", module="none", own=frozenset({"summary"}), cost="nothing",
         summary="every-step", attends=False),
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
    Kind("multi-head", "scaled-dot", "global", "after",
         "[head_1; ...; head_h] W^O, head_i = softmax(Q W_i^Q (H W_i^K)^T / sqrt(d)) H W_i^V", "Vaswani et al. 2017, 3.2.2",
         module="multi_head", own=frozenset({"heads"}), why_not={"score": "every head's is a scaled dot product"},
         cost="two more projections a step and two a source; h times S scores of size D / h, h mixtures"),
    Kind("coverage", "additive", "global", "before",
         "v^T tanh(W_1 s_{t-1} + W_2 h_s + w_c C_t(s)), C_t(s) = the sum of a_j(s) before step t",
         "Tu et al. 2016, 3.1; See, Liu & Manning 2017, 2.3", module="coverage", own=frozenset({"size"}),
         why_not={"score": "the coverage is an input of the additive one"}, cost=ADDITIVE_COST),
    Kind("temporal", "general", "global", "after",
         "softmax of h_t^T W h_s - log sum_{j<t} exp(h_j^T W h_s): what was scored high before is scored down",
         "Sankaran et al. 2016; Paulus, Xiong & Socher 2017, 2.1", module="temporal"),
    Kind("memory", "general", "global", "after",
         "[sum_s a_t(s) h_s; sum_k w_t(k) m_k], w_t = softmax(h_t . m_k); m_k <- m_k (1 - w_t(k) f_t) + w_t(k) u_t",
         "Weston, Chopra & Bordes 2015; Meng et al. 2018", module="memory", own=SCORES | {"slots"},
         cost="S scores and a mixture of S states; M of each, two gates, and M slots written"),
    Kind("channel", "additive", "global", "after",
         "c_t[d] = sum_s a_t(s, d) h_s[d], the energies of all d being V tanh(W_1 h_t + W_2 h_s)",
         "Choi, Cho & Bengio 2018", module="channel", own=frozenset({"size"}),
         why_not={"score": "a vector of energies takes an additive network of its own"},
         cost="S x A x E products and S x E weights: the dearest of all that train in one pass", size=128),
    Kind("hierarchical", "general", "global", "after",
         "b_t(g) a_t(s | g): words within segments g, by h_t^T W h_s, times segments within the source, by h_t^T U u_g, "
         "u_g = sum_s a_t(s | g) h_s", "Yang et al. 2016, 2.2; Nallapati et al. 2016, 2.4", module="hierarchical",
         own=SCORES | {"split", "segment_length"}, split="clauses",
         cost="S scores, G sums of S keys, G scores, G the segments, and a mixture of S states"),
    Kind("hard", "general", "global", "after", "c_t = h_s at one s: the largest a_t(s) = softmax of h_t^T W h_s",
         "Xu et al. 2015, 4.1; Wu, Shapiro & Cotterell 2018", module="hard", own=SCORES | {"estimator"},
         estimator="straight-through", cost="S scores and one state; learning by the marginal, S readouts"),
)  # fmt: skip


GROUP = "seq2seq.attention"
"""Of entry points: each is called as the kind whose row it names."""
RESERVED = "all"
"""No name of a kind: it stands for every one of them."""
_BUILT_IN: Mapping[str, Kind] = {name: kind for kind in KINDS for name in kind.names}
_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_CHOICES: Mapping[str, tuple[object, ...]] = {
    "score": (*get_args(Score), None),
    "window": get_args(Window),
    "normaliser": get_args(Normaliser),
    "wiring": get_args(Wiring),
    "estimator": (*get_args(Estimator), None),
    "split": (*get_args(Split), None),
    "summary": (*get_args(Summary), None),
}
_OPTIONS = EVERY.union(*(kind.own for kind in KINDS))
"""All settings that any kind may have, but for those under ``[attention.own]``."""


class Installed(NamedTuple):
    """What packages have added to the table, and why the table has not the others that they offer, by their names."""

    kinds: tuple[Kind, ...]
    refused: Mapping[str, ConfigError]


@cache
def installed() -> Installed:
    """The rows of installed packages, which are loaded here. A package that is at fault is left out, with the reason."""
    rows: list[Kind] = []
    refused: dict[str, ConfigError] = {}
    offered = offers(GROUP)
    taken = {*_BUILT_IN, *offered}
    for name, offer in offered.items():
        try:
            row = _row(name, offer, taken)
        except ConfigError as problem:
            refused[name] = problem
        else:
            rows.append(row)
            taken.update(row.aliases)
    return Installed(tuple(rows), refused)


def _row(name: str, offered: tuple[Offer, ...], taken: set[str]) -> Kind:
    """The row that is offered under ``name``. Raises ConfigError where it is none, or others have its names."""
    offer, *others = offered
    _require_free(name, offer.package, [_owner(name)] if name in _BUILT_IN else [other.package for other in others])
    row = offer.load()
    wrong = _mistake(name, row)
    if wrong or not isinstance(row, Kind):
        raise failed(offer.package, f'offers the attention kind "{name}" by {offer.entry.value}, but {wrong}')
    for alias in row.aliases:
        _require_free(alias, offer.package, [_owner(alias)] if alias in taken else [])
    return replace(row, package=offer.package)


def _owner(name: str) -> str:
    return "seq2seq-cli itself" if name in _BUILT_IN else "another package"


def _require_free(name: str, package: str, others: list[str]) -> None:
    if others:
        what = (
            f'the package {package} offers an attention kind "{name}", a name that {" and ".join(others)} uses as well.'
        )
        raise ConfigError(what, None, f"Uninstall {package}, or give its kind another name.")


def _mistake(name: str, row: object) -> str:
    """What is wrong with what is offered as a row; nothing where it is one."""
    if not isinstance(row, Kind):
        return f"that is no seq2seq_cli.kinds.attentions.Kind but a {type(row).__name__}"
    if row.name != name:
        return f'that row is called "{row.name}"'
    for called in row.names:
        if not _NAME.fullmatch(called) or called == RESERVED:
            return f'"{called}" cannot be a name: lower-case letters and digits, with "-" or "." between them'
    for setting, choices in _CHOICES.items():
        if (chosen := getattr(row, setting)) not in choices:
            return f"its {setting} is {chosen!r}, which is none of {', '.join(map(repr, choices))}"
    if unknown := sorted(row.own - _OPTIONS):
        return f"its own names {', '.join(unknown)}, which no kind has: settings of its own are declared by settings"
    return ""


def kinds() -> tuple[Kind, ...]:
    """Every row there is: the built-in ones, then those of installed packages."""
    return (*KINDS, *installed().kinds)


def names() -> list[str]:
    """Every name a user may type, aliases included."""
    return [name for kind in kinds() for name in kind.names]


def row_of(name: str) -> Kind | None:
    """The row called ``name`` (or whose alias it is), if there is one. Packages are looked at only for what is not built in."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    return next((kind for kind in installed().kinds if name in kind.names), None)


def find(name: str, where: str | None = None) -> Kind:
    """The row with this name or alias.

    Raises ConfigError, with the nearest name, where there is none, or where a package that offers it is at fault.
    """
    if name in offers(GROUP) and name in installed().refused:
        problem = installed().refused[name]
        raise ConfigError(problem.what, where, problem.hint)
    row = row_of(name)
    if row is None:
        near = suggestion(name, names()) or f"Known kinds: {', '.join(kind.name for kind in kinds())}."
        raise ConfigError(f'attention kind "{name}" is unknown.', where, near)
    return row
