"""The encoder of a Transformer."""

from torch import Tensor, nn

from seq2seq_cli.config.model import ModelConfig
from seq2seq_cli.config.self_attention import SelfAttentionConfig
from seq2seq_cli.model.layers.self_attention import SelfAttention
from seq2seq_cli.model.layers.sublayers import Entry, FeedForward, Residual
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.packing import Packing
from seq2seq_cli.model.types import Look, Source


class TransformerEncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network (Vaswani et al. 2017, 3.1; pre-norm: Xiong et al. 2020)."""

    def __init__(self, config: ModelConfig, itself: SelfAttentionConfig) -> None:
        super().__init__()
        rotary = config.numbers.positions == "rotary"
        self.attending, self.feeding = Residual(config), Residual(config)
        self.self_attention = SelfAttention(config.hidden_size, itself, causal=False, rotary=rotary)
        self.feed_forward = FeedForward(config)

    def forward(self, x_ND: Tensor, packing: Packing, mask_BS: Tensor, run: Pass) -> tuple[Tensor, Look]:
        part_ND, look = self.self_attention.whole(self.attending.norm(x_ND), packing, mask_BS, run)
        x_ND = self.attending.add(x_ND, part_ND)
        return self.feeding.add(x_ND, self.feed_forward(self.feeding.norm(x_ND), run)), look


class TransformerEncoder(nn.Module):
    """Layers of self-attention: embedded_BSI -> states_BSD. The summary is the mean of the states.

    Padding is left out of all that is done position by position (15% of a batch sorted by target lengths), and its states are
    zero.
    """

    bounded = False

    def __init__(self, config: ModelConfig, itself: SelfAttentionConfig) -> None:
        super().__init__()
        self.output_size = config.hidden_size
        self.entry = Entry(config)
        self.layers = nn.ModuleList(TransformerEncoderLayer(config, itself) for _ in range(config.encoder_depth))
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, embedded_BSI: Tensor, mask_BS: Tensor, run: Pass) -> Source:
        packing, looks = Packing.real(mask_BS), []
        x_ND = packing.packed(self.entry(embedded_BSI, 0, run))
        for layer in self.layers:
            x_ND, look = layer(x_ND, packing, mask_BS, run)
            looks.append(look)
        states_BSD = packing.spread(self.norm(x_ND))
        real_BS1 = mask_BS[..., None].to(states_BSD.dtype)
        summary_BD = (states_BSD * real_BS1).sum(1) / real_BS1.sum(1)
        return Source(states_BSD, summary_BD, mask_BS, looks=tuple(looks))
