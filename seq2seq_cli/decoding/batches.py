"""Which sentences are searched together: as many as there is room for, of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seq2seq_cli.config.sections import DecodingConfig

STEPS = ((16, 1), (4, 4), (1, 2))
"""More batches than the first number come in a multiple of the second."""


def fit_together(sentences: int, pieces: int, settings: DecodingConfig) -> bool:
    """Whether ``sentences`` source sentences, the longest of ``pieces`` pieces, may be searched in one batch. They may
    if their source positions (``</s>`` included), counted once for each hypothesis and once more, are at most
    ``settings.batch_tokens``. A single sentence always may."""
    # Once more, because what attention reads of a sentence takes as much memory as a hypothesis.
    return sentences == 1 or sentences * (pieces + 1) * (settings.beam + 1) <= settings.batch_tokens


def batches(lengths: Sequence[int], settings: DecodingConfig) -> Iterator[list[int]]:
    """The numbers of the sentences in each batch, given the number of pieces of each sentence. The longest sentences
    come first."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and not fit_together(len(batch) + 1, lengths[batch[0]], settings):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def square_batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """The numbers of the sentences in each batch, the longest first, such that the squares of the longest sentence's
    length are at most ``most`` together. A single sentence always may come."""
    cut: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if cut and (len(cut[-1]) + 1) * lengths[cut[-1][0]] ** 2 <= most:
            cut[-1].append(i)
        else:
            cut.append([i])
    return cut


def even_batches(lengths: Sequence[int], settings: DecodingConfig) -> list[list[int]]:
    """The same in batches of equal size, as nearly as lengths allow, and in so many that two cores, or four, have equal
    shares of them. However many cores there are, the batches are the same: what is beside a sentence may change the
    last digits of its scores and weights.
    """
    cut = list(batches(lengths, settings))
    if len(cut) <= 1:
        return cut
    most = next(-(-len(cut) // step) * step for fewest, step in STEPS if len(cut) > fewest)
    low, high = 1, settings.batch_tokens
    while low < high:
        room = (low + high) // 2
        smaller = list(batches(lengths, settings.model_copy(update={"batch_tokens": room})))
        if len(smaller) <= most:
            cut, high = smaller, room
        else:
            low = room + 1
    return cut
