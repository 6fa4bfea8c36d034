"""Several heads: multi-head attention (Vaswani et al. 2017, 3.2.2)."""

from __future__ import annotations

from functools import cached_property
from typing import Self

from torch import Tensor

from seq2seq_cli.model.attention.heads import mixed
from seq2seq_cli.model.attention.normalisers import Softmax
from seq2seq_cli.model.attention.parts import Parts
from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.attention.scores import ProjectedScore
from seq2seq_cli.model.carry import Rows, rows_of
from seq2seq_cli.model.maps import Linear, Pass, StepMatrix
from seq2seq_cli.model.products import pick, precise
from seq2seq_cli.model.types import Attended, Keys, Look, Values


def build(parts: Parts) -> MultiHeadAttention:
    return MultiHeadAttention(parts, parts.config.numbers.heads)


class Heads:
    """Vectors B x S x A; head i has the i-th of ``heads`` equal parts of each vector."""

    def __init__(self, plain_BSA: Tensor, heads: int) -> None:
        self.plain, self.heads = plain_BSA, heads

    @property
    def split_BHSI(self) -> Tensor:
        """The vectors of each head."""
        split_BHSI: Tensor = self.plain.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return split_BHSI

    @cached_property
    def matrix(self) -> StepMatrix:
        """A matrix for each sentence and head."""
        return StepMatrix(self.split_BHSI.flatten(0, 1), dtype=self.plain.dtype)

    def select(self, rows: Rows) -> Self:
        """The vectors of the sentences ``rows``."""
        return type(self)(rows_of(self.plain, rows), self.heads)

    def pick(self, positions_RP: Tensor) -> Self:
        """The vectors of some positions of each sentence."""
        return type(self)(pick(self.plain, positions_RP), self.heads)

    def folded(self, x_RTHI: Tensor) -> Tensor:
        """Rows by sentence and head, R x T x H x I -> one row for each sentence and head, which holds the steps of all
        rows that read the sentence."""
        by_sentence_BNHI = x_RTHI.reshape(self.plain.shape[0], -1, self.heads, x_RTHI.shape[3])
        return by_sentence_BNHI.transpose(1, 2).flatten(0, 1)

    def unfolded(self, x_NTI: Tensor, rows: int) -> Tensor:
        """The reverse of ``folded``: R x T x H x I."""
        by_sentence_BHNI = x_NTI.view(-1, self.heads, *x_NTI.shape[1:])
        return by_sentence_BHNI.transpose(1, 2).reshape(rows, -1, self.heads, x_NTI.shape[2])


class HeadKeys(Heads):
    """The keys h_s W_i^K of each head, scaled."""

    def energies(self, queries_RTA: Tensor) -> Tensor:
        """The energies of each head, R x T x H x S."""
        split_RTHI = queries_RTA.unflatten(2, (self.heads, -1))
        return self.unfolded(self.matrix.product(self.folded(split_RTHI)), queries_RTA.shape[0])


class HeadValues(Heads):
    """The values h_s W_i^V of each head."""

    def mixture(self, weights_RTHS: Tensor) -> Tensor:
        """The heads' mixtures, concatenated: R x T x A."""
        mixed_NTI = self.matrix.mixture(self.folded(weights_RTHS))
        return self.unfolded(mixed_NTI, weights_RTHS.shape[0]).flatten(2)


class HeadScore(ProjectedScore):
    """(q W_i^Q) . (h_s W_i^K) / sqrt(d) for each head i of size d."""

    def __init__(self, query_size: int, encoder_size: int, heads: int) -> None:
        super().__init__(query_size, encoder_size, query_size)
        self.heads = heads
        self.scale = (query_size // heads) ** -0.5

    def shared(self, keys_BSA: Tensor) -> Keys:
        return HeadKeys(keys_BSA * self.scale, self.heads)


class MultiHeadAttention(ScoredAttention):
    """head_i = Attention(q W_i^Q, H W_i^K, H W_i^V) with a scaled dot product inside; c = [head_1; ...; head_h] W^O,
    which has the size of an encoder state (Vaswani et al. 2017, 3.2.2). The heads share the size of the queries
    evenly."""

    bounded = False
    projected = True

    def __init__(self, parts: Parts, heads: int) -> None:
        super().__init__(parts, HeadScore(parts.query_size, parts.encoder_size, heads))
        self.heads = heads
        self.value = Linear(parts.encoder_size, parts.query_size, bias=False, bounded=True)
        self.output = Linear(parts.query_size, parts.encoder_size, bias=False)

    def values(self, states_BSE: Tensor, run: Pass) -> Values:
        return HeadValues(precise(run.map(self.value).product(states_BSE)), self.heads)

    def attend(self, scene: Scene) -> Attended:
        context_BTA = self._unseen(scene)
        if context_BTA is not None:
            context_BTE = precise(scene.run.map(self.output).product(context_BTA))
            return Attended(context_BTE, Look(context_BTA[..., :0]))
        mask_BTS, factor_BTS = scene.view.mask_BTS, scene.view.factor_BTS
        factor_BT1S = None if factor_BTS is None else factor_BTS.unsqueeze(-2)
        view = scene.view._replace(mask_BTS=mask_BTS.unsqueeze(-2), factor_BTS=factor_BT1S)
        attended = super().attend(scene._replace(view=view))
        context_BTE = precise(scene.run.map(self.output).product(attended.context_BTE))
        heads_BTHS = attended.look.weights_BTS
        return Attended(context_BTE, Look(heads_BTHS.mean(2), heads_BTHS=heads_BTHS))

    def _unseen(self, scene: Scene) -> Tensor | None:
        """The heads' mixtures, concatenated, without their weights: where nobody asks for these, and there is a quicker
        way."""
        keys, values, view = scene.memory.keys, scene.memory.values, scene.view
        assert isinstance(keys, HeadKeys)
        assert isinstance(values, HeadValues)
        plain = view.factor_BTS is None and len(scene.queries_BTA) == len(keys.plain)
        if scene.run.looking or not plain or not isinstance(self.normaliser, Softmax):
            return None
        queries_BHTI = scene.queries_BTA.unflatten(2, (self.heads, -1)).transpose(1, 2)
        of_heads = (queries_BHTI, keys.split_BHSI, values.split_BHSI)
        queries_BHTI, keys_BHSI, values_BHSI = (x.to(scene.run.dtype).contiguous() for x in of_heads)
        mask_B1TS = view.mask_BTS.unsqueeze(1)
        mixed_BHTI = mixed(queries_BHTI, keys_BHSI, values_BHSI, mask_B1TS, self.normaliser.temperature)
        return mixed_BHTI.transpose(1, 2).flatten(2)
