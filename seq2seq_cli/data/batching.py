"""Batches: which sentences go together, and their padded tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from seq2seq_cli.data.neighbours import Seen
from seq2seq_cli.data.ragged import RaggedIds
from seq2seq_cli.data.subword import BOS, EOS, PAD
from seq2seq_cli.inputs import BEFORE, TEXT, Batch, Before, Inputs, Padded, Target
from seq2seq_cli.processor import UNIT

if TYPE_CHECKING:  # a search makes batches too, and needs none of what reads a training text
    from seq2seq_cli.data.tokenised import TokenisedSplit

POOL_TOKENS = 300_000
"""How many target positions are shuffled together before they are sorted by length. Larger pools need less padding;
with smaller pools, batches differ more from epoch to epoch."""


def pad(values: np.ndarray, lengths: np.ndarray, first: int | None = None, last: int | None = None) -> Padded:
    """A matrix of the rows that are laid end to end in ``values``, each with its length in ``lengths``. The ids
    ``first`` and ``last`` are put before and behind every row."""
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


def inputs_of(sentences: Sequence[Sequence[int]], seen: Seen | None = None, joins: bool = False) -> Inputs:
    """Source sentences as the model reads them, each closed by ``</s>``; with the sentences before them, if any are ``seen``
    (``joins``: in front of them)."""
    text = _end_to_end(sentences)
    if seen is None:
        return Inputs({TEXT: pad(*text, last=EOS)})
    return Inputs({TEXT: pad(*seen.joined(text)[0], last=EOS)} if joins else _beside(text, seen))


def _beside(text: RaggedIds, seen: Seen) -> dict[str, Padded | Before]:
    """Sentences, and those before them."""
    # Where there are none, one without words is read all the same, by nobody: every parameter gets a gradient.
    nothing = RaggedIds.of([np.zeros(0, dtype=np.int64)])
    src = seen.src if len(seen.src.lengths) else nothing
    said = None if seen.tgt is None else _target(seen.tgt if len(seen.tgt.lengths) else nothing)
    before = Before(pad(*src, last=EOS), said, torch.from_numpy(seen.index_BK))
    return {TEXT: pad(*text, last=EOS), BEFORE: before}


def target_of(sentences: Sequence[Sequence[int]]) -> Target:
    """Target sentences as the model is trained to predict them."""
    return _target(_end_to_end(sentences))


def _end_to_end(sentences: Sequence[Sequence[int]]) -> RaggedIds:
    lengths = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
    return RaggedIds(np.fromiter(chain.from_iterable(sentences), dtype=np.int64), lengths)


def _target(ids: RaggedIds) -> Target:
    says = pad(*ids, last=EOS)
    return Target(pad(*ids, first=BOS).ids_BL, says.ids_BL, says.mask_BL)


def load_batch(split: TokenisedSplit, indices: np.ndarray) -> Batch:
    """The pairs ``indices`` of ``split``."""
    src, tgt = split.gather(indices)
    numbers, target = split.numbers[indices], _target(tgt)
    read, before_B = _read(split, src, numbers)
    batch = Batch(read, target, int(tgt.lengths.sum()) + len(indices))
    if split.links is None:
        return batch
    shares_BTS = split.links.shares(numbers, target.says_BT.shape[1], int(src.lengths.max()) + 1)
    guide_BTS = shares_BTS if before_B is None else _moved(shares_BTS, before_B, batch.text.ids_BL.shape[1])
    return replace(batch, guide_BTS=torch.from_numpy(guide_BTS), guided_tokens=int(split.links.guided[numbers].sum()))


def _read(
    split: TokenisedSplit, src: RaggedIds, numbers: np.ndarray
) -> tuple[Mapping[str, Padded | Before], np.ndarray | None]:
    """What the model reads of these pairs, and how many pieces stand in front of each source (None: none)."""
    if split.neighbours is None:
        return {TEXT: pad(*src, last=EOS)}, None
    seen = split.neighbours.seen(numbers)
    if not split.neighbours.joins:
        return _beside(src, seen), None
    joined, before_B = seen.joined(src)
    return {TEXT: pad(*joined, last=EOS)}, before_B


def _moved(guide_BTS: np.ndarray, by_B: np.ndarray, positions: int) -> np.ndarray:
    """The same guidance among more positions, from position ``by_B`` on in each row."""
    rows, steps, columns = np.nonzero(guide_BTS)
    moved_BTS = np.zeros((*guide_BTS.shape[:2], positions), dtype=guide_BTS.dtype)
    moved_BTS[rows, steps, columns + by_B[rows]] = guide_BTS[rows, steps, columns]
    return moved_BTS


def plan(split: TokenisedSplit, batch_tokens: int, seed: int, epoch: int, buffer: int = 0) -> list[np.ndarray]:
    """The batches of one buffer of an epoch, as row numbers of ``split``, in the order of training.

    Rows are shuffled with ``seed``, ``epoch`` and ``buffer``, and sorted by target length, then source length, within
    large pools. They are cut into batches of at most ``batch_tokens`` target positions and twice as many source
    positions, of few different numbers of rows (see `cut`), and the batches are shuffled. A pair longer than that is a
    batch by itself.
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
    """Slices of consecutive rows such that rows x longest target is at most ``batch_tokens``, and rows x longest source
    at most twice that. All but the last have one of few numbers of rows (see `in_units`)."""
    targets, sources = target.tolist(), source.tolist()
    parts, begin, row, longest_target, longest_source = [], 0, 0, 0, 0
    while row < len(targets):
        wider_target, wider_source = max(longest_target, targets[row]), max(longest_source, sources[row])
        rows = row - begin + 1
        if row > begin and (rows * wider_target > batch_tokens or rows * wider_source > 2 * batch_tokens):
            end = begin + in_units(row - begin)
            parts.append(slice(begin, end))
            # The rows that are left out come again: what is longest is another one without those before them.
            begin = row = end
            longest_target = longest_source = 0
        else:
            row, longest_target, longest_source = row + 1, wider_target, wider_source
    if begin < len(targets):
        parts.append(slice(begin, len(targets)))
    return parts


def in_units(rows: int) -> int:
    """The largest number up to ``rows`` that is a multiple of UNIT, or of the largest smaller power of two that is at
    most a quarter of ``rows``.

    oneDNN compiles every product anew for each number of rows, which may take as long as the product itself. Batches
    are cut a little shorter instead of being padded, so nothing is computed for nothing.
    """
    unit = min(UNIT, 1 << max(0, (rows // 4).bit_length() - 1))
    return rows // unit * unit
