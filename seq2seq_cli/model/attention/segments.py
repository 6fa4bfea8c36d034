"""How a source is split into segments."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SplitAtMarks(nn.Module):
    """Splits behind each piece that ends a segment; ``ends`` are the ids of these pieces
    (`data.subword.Subword.ending`). Several such pieces in a row end one segment together, and ``</s>`` belongs to the
    last segment."""

    def __init__(self, ends: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("ends_E", torch.tensor(ends, dtype=torch.long), persistent=False)

    def forward(self, tokens_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """The number of each position's segment, B x S."""
        ends_BS = torch.isin(tokens_BS, self.get_buffer("ends_E"))
        follows_BS = nn.functional.pad(ends_BS[:, 1:], (0, 1))
        # How many real positions there are from each one on, itself included: behind the last but one there is only </s>.
        left_BS = mask_BS.long().flip(1).cumsum(1).flip(1)
        splits_BS = (ends_BS & ~follows_BS & (left_BS > 2)).long()
        return splits_BS.cumsum(1) - splits_BS


class SplitByLength(nn.Module):
    """Splits behind every ``length`` pieces; ``</s>`` belongs to the last segment."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, tokens_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """The number of each position's segment, B x S."""
        positions_S = torch.arange(tokens_BS.shape[1], device=tokens_BS.device)
        last_B1 = (mask_BS.sum(1, keepdim=True) - 2).clamp(min=0)
        return torch.minimum(positions_S, last_B1) // self.length
