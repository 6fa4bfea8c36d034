"""What a translation must hold: stretches of pieces, and how far a hypothesis has come with them.

A stretch counts where it stands as whole words: what comes before and behind it must not continue its first or last word.
So whether it counts is known only with the piece that follows. All stretches of a sentence are followed at once, by an
automaton of their beginnings (Aho & Corasick 1975), and every place where one stands counts, whatever else stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from seq2seq_cli.data.boundaries import Joint, joined


@dataclass(frozen=True)
class Constraint:
    """One of the ``forms``, stretches of token ids, must stand in the translation, at ``times`` places in all. At least one
    form begins with a token that can stand behind any other."""

    forms: tuple[tuple[int, ...], ...]
    times: int = 1


class Joints(NamedTuple):
    """Of each token of a vocabulary: what it does behind another (a `Joint`), and whether its last word may go on."""

    behind_V: np.ndarray
    open_V: np.ndarray

    def among(self, tokens_C: np.ndarray) -> Joints:
        """Those of some tokens, which are then called by their numbers among these; the last number stands for all
        others."""
        rows = np.append(tokens_C, tokens_C[-1])
        return Joints(self.behind_V[rows], self.open_V[rows])


class State(NamedTuple):
    """How far a hypothesis has come: the longest beginning of a form that it ends with, as a ``node`` of the automaton;
    whether its last word may go on; and how often each constraint is still to be met, by the number that
    `Automaton.times` has for it (so that a state is as quickly told from others, however many constraints there are)."""

    node: int
    opened: bool
    missing: int


class _Part(NamedTuple):
    """A form of ``constraint`` that stands here but for ``rest`` tokens, of which ``token`` is the next."""

    constraint: int
    rest: int
    token: int


@dataclass
class _Node:
    """A beginning of forms. ``back``: the node of the longest other beginning that this one ends with. ``ends``: the
    constraints that have a form standing whole here, ``parts``: those that stand here in part; both those of ``back``
    included. ``about``: the constraints of both."""

    last: int
    back: int = 0
    children: dict[int, int] = field(default_factory=dict)
    ends: frozenset[int] = frozenset()
    parts: tuple[_Part, ...] = ()
    about: frozenset[int] = frozenset()


ROOT = 0
OTHERS = 2 * len(Joint)
"""How many kinds there are of tokens in no form: what they do behind another, and whether they end open."""


class Automaton:
    """Follows the constraints of one sentence."""

    def __init__(self, constraints: Sequence[Constraint], joints: Joints) -> None:
        self.constraints = [without_needless(one, joints) for one in constraints]
        forms = [form for one in self.constraints for form in one.forms]
        self._behind = {token: Joint(joints.behind_V[token]) for form in forms for token in form}
        self._open = {token: bool(joints.open_V[token]) for token in self._behind}
        self.tokens: tuple[int, ...] = tuple(sorted(self._behind))
        """The tokens of all forms."""
        self.shortest = tuple(
            min(len(form) for form in one.forms if _begins_anywhere(form, joints)) for one in self.constraints
        )
        self.times: list[tuple[int, ...]] = []
        """How often each constraint is still to be met: all that has been met with, the start first."""
        self._lengths: list[int] = []
        self._numbers: dict[tuple[int, ...], int] = {}
        self._apart: dict[tuple[int, int], int] = {}
        self._start = self._numbered(tuple(one.times for one in self.constraints))
        self._nodes = [_Node(last=-1)]
        self._grow()

    @property
    def start(self) -> State:
        """Before the first token."""
        return State(ROOT, False, self._start)

    def after(self, state: State, token: int) -> State:
        """The state after one more token, one of ``tokens``."""
        behind = self._behind[token]
        node = self._next(state.node, state.opened, token, behind)
        return self._settled(node, self._open[token], self._missing(state, behind))

    def after_other(self, state: State, kind: int) -> State:
        """The same after a token in no form, by its kind: twice its `Joint`, and one more if it ends open."""
        return self._settled(ROOT, bool(kind % 2), self._missing(state, Joint(kind // 2)))

    def needed(self, state: State) -> int:
        """At most how many tokens the hypothesis still needs to meet every constraint; 0: it may end. Some token always
        leads to a state that needs one less."""
        node = self._nodes[state.node]
        apart = self._missing(state, Joint.BREAKS)
        length, length_apart = self._lengths[state.missing], self._lengths[apart]
        fewest = length_apart
        for constraint, rest, token in node.parts:
            goes_on = joined(state.opened, self._behind[token])
            if self.times[state.missing if goes_on else apart][constraint]:
                whole = length if goes_on else length_apart
                fewest = min(fewest, whole - self.shortest[constraint] + rest)
        return fewest

    def _numbered(self, times: tuple[int, ...]) -> int:
        if times not in self._numbers:
            self._numbers[times] = len(self.times)
            self.times.append(times)
            self._lengths.append(sum(each * length for each, length in zip(times, self.shortest, strict=True)))
        return self._numbers[times]

    def _missing(self, state: State, behind: Joint) -> int:
        """What is missing once a token that does ``behind`` follows."""
        ends = self._nodes[state.node].ends
        if not ends or joined(state.opened, behind):
            return state.missing
        key = state.missing, state.node
        if key not in self._apart:
            here = self.times[state.missing]
            self._apart[key] = self._numbered(
                tuple(max(0, times - (number in ends)) for number, times in enumerate(here))
            )
        return self._apart[key]

    def _settled(self, node: int, opened: bool, missing: int) -> State:
        """A state, the same for all that cannot differ from now on."""
        if not self._lengths[missing]:
            return State(ROOT, False, missing)
        times = self.times[missing]
        for number in self._nodes[node].about:
            if times[number]:
                return State(node, opened, missing)
        return State(ROOT, opened, missing)

    def _next(self, node: int, opened: bool, token: int, behind: Joint) -> int:
        while node != ROOT:
            if token in self._nodes[node].children:
                return self._nodes[node].children[token]
            node = self._nodes[node].back
        return ROOT if joined(opened, behind) else self._nodes[ROOT].children.get(token, ROOT)

    def _grow(self) -> None:
        """Make the nodes, each after those that it may point back to."""
        own_ends: dict[int, set[int]] = {}
        own_parts: dict[int, list[_Part]] = {}
        for number, constraint in enumerate(self.constraints):
            for form in constraint.forms:
                at = ROOT
                for place, token in enumerate(form):
                    if at != ROOT:
                        own_parts.setdefault(at, []).append(_Part(number, len(form) - place, token))
                    if token not in self._nodes[at].children:
                        self._nodes[at].children[token] = len(self._nodes)
                        self._nodes.append(_Node(last=token))
                    at = self._nodes[at].children[token]
                own_ends.setdefault(at, set()).add(number)
        layer = [ROOT]
        while layer:
            below = []
            for parent in layer:
                here = self._nodes[parent]
                for token, child in here.children.items():
                    node = self._nodes[child]
                    if parent != ROOT:
                        node.back = self._next(here.back, self._open[here.last], token, self._behind[token])
                    back = self._nodes[node.back]
                    node.ends = frozenset(own_ends.get(child, ())) | back.ends
                    node.parts = (*own_parts.get(child, ()), *back.parts)
                    node.about = node.ends.union(part.constraint for part in node.parts)
                    below.append(child)
            layer = below


def count_nested(constraints: Sequence[Constraint], joints: Joints) -> tuple[Constraint, ...]:
    """The same, where a stretch that also stands within another constraint is asked for once more for each time of that one:
    "York" beside "New York" is to stand there twice."""
    least = [without_needless(one, joints) for one in constraints]
    holding: dict[int, set[int]] = {}
    for number, one in enumerate(least):
        for token in {token for form in one.forms for token in form}:
            holding.setdefault(token, set()).add(number)
    counted = []
    for number, one in enumerate(least):
        others = set[int]().union(*(holding[form[0]] for form in one.forms)) - {number}
        within = sum(
            other.times * min(sum(len(_places(own, form, joints)) for own in one.forms) for form in other.forms)
            for other in (least[other] for other in others)
        )
        counted.append(Constraint(one.forms, one.times + within))
    return tuple(counted)


def without_needless(constraint: Constraint, joints: Joints) -> Constraint:
    """The same without forms in which another one stands: where they stand, that one counts already, before they end."""

    def needless(form: tuple[int, ...]) -> bool:
        return any(
            (_begins_anywhere(other, joints) or not _begins_anywhere(form, joints))
            and any(place + len(other) < len(form) for place in _places(other, form, joints))
            for other in constraint.forms
        )

    return Constraint(tuple(form for form in constraint.forms if not needless(form)), constraint.times)


def _begins_anywhere(form: tuple[int, ...], joints: Joints) -> bool:
    """Whether it can stand behind any token."""
    return bool(joints.behind_V[form[0]] == Joint.BREAKS)


def _places(own: tuple[int, ...], form: tuple[int, ...], joints: Joints) -> list[int]:
    """Where in ``form`` the stretch ``own`` stands as whole words."""

    def apart(place: int) -> bool:
        before, behind = form[place - 1], form[place]
        return not joined(bool(joints.open_V[before]), Joint(joints.behind_V[behind]))

    return [
        start
        for start in range(len(form) - len(own) + 1)
        if form[start : start + len(own)] == own
        and (start == 0 or apart(start))
        and (start + len(own) == len(form) or apart(start + len(own)))
    ]
