"""The whole model: embeddings, encoder, decoder, output."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq_cli.config import ModelConfig
from seq2seq_cli.model.decoder import Decoder
from seq2seq_cli.model.dropout import Dropout
from seq2seq_cli.model.encoder import Encoder, Layers
from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.int8 import INT8
from seq2seq_cli.model.loss import Loss, guidance_loss
from seq2seq_cli.model.products import compute_dtype
from seq2seq_cli.model.recurrence import StepWeights
from seq2seq_cli.model.steps import OWN, PLAIN, AttentionWeights, Map
from seq2seq_cli.model.types import DecoderState, EncoderOutput, Memory, precise


class SearchWeights(NamedTuple):
    """The weights of a search, made ready once: of every step, and of what comes before the first (``layers`` of the
    encoder; None: its own)."""

    steps: StepWeights
    readout: Map | None
    output: Map
    attention: AttentionWeights
    layers: Layers | None


class Seq2Seq(nn.Module):
    """An encoder-decoder over token ids.

    ``source_embedding``, ``target_embedding`` and ``output_embedding`` (what the readout is compared with) may be
    one and the same.
    """

    def __init__(
        self,
        config: ModelConfig,
        encoder: Encoder,
        decoder: Decoder,
        source_embedding: nn.Embedding,
        target_embedding: nn.Embedding,
        output_embedding: nn.Embedding,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.source_embedding = source_embedding
        self.target_embedding = target_embedding
        self.output_embedding = output_embedding
        self.output_bias = nn.Parameter(torch.zeros(output_embedding.num_embeddings))
        self.dropout = Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in [-0.1, 0.1] (Luong, Pham & Manning 2015, 4.1), more where a matrix has n < 300 inputs, so that
        its outputs are no smaller than they: within (3/n)^1/2, of variance 1/n (LeCun et al. 1998, 4.6). Biases zero.

        Measured on Multi30k: attention forms in fewer steps than from Glorot's, orthogonal and smaller
        embedding weights (dev BLEU after one epoch 8.1 against 5.9).
        """
        for parameter in self.parameters():
            if parameter.dim() > 1:
                bound = max(0.1, (3 / parameter.shape[1]) ** 0.5)
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.zeros_(parameter)

    def encode(
        self, src_BS: Tensor, mask_BS: Tensor, weights: SearchWeights | None = None
    ) -> tuple[EncoderOutput, Memory]:
        """The encoder's output, and the memory that attention reads."""
        encoded = self.encoder(self._embed(self.source_embedding, src_BS), mask_BS, weights and weights.layers)
        encoded = encoded._replace(tokens_BS=src_BS)
        return encoded, self.decoder.attention.prepare(encoded, weights.attention if weights else OWN)

    def start(
        self, src_BS: Tensor, mask_BS: Tensor, weights: SearchWeights | None = None
    ) -> tuple[Memory, DecoderState]:
        """The memory and the decoder's state before the first step."""
        encoded, memory = self.encode(src_BS, mask_BS, weights)
        return memory, self.decoder.initial_state(encoded, memory)

    def loss(
        self,
        src_BS: Tensor,
        mask_BS: Tensor,
        reads_BT: Tensor,
        target_BT: Tensor,
        real_BT: Tensor,
        smoothing: float,
        guide_BTS: Tensor | None = None,
    ) -> Loss:
        """Sums over the real target tokens; ``reads_BT`` is what each step reads (teacher forcing), ``guide_BTS`` where
        its attention is to lie."""
        forced = self._forced(*self.start(src_BS, mask_BS), reads_BT, target_BT, real_BT, smoothing)
        loss = self.decoder.attention.objective(forced)
        if guide_BTS is None:
            return loss
        return loss._replace(guidance=guidance_loss(forced.output.attended.soft_BTS, guide_BTS))

    def nll(
        self,
        src_BS: Tensor,
        mask_BS: Tensor,
        reads_BT: Tensor,
        target_BT: Tensor,
        real_BT: Tensor,
        most_cells: int | None = None,
    ) -> Tensor:
        """Negative log-likelihood of the real target tokens, summed; without gradients. So many steps at a time that B x T x S,
        which memory grows with, stays within ``most_cells``, where one step does."""
        memory, state = self.start(src_BS, mask_BS)
        span = reads_BT.shape[1] if most_cells is None else max(1, most_cells // src_BS.numel())
        total = torch.zeros((), device=src_BS.device)
        for reads_BU, target_BU, real_BU in zip(
            *(x.split(span, 1) for x in (reads_BT, target_BT, real_BT)), strict=True
        ):
            forced = self._forced(memory, state, reads_BU, target_BU, real_BU)
            total, state = total + self.decoder.attention.objective(forced).nll, forced.output.state
        return total

    def candidate_log_probs(
        self, src_BS: Tensor, mask_BS: Tensor, rows_R: Tensor, reads_RT: Tensor, target_RT: Tensor, real_RT: Tensor
    ) -> Tensor:
        """log_prob_R of R translations, of which each one's source is given by its row in ``src_BS``, ``rows_R``; with
        gradients. A source is encoded once. Steps that are not real are not counted."""
        memory, state = self.start(src_BS, mask_BS)
        return self._forced(memory.select(rows_R), state.select(rows_R), reads_RT, target_RT, real_RT).log_probs()

    def _forced(
        self,
        memory: Memory,
        state: DecoderState,
        reads_BT: Tensor,
        target_BT: Tensor,
        real_BT: Tensor,
        smoothing: float = 0.0,
    ) -> Forced:
        return Forced(
            decoder=self.decoder,
            readout=self.readout,
            output_VR=self.output_embedding.weight,
            output_V=self.output_bias,
            embedded_BTI=self.embed(reads_BT),
            memory=memory,
            state=state,
            target_BT=target_BT,
            real_BT=real_BT,
            smoothing=smoothing,
        )

    def embed(self, tokens_BT: Tensor) -> Tensor:
        return self._embed(self.target_embedding, tokens_BT)

    def _embed(self, embedding: nn.Embedding, tokens_BL: Tensor) -> Tensor:
        embedded_BLI: Tensor = self.dropout(embedding(tokens_BL).to(compute_dtype(embedding.weight)))
        return embedded_BLI

    def readout(self, features_NF: Tensor) -> Tensor:
        """From the decoder's features, real tokens only, to what the vocabulary is projected from."""
        return self.decoder.wiring.read_out(features_NF, self.decoder.wiring.readout_map(PLAIN))

    def search_weights(self, in_int8: bool) -> SearchWeights:
        """The weights for steps of search, in the precision of the products or in 8-bit integers."""
        make, wiring = INT8 if in_int8 else PLAIN, self.decoder.wiring
        output = make.free(self.output_embedding.weight, self.output_bias)
        attention = self.decoder.attention.search_weights(make)
        # In other formats oneDNN's own layers are as fast or faster.
        layers = self.encoder.stepped(make) if in_int8 else None
        return SearchWeights(wiring.step_weights(make), wiring.readout_map(make), output, attention, layers)

    def logits(self, features_NF: Tensor, weights: SearchWeights) -> Tensor:
        """What softmax makes p(y_t | y_<t, x) of, over the vocabulary."""
        return weights.output.product(self.decoder.wiring.read_out(features_NF, weights.readout))

    def log_probs(self, features_NF: Tensor) -> Tensor:
        """log p(y_t | y_<t, x) over the vocabulary, in float32 or better."""
        return precise(self.logits(features_NF, self.search_weights(in_int8=False))).log_softmax(-1)

    def parameter_count(self) -> int:
        """Numbers learned; a shared matrix counts once."""
        return sum(math.prod(parameter.shape) for parameter in self.parameters())
