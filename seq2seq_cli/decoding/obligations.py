"""The search for translations that hold what they must: from constraints to hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.decoding.allocation import Allocation
from seq2seq_cli.decoding.constraints import Automaton, Constraint, Joints
from seq2seq_cli.decoding.likeliest import Limits
from seq2seq_cli.decoding.search import Result, SearchState, beam

NARROWEST = 5
"""The least width of a beam with constraints: a hypothesis with a term and one without must live side by side."""


def width_of(settings: DecodingConfig) -> int:
    """Of a beam with constraints."""
    return max(settings.beam, NARROWEST)


@dataclass(frozen=True)
class Obligations:
    """What the translations of each sentence of a batch must hold, and how the tokens stand beside each other."""

    asked: Sequence[tuple[Constraint, ...]]
    joints: Joints

    @property
    def tokens(self) -> list[int]:
        """All that may have to be written."""
        return sorted(
            {token for one in self.asked for constraint in one for form in constraint.forms for token in form}
        )

    def among(self, tokens_C: np.ndarray) -> Obligations:
        """The same, with tokens called by their numbers in ``tokens_C``, which are in ascending order."""
        asked = [
            tuple(
                Constraint(tuple(tuple(np.searchsorted(tokens_C, form).tolist()) for form in one.forms), one.times)
                for one in each
            )
            for each in self.asked
        ]
        return Obligations(asked, self.joints.among(tokens_C))

    def search(self, state: SearchState, limits: Limits, settings: DecodingConfig, tokens_C: Tensor | None) -> Result:
        """Up to ``settings.beam`` translations of each sentence, all of which hold what they must. ``tokens_C``: the shortlist
        whose numbers are the tokens of ``state``. A length limit gives way where there would be no room."""
        called = self if tokens_C is None else self.among(tokens_C.cpu().numpy())
        automata = [Automaton(one, called.joints) for one in called.asked]
        needed_N = limits.max_length_N.new_tensor([one.needed(one.start) for one in automata])
        longest_N = limits.max_length_N
        longest_N = torch.maximum(longest_N, needed_N) if settings.max_length else longest_N + needed_N
        kind_V = torch.from_numpy(2 * called.joints.behind_V + called.joints.open_V).to(longest_N.device)
        width = width_of(settings)
        choice = Allocation(automata, kind_V, width)
        found = beam(state, replace(limits, max_length_N=longest_N), settings.length_penalty, width, choice)
        return replace(found, hypotheses=[one[: settings.beam] for one in found.hypotheses])
