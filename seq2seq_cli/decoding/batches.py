"""Which sentences are searched together: as many as there is room for, of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seq2seq_cli.config.sections import DecodingConfig


def fit_together(sentences: int, pieces: int, settings: DecodingConfig) -> bool:
    """Whether so many sentences, the longest of so many pieces, may be searched in one batch: all positions of their
    sources, ``</s>`` included, once for each hypothesis and once more, are ``settings.batch_tokens`` at most. One
    sentence always may.
    """
    # What attention reads of a sentence takes the room of another hypothesis.
    return sentences == 1 or sentences * (pieces + 1) * (settings.beam + 1) <= settings.batch_tokens


def batches(lengths: Sequence[int], settings: DecodingConfig) -> Iterator[list[int]]:
    """The numbers of the sentences of each batch, given how many pieces each sentence has; the longest come first."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and not fit_together(len(batch) + 1, lengths[batch[0]], settings):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
