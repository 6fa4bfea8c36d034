"""The additive energies against their plain formula, values and gradients."""

import pytest
import torch
from torch import Tensor

from seq2seq_cli.model import products
from seq2seq_cli.model.attention.additive import LIMIT, AdditiveKeys


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and v of two sentences, three steps and four positions."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 5), (2, 4, 5), (5,))
    queries, keys, vector = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return queries.requires_grad_(), keys.requires_grad_(), vector.requires_grad_()


def step_by_step(queries_BTA: Tensor, keys_BSA: Tensor, vector_A: Tensor) -> Tensor:
    """Each step's query depends on the energies before it."""
    keys, energies_B1S = AdditiveKeys(keys_BSA, vector_A), []
    carried = torch.zeros(1, dtype=torch.float64)
    for query_BA in queries_BTA.unbind(1):
        energies_B1S.append(keys.energies((query_BA + carried)[:, None]))
        carried = energies_B1S[-1].mean()
    return torch.cat(energies_B1S, 1)


@pytest.fixture(params=[products.CHOSEN.energies, 60, 1], ids=["at once", "one sentence at a time", "less than one"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few sentences at a time: three steps of one have 3 x 4 x 5 reciprocals."""
    monkeypatch.setattr(products, "CHOSEN", products.CHOSEN._replace(energies=request.param))


@pytest.mark.usefixtures("blocks")
def test_values() -> None:
    queries, keys, vector = tensors()
    mine = AdditiveKeys(keys, vector).energies(queries)
    torch.testing.assert_close(mine, torch.tanh(queries[:, :, None] + keys[:, None]) @ vector)


@pytest.mark.usefixtures("blocks")
def test_rows_that_share_their_keys() -> None:
    queries, keys, vector = tensors()
    rows_R1A = queries.flatten(0, 1)[:, None]  # three rows of each sentence, one after another
    mine = AdditiveKeys(keys, vector).energies(rows_R1A)
    plain = torch.tanh(queries[:, :, None] + keys[:, None]) @ vector
    torch.testing.assert_close(mine, plain.flatten(0, 1)[:, None])


@pytest.mark.usefixtures("blocks")
def test_gradients_are_differences() -> None:
    def at_once(queries: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
        return AdditiveKeys(keys, vector).energies(queries)

    assert torch.autograd.gradcheck(at_once, tensors())
    assert torch.autograd.gradcheck(step_by_step, tensors())


def test_large_numbers_are_no_infinities() -> None:
    """In float32, where e^89 is one; at opposite ends of the range they cancel."""
    queries = torch.tensor([[[-1000.0, 1000.0, 39.5, -39.5, 1000.0]]], requires_grad=True)
    keys = torch.tensor([[[0.0, 0.0, -39.0, 39.0, LIMIT]]], requires_grad=True)
    vector = torch.eye(5)
    for unit, expected in zip(vector, (-1.0, 1.0, 0.46211716, -0.46211716, 1.0), strict=True):
        energy = AdditiveKeys(keys, unit).energies(queries)
        torch.testing.assert_close(energy.flatten(), torch.tensor([expected]), rtol=0, atol=1e-4)
        for gradient in torch.autograd.grad(energy.sum(), (queries, keys)):
            assert gradient.isfinite().all()


@torch.no_grad()
def test_selected_twice_keys_are_still_those_of_their_sentences() -> None:
    keys_BSA, vector_A = torch.rand(5, 3, 4), torch.rand(4)
    keys = AdditiveKeys(keys_BSA, vector_A).select(torch.tensor([4, 2, 0])).select(torch.tensor([1, 2]))
    assert torch.equal(keys.plain, keys_BSA[[2, 0]])
    assert keys.plain is keys.plain, "picked once"
    queries_RTA = torch.rand(4, 1, 4)
    anew = AdditiveKeys(keys_BSA[[2, 0]], vector_A)
    assert torch.equal(keys.energies(queries_RTA), anew.energies(queries_RTA))
