"""Searches whose translations must hold given stretches of pieces, over written-out tables whose sentences can all be looked
through. The pieces are ▁a, b and ▁c: b goes on with the word before it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from test_search import (
    VOCABULARY,
    WORDS,
    Table,
    all_sentences,
    assert_consistent,
    brute_force,
    limits_of,
    random_table,
)

from seq2seq_cli.data.glossary import Term
from seq2seq_cli.decoding.allocation import Allocation
from seq2seq_cli.decoding.constraints import (
    OTHERS,
    Automaton,
    Constraint,
    Joints,
    State,
    count_nested,
    without_needless,
)
from seq2seq_cli.decoding.search import Result, beam

TEXTS = {3: " a", 4: "b", 5: " c"}
BEHIND = np.array([0, 0, 0, 0, 1, 0])
JOINTS = Joints(BEHIND, np.array([False, False, False, True, True, True]))
KINDS = torch.from_numpy(2 * BEHIND + JOINTS.open_V)

forms = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(tuple).filter(lambda form: form[0] != 4)
"""Stretches that begin with a word."""
constraint = st.builds(Constraint, st.lists(forms, min_size=1, max_size=2, unique=True).map(tuple), st.integers(1, 2))
constraints = st.lists(constraint, min_size=1, max_size=2)


def text_of(tokens: Sequence[int]) -> str:
    return "".join(TEXTS[token] for token in tokens).strip()


def holds(tokens: Sequence[int], wanted: Sequence[Constraint]) -> bool:
    """Whether the text holds the words of every constraint, as often as it must: by the text alone."""
    text = text_of(tokens)
    return all(Term("", tuple(map(text_of, one.forms)), "").count_in(text) >= one.times for one in wanted)


def constrained(table: torch.Tensor, wanted: Sequence[Sequence[Constraint]], longest: Sequence[int], width: int,
                alpha: float = 1.0, shortest: int = 0) -> Result:  # fmt: skip
    automata = [Automaton(one, JOINTS) for one in wanted]
    limits = limits_of(*longest, shortest=shortest)
    return beam(Table.of(table), limits, alpha, width, Allocation(automata, KINDS, width))


WANTED = [
    [Constraint(((3,),))],
    [Constraint(((3, 4),)), Constraint(((3,),))],
    [Constraint(((5, 3),)), Constraint(((3, 4),))],
    [Constraint(((5,), (3, 4, 4))), Constraint(((3,),), 2)],
]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("shortest", [0, 3])
def test_a_wide_enough_beam_is_brute_force(alpha: float, shortest: int) -> None:
    table, longest = random_table(4, seed=1), (5, 5, 5, 4)
    result = constrained(table, WANTED, longest, 370, alpha, shortest)  # more than there are sentences: 364
    for log_probs, limit, wanted, found in zip(table, longest, WANTED, result.hypotheses, strict=True):
        every = [one for one in brute_force(log_probs, limit, alpha, shortest) if holds(one[0], wanted)]
        assert len(every) > 10
        assert [one.tokens for one in found] == [tokens for tokens, _ in every]
        assert [one.score for one in found] == pytest.approx([score for _, score in every], abs=1e-9)
    assert_consistent(result, table, alpha)


@given(st.lists(constraints, min_size=1, max_size=3), st.integers(1, 6), st.integers(0, 99), st.integers(0, 2))
@example([[Constraint(((3,),)), Constraint(((3,), (3, 5)), 2)]], 1, 1, 0)
@settings(max_examples=60)
def test_every_hypothesis_holds_its_constraints(
    wanted: list[list[Constraint]], width: int, seed: int, more: int
) -> None:
    """However narrow the beam, and with no room but for them."""
    table = random_table(len(wanted), seed)
    needed = [Automaton(one, JOINTS).needed(Automaton(one, JOINTS).start) for one in wanted]
    assume(max(needed) <= 9)
    longest = [min(9, length + more) for length in needed]
    result = constrained(table, wanted, longest, width)
    for one, limit, hypotheses in zip(wanted, longest, result.hypotheses, strict=True):
        assert hypotheses
        for found in hypotheses:
            assert len(found.tokens) <= limit
            # A form is followed where its pieces stand. The same words in other pieces would do for the text.
            assert holds(found.tokens, one)
    assert_consistent(result, table, 1.0)


@given(constraints, st.lists(st.sampled_from(WORDS), max_size=8))
def test_the_automaton_counts_what_the_text_holds(wanted: list[Constraint], tokens: list[int]) -> None:
    automaton = Automaton(wanted, JOINTS)
    state = reached(automaton, tokens)
    assert (automaton.needed(state) == 0) == holds(tokens, wanted)


def reached(automaton: Automaton, tokens: Sequence[int]) -> State:
    state = automaton.start
    for token in tokens:
        own = token in automaton.tokens
        state = automaton.after(state, token) if own else automaton.after_other(state, int(KINDS[token]))
    return state


@given(constraints, st.lists(st.sampled_from(WORDS), max_size=6))
def test_from_everywhere_a_token_leads_nearer(wanted: list[Constraint], tokens: list[int]) -> None:
    automaton = Automaton(wanted, JOINTS)
    state = reached(automaton, tokens)
    needed = automaton.needed(state)
    assert needed >= 0
    if needed:
        assert min(automaton.needed(automaton.after(state, token)) for token in automaton.tokens) < needed


@given(st.lists(constraints, min_size=2, max_size=3), st.integers(0, 99))
@settings(max_examples=25)
def test_a_sentence_does_not_depend_on_its_neighbours(wanted: list[list[Constraint]], seed: int) -> None:
    table, longest = random_table(len(wanted), seed), [9] * len(wanted)
    assume(all(Automaton(one, JOINTS).needed(Automaton(one, JOINTS).start) <= 9 for one in wanted))
    together = constrained(table, wanted, longest, 3).hypotheses
    for row, one in enumerate(wanted):
        (alone,) = constrained(table[row : row + 1], [one], longest[:1], 3).hypotheses
        assert [(found.tokens, found.score) for found in alone] == [
            (found.tokens, found.score) for found in together[row]
        ]


def test_what_stands_within_another_is_asked_for_once_more() -> None:
    inner, outer, longer = Constraint(((3,),)), Constraint(((5, 3),)), Constraint(((3, 4),), 2)
    assert [one.times for one in count_nested([inner, outer], JOINTS)] == [2, 1]
    assert [one.times for one in count_nested([inner, longer], JOINTS)] == [1, 2]  # ab holds no whole a
    assert [one.times for one in count_nested([inner, inner], JOINTS)] == [2, 2]
    either = Constraint(((5, 3), (5,)))
    assert [one.times for one in count_nested([inner, either], JOINTS)] == [1, 1]


def test_a_place_counts_once_whatever_else_stands_there() -> None:
    """Of a term that may be "a" or "a c", "a c" is one; "ab" is no "a"; and some form can always be written."""
    assert without_needless(Constraint(((3,), (3, 5), (3, 4), (5, 3))), JOINTS).forms == ((3,), (3, 4), (5, 3))
    automaton = Automaton([Constraint(((3,), (3, 5)), 2)], JOINTS)
    state = reached(automaton, [3, 5])
    assert automaton.times[state.missing] == (1,)
    assert without_needless(Constraint(((4, 3), (4,), (5, 4, 3))), JOINTS).forms == ((4,), (5, 4, 3))


def test_many_terms_have_few_states() -> None:
    """Only what hypotheses come to is numbered and has a row: a state at most for each place of the beam at each step, not one for
    every token that might follow."""
    terms, width, vocabulary, steps = 40, 5, 200, 140
    behind_V = np.repeat([0, 1], vocabulary // 2)
    joints = Joints(behind_V, np.ones(vocabulary, dtype=bool))
    wanted = [Constraint(((4 + 2 * n, 100 + 2 * n), (5 + 2 * n, 101 + 2 * n))) for n in range(terms)]
    automaton = Automaton(wanted, joints)
    choice = Allocation([automaton], torch.from_numpy(2 * behind_V + 1), width)
    limits, generator = limits_of(steps), torch.Generator().manual_seed(1)
    log_prob_NK = torch.zeros(1, 1)
    for step_ in range(steps):
        logits_RV = torch.randn(log_prob_NK.shape[1], vocabulary, generator=generator)
        found, _, live_NK = choice.choose(partial(_rows, logits_RV), log_prob_NK, limits, step_)
        ends_NK = found.token_NC.gather(1, live_NK) == limits.eos
        log_prob_NK = found.log_prob_NC.gather(1, live_NK).masked_fill(ends_NK, float("-inf"))
    assert choice.states <= 1 + width * steps


def test_the_table_of_the_tests() -> None:
    assert len(list(all_sentences(5))) == 364
    assert max(KINDS.tolist()) < OTHERS
    assert len(KINDS) == VOCABULARY
    assert text_of((3, 4, 5)) == "ab c"
    assert list(itertools.compress(WORDS, BEHIND[3:])) == [4]


def _rows(logits_RV: torch.Tensor, rows: slice) -> torch.Tensor:
    return logits_RV[rows].clone()
