"""Hierarchical attention to the sentences before (Miculicich et al. 2018, 3): their words, then the sentences.

Letters beside those of `model.types`: K sentences before, L words of a sentence, H heads, I the size of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config.context import ContextConfig
from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.model.attention.heads import mixed, weighed
from seq2seq_cli.model.attention.multi_head import HeadKeys, HeadValues
from seq2seq_cli.model.attention.normalisers import Softmax
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.layers.sublayers import FeedForward
from seq2seq_cli.model.maps import Linear, Pass
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import Look, Memory, Source

OPEN = 3.0
"""The gate's bias at first: it keeps sigmoid(3) = 95% of a state."""


class Read(NamedTuple):
    """What is read: keys and values of each head, ... x H x S x I."""

    keys: Tensor
    values: Tensor


class Level(nn.Module):
    """MultiHead(f(h), X, X), with a linear f: head_i = Attention(f(h) W_i^Q, X W_i^K, X W_i^V); [head_1; ...; head_h] W^O
    (Miculicich et al. 2018, 3.1; Vaswani et al. 2017, 3.2.2)."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (size // heads) ** -0.5
        self.ask = Linear(size, size)
        self.query = Linear(size, size, bias=False)
        self.read = Linear(size, 2 * size, bias=False)
        self.output = Linear(size, size, bias=False)
        self.normaliser = Softmax(1.0)

    def queries(self, h_BTD: Tensor, run: Pass) -> Tensor:
        """Queries of each head, B x T x H x I."""
        asked_BTD = run.map(self.ask).product(h_BTD)
        queries_BTHI: Tensor = run.map(self.query).product(asked_BTD).unflatten(-1, (self.heads, -1))
        return queries_BTHI

    def keys_values(self, x: Tensor, run: Pass) -> tuple[Tensor, Tensor]:
        """Keys, scaled, and values of vectors ... x S x D, of all heads side by side."""
        keys, values = run.map(self.read).product(x).chunk(2, -1)
        return keys * self.scale, values

    def attend(self, queries: Tensor, read: Read, mask: Tensor, looking: bool) -> tuple[Tensor, Tensor | None]:
        """Mixtures ... x H x T x I of what is read, and if anybody is ``looking`` the weights, ... x H x T x S."""
        dtype = read.values.dtype
        queries = queries.to(dtype).expand(*read.keys.shape[:-2], *queries.shape[-2:])
        if not looking:
            return mixed(queries, read.keys.contiguous(), read.values.contiguous(), mask, 1.0), None
        weights = weighed(queries, read.keys, mask, self.normaliser)
        return weights.to(dtype) @ read.values, weights

    def joined(self, mixture: Tensor, run: Pass) -> Tensor:
        """[head_1; ...; head_h] W^O of ... x T x H x I."""
        return run.map(self.output).product(mixture.flatten(-2))


class HierarchicalContext(nn.Module):
    """For a state h_t and the states H^j of each of K sentences before it: s^j = MultiHead(f_w(h_t), H^j, H^j);
    d_t = FFN(MultiHead(f_s(h_t), S, S)) with S = [s^1; ...; s^K]; lambda_t = sigmoid(W_h h_t + W_d d_t + b);
    h~_t = lambda_t h_t + (1 - lambda_t) d_t (Miculicich et al. 2018, 3.1 and 3.2; b is not in the paper: with it the gate
    starts open to h_t). Where no sentence stands before, h~_t = h_t.
    """

    def __init__(self, model: ModelConfig, config: ContextConfig) -> None:
        super().__init__()
        size, numbers = model.hidden_size, config.numbers
        self.sentences_before = numbers.sentences
        self.words, self.sentences = Level(size, numbers.heads), Level(size, numbers.heads)
        sizes = {"feed_forward_size": numbers.feed_forward_size, "feed_forward_dropout": 0.0}
        self.feed_forward = FeedForward(model.model_copy(update=sizes))
        self.dropout = Dropout(model.dropout)
        self.by_state = Linear(size, size, bias=False)
        self.by_context = Linear(size, size)

    def open_gate(self) -> None:
        """Let the gate keep nearly all of a state, as it does before training."""
        nn.init.constant_(self.by_context.bias, OPEN)

    def prepare(self, context: Source, run: Pass) -> Memory:
        """Keys and values of the words before each sentence, of each different sentence computed once: for K sentences, H heads
        and L words, K x H x L of them side by side, as products take them; and the mask of K x L words."""
        assert context.before_BK is not None
        index_BK = context.before_BK
        batch, there_M = index_BK.shape[0], (index_BK >= 0).flatten()
        chosen_M = index_BK.clamp(min=0).flatten()

        def of_heads(x_NLD: Tensor) -> Tensor:
            x_NHLI = x_NLD.unflatten(-1, (self.words.heads, -1)).transpose(1, 2)
            chosen_MHLI: Tensor = x_NHLI.index_select(0, chosen_M)
            return chosen_MHLI.reshape(batch, -1, chosen_MHLI.shape[3])

        keys, values = map(of_heads, self.words.keys_values(context.states_BSE, run))
        mask_ML = context.mask_BS.index_select(0, chosen_M) & there_M[:, None]
        heads, nothing_B0 = self.words.heads, keys[:, 0, :0]
        return Memory(HeadValues(values, heads), HeadKeys(keys, heads), mask_ML.view(batch, -1), nothing_B0)

    def forward(self, h_RTD: Tensor, memory: Memory, run: Pass) -> tuple[Tensor, Look]:
        """States that know the sentences before, and where they looked: at which words of these, all K x L side by side. The
        weights of a sentence's words sum to the weight of the sentence."""
        assert isinstance(memory.keys, HeadKeys)
        assert isinstance(memory.values, HeadValues)
        # Rows of a search that translate the same sentence are steps of one row here.
        batch, rows = memory.keys.plain.shape[0], h_RTD.shape[0]
        h_BTD = h_RTD.reshape(batch, -1, h_RTD.shape[2])
        mask_BKL = memory.mask_BS[:: rows // batch].unflatten(1, (self.sentences_before, -1))
        there_BK = mask_BKL.any(-1)
        words_BKTD, by_word = self._words(h_BTD, memory, mask_BKL, there_BK, run)
        d_BTD, by_sentence = self._sentences(h_BTD, words_BKTD, there_BK, run)
        kept_BTD = self._gate(h_BTD, d_BTD, run)
        new_BTD = (kept_BTD * precise(h_BTD) + (1 - kept_BTD) * precise(d_BTD)).to(h_BTD.dtype)
        any_B11 = there_BK.any(-1)[:, None, None]
        new_RTD = torch.where(any_B11, new_BTD, h_BTD).view(h_RTD.shape)
        if by_word is None or by_sentence is None:
            return new_RTD, Look(h_RTD[..., :0])
        weights_BTKL = by_sentence[..., None] * by_word.transpose(1, 2) * any_B11[..., None]
        kept_BT = torch.where(any_B11[..., 0], kept_BTD.mean(-1), 1.0)
        return new_RTD, Look(weights_BTKL.reshape(rows, h_RTD.shape[1], -1), kept_BT=kept_BT.reshape(rows, -1))

    def _words(
        self, h_BTD: Tensor, memory: Memory, mask_BKL: Tensor, there_BK: Tensor, run: Pass
    ) -> tuple[Tensor, Tensor | None]:
        """s^j for each step and sentence before, B x K x T x D, and the weights of its words, B x K x T x L (the means of the
        heads). Those of a sentence that is not there mean nothing."""
        assert isinstance(memory.keys, HeadKeys)
        assert isinstance(memory.values, HeadValues)
        batch, sentences, length = mask_BKL.shape

        read = Read(*(x.plain.view(batch, sentences, x.heads, length, -1) for x in (memory.keys, memory.values)))
        queries_B1HTI = self.words.queries(h_BTD, run).transpose(1, 2)[:, None]
        # A sentence that is not there is seen as if its first word were real: a softmax over nothing would be NaN.
        first_L = torch.arange(length, device=mask_BKL.device) == 0
        seen_BKL = mask_BKL | (~there_BK[..., None] & first_L)
        mixture_BKHTI, weights = self.words.attend(queries_B1HTI, read, seen_BKL[:, :, None, None], run.inward)
        joined_BKTD = self.words.joined(mixture_BKHTI.transpose(2, 3), run)
        return joined_BKTD, None if weights is None else weights.mean(2)

    def _sentences(
        self, h_BTD: Tensor, words_BKTD: Tensor, there_BK: Tensor, run: Pass
    ) -> tuple[Tensor, Tensor | None]:
        """d_t for each step, and the weights of the sentences, B x T x K (the means of the heads)."""
        keys, values = (
            x_BKTD.unflatten(-1, (self.sentences.heads, -1)).permute(0, 2, 3, 1, 4)
            for x_BKTD in self.sentences.keys_values(words_BKTD, run)
        )
        queries_BTH1I = self.sentences.queries(h_BTD, run)[..., None, :]
        seen_BK = there_BK | ~there_BK.any(-1, keepdim=True)
        mask = seen_BK[:, None, None, None]
        mixture_BTH1I, weights = self.sentences.attend(queries_BTH1I, Read(keys, values), mask, run.inward)
        joined_BTD = self.sentences.joined(mixture_BTH1I.squeeze(-2), run)
        d_BTD = self.dropout(self.feed_forward(joined_BTD, run))
        return d_BTD, None if weights is None else weights.squeeze(-2).mean(2)

    def _gate(self, h_BTD: Tensor, d_BTD: Tensor, run: Pass) -> Tensor:
        """lambda_t, a number for each dimension."""
        by_state = precise(run.map(self.by_state).product(h_BTD))
        return (by_state + precise(run.map(self.by_context).product(d_BTD))).sigmoid()


def is_of_context(parameter: str) -> bool:
    """Whether a parameter of this name belongs to hierarchical attention to the sentences before."""
    return "han" in parameter.split(".")
