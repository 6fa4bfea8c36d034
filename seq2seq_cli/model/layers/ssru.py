"""A recurrence simple enough to need no product within its loop."""

import torch
from torch import Tensor, nn

from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.packing import Packing
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import Look


class SSRU(nn.Module):
    """c_t = f_t c_{t-1} + (1 - f_t) (W x_t + b) with f_t = sigmoid(W_f x_t + b_f); the output is relu(c_t) (Kim et al. 2019,
    "From research to production and back", 3.1, where b is zero: here one product makes both). It stands where a Transformer's
    decoder has self-attention. Its past is c_t, so a step costs the same however many steps have been taken."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.project = Linear(size, 2 * size)

    def nothing(self, rows: int, like: Tensor) -> Tensor:
        return precise(like).new_zeros(rows, self.size)

    def forward(
        self, x_ND: Tensor, packing: Packing, past: Tensor, start: int, run: Pass
    ) -> tuple[Tensor, Tensor, Look]:
        read_BTD, gate_BTD = packing.spread(precise(run.map(self.project).product(x_ND))).chunk(2, -1)
        forget_BTD = gate_BTD.sigmoid()
        new_BTD = read_BTD - forget_BTD * read_BTD
        states = []
        for forget_BD, new_BD in zip(forget_BTD.unbind(1), new_BTD.unbind(1), strict=True):
            past = torch.addcmul(new_BD, forget_BD, past)
            states.append(past)
        return packing.packed(torch.stack(states, 1).relu()), past, Look(read_BTD[..., :0])
