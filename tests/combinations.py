"""Every combination of mechanism, window, normaliser, score and wiring, and few of them in which all choices meet."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations, cycle, product
from typing import Any, NamedTuple, get_args

from models import HALVES, REPRESENTATIVES, Case, Halves, Wiring, in_turn, tiny_config, wiring_name

from seq2seq_cli.config.whole import Config
from seq2seq_cli.kinds.attentions import Normaliser, Score, Window, find

MECHANISMS: tuple[Wiring, ...] = (
    ("none", {}),
    ("luong-general", {}),
    ("multi-head", {"heads": 1}),
    ("multi-head", {"heads": 2}),
    ("multi-head", {"heads": 4}),
    ("coverage", {}),
    ("temporal", {}),
    ("memory", {}),
    ("channel", {}),
    ("hierarchical", {"split": "clauses"}),
    ("hierarchical", {"split": "length", "segment_length": 2}),
    ("hard", {"estimator": "straight-through"}),
    ("hard", {"estimator": "marginal"}),
    ("hard", {"estimator": "reinforce"}),
)
WIRINGS: tuple[dict[str, object], ...] = (
    {"wiring": "before"},
    {"wiring": "after", "input_feeding": True},
    {"wiring": "after", "input_feeding": False},
    {},
)
"""Beside an RNN; and, at last, between the halves of a Transformer's layer."""
BETWEEN = [halves for halves in HALVES if halves.decoder != "rnn"]
"""Encoders and decoders whose attention is between the halves of layers."""
SCORES = (None, *get_args(Score))
Pair = tuple[tuple[str, Hashable], ...]
"""Two choices, with the names of what is chosen."""


class Cell(NamedTuple):
    """One combination (``score`` None: the mechanism's own)."""

    kind: str
    options: dict[str, Any]
    window: Window
    normaliser: Normaliser
    score: Score | None
    wiring: dict[str, Any]
    halves: Halves = BETWEEN[0]
    """Where it stands between the halves of a layer."""

    @property
    def settings(self) -> dict[str, object]:
        """What stands under ``[attention]`` beside the kind."""
        chosen: dict[str, object] = {
            **self.options,
            "window": self.window,
            "normaliser": self.normaliser,
            **self.wiring,
        }
        if self.window != "global":
            chosen["radius"] = 1
        if self.normaliser == "top-k":
            chosen["top_k"] = 2
        if self.score is not None:
            chosen["score"] = self.score
        if self.score == "location":
            chosen["max_positions"] = 3
        return chosen

    def config(self) -> Config:
        """Raises ConfigError where the combination makes no sense."""
        return tiny_config(self.kind, attention=self.settings, **({} if self.wiring else self.halves.sections))

    def refusals(self) -> set[str]:
        """Parts of the reasons that the definitions give for refusing it."""
        own_score = self.kind != "none" and "score" not in find(self.kind).options
        estimator, location = self.options.get("estimator"), self.score == "location"
        reasons = {
            "is not an option of none": self.kind == "none",
            "score is not an option of": own_score and self.score is not None,
            "which a local window may leave": not own_score and location and self.window != "global",
            "the segments of a source have none": self.kind == "hierarchical" and location,
            "those of local-p do not": estimator is not None and self.window == "local-p",
            "go over all their histories": estimator == "marginal" and self.wiring.get("input_feeding", True),
        }
        found = {reason for reason, holds in reasons.items() if holds}
        # What is wrong with attention by itself is told before what does not go with the layers around it.
        return found if self.wiring or len(found) == 1 else found - {"go over all their histories"}

    @property
    def mechanism(self) -> str:
        """Its kind and the options of its own."""
        return " ".join(map(str, (self.kind, *self.options.values())))

    @property
    def name(self) -> str:
        """How it is called in a test's name."""
        return wiring_name((self.kind, self.settings)) + ("" if self.wiring else f"-{self.halves}")

    @property
    def inner(self) -> tuple[str, str, str]:
        """What is chosen within the mechanism."""
        return (self.window, self.normaliser, str(self.score))

    @property
    def pairs(self) -> frozenset[Pair]:
        """Any two of its choices."""
        chosen = {
            "mechanism": self.mechanism,
            "window": self.window,
            "normaliser": self.normaliser,
            "score": self.score,
            "wiring": tuple(self.wiring.values()),
        }
        return frozenset(combinations(chosen.items(), 2))


def cells() -> Iterator[Cell]:
    """All, whether they make sense or not."""
    for (kind, options), wiring in product(MECHANISMS, WIRINGS):
        for window, normaliser, score in product(get_args(Window), get_args(Normaliser), SCORES):
            yield Cell(kind, options, window, normaliser, score, wiring)


def sound() -> list[Cell]:
    """Those that make sense."""
    return [cell for cell in cells() if not cell.refusals()]


def meeting(pairs: Sequence[frozenset[Pair]]) -> list[int]:
    """The places of few of these sets, which together hold all that is in any: the one with most that is still wanted, again
    and again."""
    wanted: set[Pair] = set().union(*pairs)
    chosen = []
    while wanted:
        best = max(range(len(pairs)), key=lambda place: len(pairs[place] & wanted))
        chosen.append(best)
        wanted -= pairs[best]
    return sorted(chosen)


def few_cells() -> list[Cell]:
    """Any two choices that go together are together in one of them."""
    every = sound()
    return in_their_turn([every[place] for place in meeting([cell.pairs for cell in every])])


def in_their_turn(chosen: Sequence[Cell]) -> list[Cell]:
    """The same, with each of ``BETWEEN`` in turn."""
    turn = cycle(BETWEEN)
    return [cell if cell.wiring else cell._replace(halves=next(turn)) for cell in chosen]


def few_wirings() -> list[Wiring]:
    """Fewer still, for what asks all mechanisms alike: each is in every wiring and every window, and these are with every score
    and normaliser. And the representatives, which have their kinds' own choices."""
    every = [cell for cell in sound() if cell.options.get("heads") in (None, 2) and cell.wiring]
    pairs = [frozenset(pair for pair in cell.pairs if not is_inner(pair)) for cell in every]
    chosen = [every[place] for place in meeting(pairs)]
    return [("none", {"summary": "start"}), *REPRESENTATIVES, *((cell.kind, cell.settings) for cell in chosen)]


def few_cases() -> list[Case]:
    """These with a recurrence in turn; and each mechanism once between Transformer layers: those, windows, normalisers and scores
    are others each time."""
    return [*in_turn(few_wirings()), *few_between()]


def few_between() -> list[Case]:
    """Each mechanism once between the halves of a Transformer's layer, in every encoder and decoder, with every window,
    normaliser and score; and RNNs that read a Transformer."""
    chosen, tried = list[Cell](), Counter[Hashable]()
    for kind, options in MECHANISMS:
        alike = [cell for cell in sound() if (cell.kind, cell.options, cell.wiring) == (kind, options, {})]
        if alike and options.get("heads") in (None, 2):
            rarest = min(alike, key=lambda cell: sum(tried[choice] for choice in cell.inner))
            tried.update(rarest.inner)
            chosen.append(rarest)
    cells = in_their_turn(chosen)
    beside = [Case(*wiring, halves) for wiring in REPRESENTATIVES[:4] for halves in HALVES if halves.decoder == "rnn"]
    return [Case("none", {}, BETWEEN[-1]), *beside, *(Case(cell.kind, cell.settings, cell.halves) for cell in cells)]


def is_inner(pair: Pair) -> bool:
    """Whether it is a mechanism's own affair."""
    names = {name for name, _ in pair}
    return "mechanism" in names and bool(names & {"score", "normaliser"})
