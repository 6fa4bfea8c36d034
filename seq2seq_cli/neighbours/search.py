"""The nearest entries of a memory, by a look through all of it.

N queries, M entries of the memory, R dimensions, K neighbours. Entries are taken in groups of ``GROUP``; the nearest are in
those groups whose nearest members are the nearest (as the likeliest tokens of `decoding.likeliest`), whose distances are
then computed exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from seq2seq_cli.model import products
from seq2seq_cli.model.products import linear, room
from seq2seq_cli.neighbours.codes import centred, coded
from seq2seq_cli.neighbours.store import Store

GROUP = 16
BLOCK = 4096
"""Entries whose distances are in memory at a time, a multiple of GROUP."""
SPARE = 2
"""How many times as many groups are computed exactly as there are neighbours: products in 8-bit integers are rounded."""
TOGETHER = 16
"""Queries whose exact distances are computed together: as many as stay in the processor's cache."""


QUERIES = 128
"""Queries whose distances to blocks and groups are in memory at a time."""


class Nearest(NamedTuple):
    """The neighbours of each query, the nearest first: their numbers in the memory and their squared distances, in float32.
    Where there are fewer entries than neighbours asked for, there are as many."""

    entries_NK: Tensor
    distances_NK: Tensor


class Search(Protocol):
    """What finds the neighbours of queries, which are on its ``device``."""

    device: torch.device

    def nearest(self, rows_NR: Tensor, count: int) -> Nearest:
        """The ``count`` nearest entries of each query."""
        ...


class Groups(NamedTuple):
    """The groups of the entries of a block, which begins at ``start``: ``stride`` of them. Group g has the entries
    start + g, start + g + stride, ... Their neighbours in memory are in other groups, so that many are compared at once."""

    start: int
    end: int
    stride: int


def groups_of(entries: int) -> list[Groups]:
    """The groups of all blocks."""
    blocks = ((start, min(entries, start + BLOCK)) for start in range(0, entries, BLOCK))
    return [Groups(start, end, -(-(end - start) // GROUP)) for start, end in blocks]


class ExactSearch:
    """Looks through all entries: on a processor that multiplies 8-bit integers natively, by codes; elsewhere in float32."""

    def __init__(self, store: Store, device: torch.device) -> None:
        self.device = device
        self.keys_MR = torch.from_numpy(store.keys).to(device)
        self.centre_R = torch.from_numpy(store.centre).to(device)
        self.blocks = groups_of(len(store))
        counts = torch.tensor([block.stride for block in self.blocks])
        # Of each group: the number of groups of its block, its first entry, and the end of its block.
        self.stride_G = counts.repeat_interleave(counts).to(device)
        self.first_G = torch.cat([block.start + torch.arange(block.stride) for block in self.blocks]).to(device)
        self.end_G = torch.tensor([block.end for block in self.blocks]).repeat_interleave(counts).to(device)
        self.coded = device.type == "cpu" and products.CHOSEN.int8 and hasattr(torch, "_int_mm")
        self.step = store.record.step
        if self.coded:
            self.codes_MR = torch.from_numpy(store.codes)
            self.norms_M = torch.from_numpy(store.norms)
        else:
            self.halves_M = torch.cat([centred(part, self.centre_R).square().sum(1) / 2 for part in self._parts()])

    def nearest(self, rows_NR: Tensor, count: int) -> Nearest:
        """The ``count`` nearest entries of each query, to the precision of float32."""
        rows_NR = rows_NR.float()
        count = min(count, len(self.keys_MR))
        parts = [
            self._nearest(part, peaks, count)
            for some_NR in rows_NR.split(QUERIES)
            for part, peaks in self._with_peaks(some_NR, count)
        ]
        return Nearest(*map(torch.cat, zip(*parts, strict=True)))

    def _with_peaks(self, rows_NR: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        peaks_NG = self._coded_peaks(rows_NR) if self.coded else self._peaks(rows_NR)
        found_NQ = peaks_NG.topk(min(SPARE * count, peaks_NG.shape[1]), 1).indices
        yield from zip(rows_NR.split(TOGETHER), found_NQ.split(TOGETHER), strict=True)

    def _nearest(self, rows_NR: Tensor, groups_NQ: Tensor, count: int) -> Nearest:
        member_J = torch.arange(GROUP, device=rows_NR.device)
        entries_NQJ = self.first_G[groups_NQ][..., None] + self.stride_G[groups_NQ][..., None] * member_J
        outside_NC = (entries_NQJ >= self.end_G[groups_NQ][..., None]).flatten(1)
        return exactly(self.keys_MR, rows_NR, entries_NQJ.flatten(1), outside_NC, count)

    def _coded_peaks(self, rows_NR: Tensor) -> Tensor:
        queries_NR = torch.zeros(room(len(rows_NR)), rows_NR.shape[1], dtype=torch.int8)
        queries_NR[: len(rows_NR)] = coded(rows_NR, self.centre_R, self.step)
        peaks_NG = torch.empty(len(rows_NR), len(self.first_G), dtype=torch.int32)
        begin = 0
        for block in self.blocks:
            part = slice(block.start, block.end)
            scores_NM = torch._int_mm(queries_NR, self.codes_MR[part].t())[: len(rows_NR)]
            scores_NM -= self.norms_M[part]
            _largest(scores_NM, block.stride, peaks_NG[:, begin : begin + block.stride])
            begin += block.stride
        return peaks_NG

    def _peaks(self, rows_NR: Tensor) -> Tensor:
        queries_NR = centred(rows_NR, self.centre_R)
        peaks_NG = queries_NR.new_empty(len(rows_NR), len(self.first_G))
        begin = 0
        for block, keys_MR in zip(self.blocks, self._parts(), strict=True):
            bias_M = -self.halves_M[block.start : block.end]
            scores_NM = linear(queries_NR, centred(keys_MR, self.centre_R), bias_M)
            _largest(scores_NM, block.stride, peaks_NG[:, begin : begin + block.stride])
            begin += block.stride
        return peaks_NG.nan_to_num_(-torch.inf)

    def _parts(self) -> Iterator[Tensor]:
        return (self.keys_MR[block.start : block.end] for block in self.blocks)


def exactly(keys_MR: Tensor, rows_NR: Tensor, entries_NC: Tensor, outside_NC: Tensor, count: int) -> Nearest:
    """The nearest of C entries of each query, which are none where they are ``outside``, by their distances in float32."""
    entries_NC = entries_NC.clamp(0, len(keys_MR) - 1)
    keys_NCR = keys_MR.index_select(0, entries_NC.flatten()).view(*entries_NC.shape, -1).float()
    distances_NC = keys_NCR.sub_(rows_NR[:, None]).square_().sum(-1)
    # What is no number is no neighbour.
    distances_NC = distances_NC.masked_fill(outside_NC, torch.inf).nan_to_num_(torch.inf, torch.inf)
    distances_NK, at_NK = distances_NC.topk(count, 1, largest=False)
    return Nearest(entries_NC.gather(1, at_NK), distances_NK)


def _largest(scores_NM: Tensor, stride: int, out_NG: Tensor) -> None:
    """The largest score of each group of a block."""
    first, *others = scores_NM.split(stride, 1)
    out_NG.copy_(first)
    for slab in others:
        part = out_NG[:, : slab.shape[1]]
        torch.maximum(part, slab, out=part)
