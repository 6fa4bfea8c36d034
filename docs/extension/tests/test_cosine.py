"""The contract of every attention, and numbers worked out by hand."""

from math import cos, pi

import pytest
import torch
from seq2seq_cosine.attention import CosineScore

from seq2seq_cli import contract
from seq2seq_cli.model.maps import Pass, StepMatrix
from seq2seq_cli.model.types import Memory


@pytest.mark.parametrize("promise", contract.promises("cosine"), ids=str)
def test_it_keeps_the_contract(promise: contract.Promise) -> None:
    promise()


@torch.no_grad()
def test_energies_are_cosines_times_the_sharpness() -> None:
    score = CosineScore(query_size=2, encoder_size=2, sharpness=3.0)
    score.key.weight.copy_(torch.eye(2))
    states_BSE = torch.tensor([[[2.0, 0.0], [0.5, 0.5], [0.0, -1.0]]])
    keys = score.shared(score.keys(states_BSE, Pass()))
    memory = Memory(
        StepMatrix(states_BSE, dtype=states_BSE.dtype), keys, torch.ones(1, 3, dtype=torch.bool), states_BSE.mean(1)
    )
    energies_BTS = score(torch.tensor([[[7.0, 0.0]]]), memory)
    torch.testing.assert_close(energies_BTS, torch.tensor([[[3.0, 3 * cos(pi / 4), 0.0]]]))
