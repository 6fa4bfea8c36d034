"""A text read by forced decoding, for a memory: which of its pairs, in which batches, and what the model has in mind at each
position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from seq2seq_cli.data.batching import cut, inputs_of, target_of
from seq2seq_cli.data.text import clean
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.model.forced import Forced, RealSteps


class Usable(NamedTuple):
    """The pairs of a text with two sides that are as short as those of the training: their lines, and the ids of their
    pieces."""

    sources: list[str]
    targets: list[str]
    src: list[list[int]]
    tgt: list[list[int]]


def usable(translator: Translator, pairs: Sequence[tuple[str, str]]) -> Usable:
    """Those of these pairs."""
    sources, targets = [clean(src) for src, _ in pairs], [clean(tgt) for _, tgt in pairs]
    src, tgt = translator.subwords.src.encode(sources), translator.subwords.tgt.encode(targets)
    most = translator.config.data.max_length
    sizes = [sorted((len(one), len(other))) for one, other in zip(src, tgt, strict=True)]
    kept = [i for i, (shorter, longer) in enumerate(sizes) if shorter and longer <= most]
    return Usable(
        sources=[sources[i] for i in kept],
        targets=[targets[i] for i in kept],
        src=[src[i] for i in kept],
        tgt=[tgt[i] for i in kept],
    )


def read_together(src: Sequence[list[int]], tgt: Sequence[list[int]], most: int) -> Iterator[list[int]]:
    """The numbers of the pairs of each batch of at most ``most`` target positions, the shortest targets first."""
    lengths = np.array([[len(one) + 1 for one in side] for side in (tgt, src)], dtype=np.int64)
    order = np.lexsort((lengths[1], lengths[0]))
    return (order[part].tolist() for part in cut(lengths[0][order], lengths[1][order], most))


class Reading(NamedTuple):
    """How some targets were read, their ``real`` steps, and the keys of a memory there, in float32."""

    forced: Forced
    real: RealSteps
    keys_NR: Tensor


def reading(translator: Translator, src: Sequence[list[int]], tgt: Sequence[list[int]]) -> Reading:
    """Read these pairs at once, ``</s>`` included. (In the precision of the translator where that is entered.)"""
    model, device = translator.model, translator.device
    target = target_of(tgt).to(device)
    run = model.new_pass(looking=False)
    forced = model.forced(target, model.start(inputs_of(src).to(device), run), run)
    real = forced.real_steps()
    return Reading(forced, real, model.readout.rows(real.steps.features_NF, run).float())
