"""The whole model: embeddings, encoder, decoder, output."""

import math
from copy import copy
from typing import Self

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.inputs import TEXT, Batch, Inputs, Target
from seq2seq_cli.model.criteria.covered import coverage_loss
from seq2seq_cli.model.criteria.guidance import guidance_loss
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.forced import Criterion, Forced
from seq2seq_cli.model.loss import Loss
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import compute_dtype
from seq2seq_cli.model.readout import Readout
from seq2seq_cli.model.types import Encoder, Sources, Start


class Seq2Seq(nn.Module):
    """An encoder-decoder over token ids.

    ``source_embedding``, ``target_embedding`` and the readout's embedding may be one object.
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
    ) -> None:
        super().__init__()
        self.encoder = encoder
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
        tokens_BS, mask_BS = inputs.text
        text = self.encoder(self._embed(self.source_embedding, tokens_BS), mask_BS, run)
        return {TEXT: text._replace(tokens_BS=tokens_BS)}

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
    if "embedding" in name:
        return 3
    return 2 if ".bridge." in name else int(name.startswith("readout."))
