"""The whole model: embeddings, encoder, decoder, output."""

import math
from copy import copy
from typing import Self

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.inputs import TEXT, Batch, Inputs, Padded, Target
from seq2seq_cli.model.criteria.covered import coverage_loss
from seq2seq_cli.model.criteria.guidance import guidance_loss
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.forced import Criterion, Forced
from seq2seq_cli.model.hierarchical_context import HierarchicalContext, is_of_context
from seq2seq_cli.model.layers.context import SAID
from seq2seq_cli.model.loss import Loss
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import compute_dtype
from seq2seq_cli.model.readout import Readout
from seq2seq_cli.model.types import DecoderOutput, Encoder, Source, Sources, Start

PARTS, FEWEST_IN_PARTS = 3, 12
"""Into how many parts the sentences before a batch are divided to be encoded, and how many there must be for that to pay."""


class Seq2Seq(nn.Module):
    """An encoder-decoder over token ids.

    ``source_embedding``, ``target_embedding`` and the readout's embedding may be one object. ``han``: how the encoder's states
    look back at the sentences before, if they do.
    """

    def __init__(
        self,
        config: ModelConfig,
        encoder: Encoder,
        decoder: Decoder,
        readout: Readout,
        source_embedding: nn.Embedding,
        target_embedding: nn.Embedding,
        criterion: Criterion,
        han: HierarchicalContext | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.han = han
        self.decoder = decoder
        self.source_embedding = source_embedding
        self.target_embedding = target_embedding
        self.readout = readout
        self.criterion = criterion
        self.dropout = Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights uniformly from [-0.1, 0.1] (Luong, Pham & Manning 2015, 4.1). A matrix with n < 300 inputs gets
        more, so that its outputs are no smaller than its inputs: [-b, b] with b = (3/n)^1/2, of variance 1/n (LeCun et
        al. 1998, 4.6). Biases are zero.

        Measured on Multi30k: attention forms in fewer steps than with Glorot's initialisation, orthogonal matrices and
        smaller embeddings (dev BLEU after one epoch 8.1 against 5.9).
        """
        for _, parameter in sorted(self.named_parameters(), key=lambda named: _turn(named[0])):
            if parameter.dim() > 1:
                bound = max(0.1, (3 / parameter.shape[1]) ** 0.5)
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.zeros_(parameter)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
            if isinstance(module, HierarchicalContext):
                module.open_gate()

    def read_out_by(self, readout: Readout) -> Self:
        """The same model, with the same parameters, and another readout."""
        same = copy(self)
        same._modules = {**self._modules, "readout": readout}
        return same

    def new_pass(
        self, stepping: bool = False, in_int8: bool = False, looking: bool = True, inward: bool = False
    ) -> Pass:
        """A pass for one forward pass or one search with this model, in the precision that products have here and
        now. ``looking``: whether weights of the attention are wanted; those that the readout reads are there anyway."""
        looking = looking or self.readout.looks
        return Pass(compute_dtype(self.target_embedding.weight), stepping, in_int8, looking, inward)

    def encode(self, inputs: Inputs, run: Pass) -> Sources:
        """The encoded sources."""
        text = self._encoded(inputs.text, run)
        if inputs.before is None:
            return {TEXT: text}
        context = self._encoded_by_length(inputs.before.text, run)._replace(before_BK=inputs.before.index_BK)
        sources = {TEXT: text if self.han is None else self._looked_back(text, context, run)}
        if inputs.before.said is not None:
            sources[SAID] = self._said(context, inputs.before.said, run)
        return sources

    def _encoded(self, source: Padded, run: Pass) -> Source:
        embedded_BSI = self._embed(self.source_embedding, source.ids_BL)
        return self.encoder(embedded_BSI, source.mask_BL, run)._replace(tokens_BS=source.ids_BL)

    def _encoded_by_length(self, source: Padded, run: Pass) -> Source:
        """The same in a few parts, of sentences of similar length. Those before a batch are of any length, and an RNN takes as
        long for padding as for words."""
        if source.ids_BL.shape[0] < FEWEST_IN_PARTS:
            return self._encoded(source, run)
        lengths_N, positions = source.mask_BL.sum(1), source.ids_BL.shape[1]
        order_N = lengths_N.argsort(descending=True, stable=True)
        parts = []
        for rows in order_N.chunk(PARTS):
            longest = int(lengths_N[rows].max())
            part = self._encoded(Padded(*(x_NL.index_select(0, rows)[:, :longest] for x_NL in source)), run)
            states = nn.functional.pad(part.states_BSE, (0, 0, 0, positions - longest))
            parts.append(part._replace(states_BSE=states))
        back_N = order_N.argsort()
        states, summary = (
            torch.cat(tensors).index_select(0, back_N)
            for tensors in zip(*((part.states_BSE, part.summary_BE) for part in parts), strict=True)
        )
        return Source(states, summary, source.mask_BL, source.ids_BL)

    def _looked_back(self, text: Source, context: Source, run: Pass) -> Source:
        """The text, whose states have looked at the sentences before. Its summary does as if it were one more position."""
        assert self.han is not None
        summary_B1E = text.summary_BE[:, None].to(text.states_BSE.dtype)
        memory = self.han.prepare(context, run)
        new_BPE, look = self.han(torch.cat([text.states_BSE, summary_B1E], 1), memory, run)
        states_BSE, summary_BE = new_BPE[:, :-1], new_BPE[:, -1].to(text.summary_BE.dtype)
        return text._replace(states_BSE=states_BSE, summary_BE=summary_BE, back=look)

    def _said(self, context: Source, said: Target, run: Pass) -> Source:
        """The decoder's states of the translations before, as if nothing stood before these themselves. They are read, and not
        taught: no gradient goes through them."""
        device = said.says_BT.device.type
        # What autocast and a pass keep of the weights would have no gradient either.
        own = self.new_pass(looking=False) if torch.is_grad_enabled() else run
        dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        with torch.no_grad(), torch.autocast(device, dtype, enabled=enabled, cache_enabled=False):
            start = self.begin({TEXT: context}, own)
            output: DecoderOutput = self.decoder(self.embed(said.reads_BT), start.memories, start.state, own)
        states_NTD = output.features_BTF[..., : context.states_BSE.shape[-1]]
        return Source(states_NTD, states_NTD[:, 0, :0], said.real_BT, before_BK=context.before_BK)

    def start(self, inputs: Inputs, run: Pass) -> Start:
        """What the decoder's layers read of the sources, and the decoder's state before the first step."""
        return self.begin(self.encode(inputs, run), run)

    def begin(self, sources: Sources, run: Pass) -> Start:
        """The same of sources that are encoded."""
        memories = self.decoder.prepare(sources, run)
        return Start(memories, self.decoder.begin(sources, memories, run))

    def forced(self, target: Target, start: Start, run: Pass, smoothing: float = 0.0) -> Forced:
        """Forced decoding (teacher forcing): each step reads what ``target`` gives it. ``target`` has a row for each
        row of ``start``."""
        return Forced(
            run=run,
            decoder=self.decoder,
            readout=self.readout,
            embedded_BTI=self.embed(target.reads_BT),
            memories=start.memories,
            state=start.state,
            target=target,
            smoothing=smoothing,
        )

    def loss(self, batch: Batch, smoothing: float, covering: bool = False) -> Loss:
        """The loss summed over the real target tokens, with labels smoothed by ``smoothing``; the guidance where attention is
        guided, and the coverage loss where it is wanted (``covering``)."""
        watched = covering or batch.guide_BTS is not None
        run = self.new_pass(looking=self._criterion_looks or watched)
        forced = self.forced(batch.target, self.start(batch, run), run, smoothing)
        loss = self.criterion(forced)
        if covering:
            loss = loss._replace(coverage=coverage_loss(forced.output.shown.soft_BTS, batch.target.real_BT))
        if batch.guide_BTS is not None:
            loss = loss._replace(guidance=guidance_loss(forced.output.shown.soft_BTS, batch.guide_BTS))
        return loss

    @property
    def _criterion_looks(self) -> bool:
        """Whether the loss depends on where steps looked, beyond what the readout reads of it."""
        return self.criterion is not Forced.cross_entropy

    @torch.no_grad()
    def nll(self, batch: Batch, most_cells: int | None = None) -> Tensor:
        """Negative log-likelihood of the real target tokens, summed, in nats; without gradients. Memory grows with B x
        T x S: ``most_cells`` limits it, by taking fewer steps at a time (but at least one)."""
        run = self.new_pass(looking=self._criterion_looks)
        src_BS, steps = batch.text.ids_BL, batch.target.says_BT.shape[1]
        start = self.start(batch, run)
        span = steps if most_cells is None else max(1, most_cells // src_BS.numel())
        total = torch.zeros((), device=src_BS.device)
        for target in batch.target.split(span):
            forced = self.forced(target, start, run)
            total, start = total + self.criterion(forced).nll, start._replace(state=forced.output.state)
        return total

    def candidate_log_probs(self, inputs: Inputs, rows_R: Tensor, target: Target) -> Tensor:
        """log_prob_R of R translations, with gradients; ``rows_R`` gives the row of ``inputs`` that each one
        translates. Each source is encoded once. Padding steps do not count."""
        run = self.new_pass()
        return self.forced(target, self.start(inputs, run).select(rows_R), run).log_probs()

    def embed(self, tokens_BT: Tensor) -> Tensor:
        return self._embed(self.target_embedding, tokens_BT)

    def _embed(self, embedding: nn.Embedding, tokens_BL: Tensor) -> Tensor:
        embedded_BLI: Tensor = self.dropout(embedding(tokens_BL).to(compute_dtype(embedding.weight)))
        return embedded_BLI

    def parameter_count(self) -> int:
        """How many numbers are learned; a shared matrix counts once."""
        return sum(math.prod(parameter.shape) for parameter in self.parameters())


def _turn(name: str) -> int:
    """When a parameter is drawn: in the order from the time when the model was a single module, so that a seed goes on
    giving the same model."""
    if is_of_context(name):  # last, so that all else is as without it
        return 4
    if "embedding" in name:
        return 3
    return 2 if ".bridge." in name else int(name.startswith("readout."))
