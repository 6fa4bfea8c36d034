"""What a model is given: by name, whatever there is beside the text."""

import dataclasses

import pytest
import torch
from models import tiny_sentences

from seq2seq_cli.inputs import TEXT, Batch, Inputs, Padded, Target

ELSEWHERE = torch.device("meta")


def padded(rows: int, longest: int) -> Padded:
    return Padded(torch.ones(rows, longest, dtype=torch.long), torch.ones(rows, longest, dtype=torch.bool))


def batch() -> Batch:
    says_BT = torch.arange(20).view(4, 5)
    text = tiny_sentences(steps=5).batch(says_BT, torch.ones_like(says_BT, dtype=torch.bool), torch.rand(4, 5, 7))
    return dataclasses.replace(text, sources={**text.sources, "context": padded(4, 3)}, guided_tokens=6)


def test_the_text_is_found_among_all_sources() -> None:
    inputs = Inputs({"context": padded(2, 3), TEXT: padded(2, 5)})
    assert inputs.text.ids_BL.shape == (2, 5)


@pytest.mark.parametrize("given", [batch(), Inputs(batch().sources)], ids=["batch", "inputs"])
def test_every_source_goes_to_the_device_and_keeps_its_name(given: Inputs) -> None:
    moved = given.to(ELSEWHERE)
    assert type(moved) is type(given)
    assert {name: source.ids_BL.shape[1] for name, source in moved.sources.items()} == {TEXT: 7, "context": 3}
    assert all(tensor.device == ELSEWHERE for source in moved.sources.values() for tensor in source)


def test_a_batch_goes_to_the_device_with_all_that_it_has() -> None:
    given = batch()
    moved = given.to(ELSEWHERE)
    assert all(tensor.device == ELSEWHERE for tensor in (*moved.target, moved.guide_BTS) if tensor is not None)
    assert [x_BT.shape for x_BT in moved.target] == [x_BT.shape for x_BT in given.target]
    assert moved.guide_BTS is not None
    assert (moved.target_tokens, moved.guided_tokens) == (20, 6)


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_some_steps_at_a_time_are_all_steps(steps: int) -> None:
    target = batch().target
    parts = target.split(steps)
    assert [part.says_BT.shape[1] for part in parts[:-1]] == [steps] * (len(parts) - 1)
    for whole_BT, *some in zip(target, *parts, strict=True):
        assert torch.equal(torch.cat(some, 1), whole_BT)
    assert all(isinstance(part, Target) for part in parts)
