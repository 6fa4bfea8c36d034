"""What is done twice comes out the same, bit for bit, with several threads as well."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from combinations import few_cases
from models import VOCABULARY, Case, Sentences, tiny_config, tiny_model, tiny_sentences
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq_cli.inputs import Batch
from seq2seq_cli.model.build import build
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.training.rewarded import expected_risk

PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "bf16"])


class Accumulating(TorchDispatchMode):
    """Notes the operations by which several threads add to one number at once, in whatever order they come: on a
    processor, according to torch (``use_deterministic_algorithms``), these two, and so the backward pass of ``x[indices]``.
    """

    FAMILY = ("index_put", "put_")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(name in str(func) for name in self.FAMILY):
            named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
            if named.get("accumulate"):
                self.found.add(str(func))
        return func(*args, **kwargs)


def test_accumulating_operations_are_found() -> None:
    x = torch.ones(3, requires_grad=True)
    with Accumulating() as seen:
        x[torch.tensor([0, 0])].sum().backward()
    assert seen.found
    with Accumulating() as seen:
        x.detach()[torch.tensor([0, 2])] = 1.0
        x.index_select(0, torch.tensor([0, 0])).sum().backward()
    assert not seen.found


@PRECISIONS
@pytest.mark.parametrize("case", few_cases(), ids=lambda case: case.name)
def test_no_kind_has_threads_add_to_one_number(case: Case, precision: str) -> None:
    """Forwards and backwards: of its loss, of the guidance of its attention, and of what translations are rewarded by."""
    sections = {**case.around.sections, "model": {**case.around.sections["model"], "dropout": 0.1}}
    config = tiny_config(case.kind, attention=case.options, **sections)
    model, sentences = tiny_model(config, dtype=torch.float32).train(), tiny_sentences(steps=6)
    real_BT = torch.arange(6) < torch.tensor([[6], [3], [1], [4]])
    target_BT = torch.randint(VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(1))
    guide_BTS = None if case.kind == "none" else sentences.mask_BS[:, None] / torch.ones(4, 6, 1)
    batch, rows_R = sentences.batch(target_BT, real_BT, guide_BTS), torch.tensor([0, 0, 2, 3])
    with Accumulating() as seen, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = model.loss(batch, 0.1)
        log_prob_R = model.candidate_log_probs(batch, rows_R, batch.target)
        risk = expected_risk(log_prob_R, torch.tensor([0.3, 0.1, 0.7, 0.2]), rows_R.clamp(max=2), 0.5).sum()
        total = loss.smoothed + risk + (0.0 if loss.guidance is None else loss.guidance)
        torch.autograd.backward(total)
    assert not seen.found


REPEATS = 3


def gradients(model: Seq2Seq, batch: Batch, precision: str) -> dict[str, Tensor]:
    """Of the loss of a batch, and that itself; dropout the same each time."""
    torch.manual_seed(1)
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        smoothed = model.loss(batch, 0.1).smoothed
    torch.autograd.backward(smoothed)
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": smoothed.detach(), **found}


@pytest.mark.usefixtures("two_threads")
@PRECISIONS
@pytest.mark.parametrize("kind", ["luong-general", "bahdanau"])
def test_a_step_is_the_same_whenever_it_is_taken(kind: str, precision: str) -> None:
    """Sizes at which torch shares the work out: an ordinary vocabulary, and many sentences, but short ones, since the
    threads wait for each other at every step."""
    vocabulary, sentences, longest = 8000, 220, 6
    drawn = torch.Generator().manual_seed(0)
    # A few tokens are most of the text, so threads meet at them.
    tokens_NBT = (torch.rand(3, sentences, longest, generator=drawn) ** 6 * (vocabulary - 4)).long() + 4
    lengths_2B = torch.randint(longest // 2, longest + 1, (2, sentences, 1), generator=drawn)
    src_mask_BS, real_BT = torch.arange(longest) < lengths_2B
    batch = Sentences(tokens_NBT[0], src_mask_BS, tokens_NBT[1]).batch(tokens_NBT[2], real_BT)
    config = tiny_config(kind, model={"hidden_size": 64, "embedding_size": 64, "dropout": 0.1})
    torch.manual_seed(0)
    model = build(config, vocabulary, vocabulary).train()
    once = gradients(model, batch, precision)
    for _ in range(REPEATS):
        again = gradients(model, batch, precision)
        assert [name for name in once if not torch.equal(once[name], again[name])] == []
