"""Batches: which sentences go together, and their padded tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seq2seq_cli.data.subword import BOS, EOS, PAD
from seq2seq_cli.data.tokenised import TokenisedSplit

POOL_TOKENS = 300_000
"""Target positions shuffled together before they are sorted by length: the larger, the less padding; the
smaller, the more batches differ from epoch to epoch."""


class Padded(NamedTuple):
    """``ids_BL`` with PAD behind each row's own length; ``mask_BL`` True at real tokens."""

    ids_BL: Tensor
    mask_BL: Tensor


def pad(values: np.ndarray, lengths: np.ndarray, first: int | None = None, last: int | None = None) -> Padded:
    """Rows of ``lengths`` ids, laid end to end in ``values``, as a matrix; ``first`` and ``last`` are put
    before and behind every row."""
    begin = 0 if first is None else 1
    full = lengths.astype(np.int64) + begin + (0 if last is None else 1)
    positions = np.arange(full.max(initial=0))
    mask = positions < full[:, None]
    inner = (positions >= begin) & (positions < (lengths + begin)[:, None])
    ids = np.full(mask.shape, PAD, dtype=np.int64)
    ids[inner] = values
    if first is not None:
        ids[:, 0] = first
    if last is not None:
        ids[np.arange(len(full)), full - 1] = last
    return Padded(torch.from_numpy(ids), torch.from_numpy(mask))


def pad_sources(sentences: list[list[int]]) -> Padded:
    """Source sentences as the encoder reads them, each closed by ``</s>``."""
    lengths = np.fromiter((len(ids) for ids in sentences), dtype=np.int64, count=len(sentences))
    return pad(np.fromiter((i for ids in sentences for i in ids), dtype=np.int64), lengths, last=EOS)


@dataclass(frozen=True)
class Batch:
    """Pairs side by side: the source closed by ``</s>``; at each step the decoder reads ``reads_BT`` (``<s>`` and
    the target before it) and is to say ``target_BT``. Masks are True at real tokens.

    ``guide_BTS``: where attention is to lie, one in each row of a target piece with links, of which there are
    ``guided_tokens``; zeros in all other rows. None where training is not guided."""

    src_BS: Tensor
    src_mask_BS: Tensor
    reads_BT: Tensor
    target_BT: Tensor
    target_mask_BT: Tensor
    target_tokens: int
    guide_BTS: Tensor | None = None
    guided_tokens: int = 0

    def to(self, device: torch.device) -> Batch:
        """This batch on ``device``."""
        if device.type == "cpu":
            return self
        return Batch(
            self.src_BS.to(device),
            self.src_mask_BS.to(device),
            self.reads_BT.to(device),
            self.target_BT.to(device),
            self.target_mask_BT.to(device),
            self.target_tokens,
            None if self.guide_BTS is None else self.guide_BTS.to(device),
            self.guided_tokens,
        )


def load_batch(split: TokenisedSplit, indices: np.ndarray) -> Batch:
    """The pairs ``indices`` of ``split``."""
    src, tgt = split.gather(indices)
    source = pad(src.values, src.lengths, last=EOS)
    target = pad(tgt.values, tgt.lengths, last=EOS)
    reads = pad(tgt.values, tgt.lengths, first=BOS)
    tokens = int(tgt.lengths.sum()) + len(indices)
    batch = Batch(source.ids_BL, source.mask_BL, reads.ids_BL, target.ids_BL, target.mask_BL, tokens)
    if split.links is None:
        return batch
    numbers = split.numbers[indices]
    guide_BTS = split.links.shares(numbers, target.ids_BL.shape[1], source.ids_BL.shape[1])
    return replace(batch, guide_BTS=torch.from_numpy(guide_BTS), guided_tokens=int(split.links.guided[numbers].sum()))


def plan(split: TokenisedSplit, batch_tokens: int, seed: int, epoch: int, buffer: int = 0) -> list[np.ndarray]:
    """The batches of one buffer of an epoch, as row numbers of ``split``, in the order they are trained on.

    Rows are shuffled from ``seed``, ``epoch`` and ``buffer``, sorted by target and then source length inside large pools,
    cut where a batch would exceed ``batch_tokens`` target (or twice as many source) positions, and the batches
    shuffled. A pair longer than that is a batch of its own.
    """
    rng = np.random.default_rng((seed, epoch, buffer))
    order = rng.permutation(len(split))
    target, source = split.tgt_lengths[order] + 1, split.src_lengths[order] + 1
    pools = np.searchsorted(np.cumsum(target), np.arange(POOL_TOKENS, int(target.sum()), POOL_TOKENS))
    batches: list[np.ndarray] = []
    for rows in np.split(np.arange(len(order)), pools):
        rows = rows[np.lexsort((source[rows], target[rows]))]
        batches += [order[rows[part]] for part in cut(target[rows], source[rows], batch_tokens)]
    return [batches[i] for i in rng.permutation(len(batches))]


def cut(target: np.ndarray, source: np.ndarray, batch_tokens: int) -> list[slice]:
    """Consecutive runs whose rows x longest target stay within ``batch_tokens``, and rows x longest source
    within twice that."""
    parts, begin, longest_target, longest_source = [], 0, 0, 0
    for row, (t, s) in enumerate(zip(target.tolist(), source.tolist(), strict=True)):
        wider_target, wider_source = max(longest_target, t), max(longest_source, s)
        rows = row - begin + 1
        if row > begin and (rows * wider_target > batch_tokens or rows * wider_source > 2 * batch_tokens):
            parts.append(slice(begin, row))
            begin, wider_target, wider_source = row, t, s
        longest_target, longest_source = wider_target, wider_source
    if len(target):
        parts.append(slice(begin, len(target)))
    return parts
