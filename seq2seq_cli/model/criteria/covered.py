"""The coverage loss: what it costs to look again at what was looked at before."""

from torch import Tensor

from seq2seq_cli.model.products import precise


def coverage_loss(weights_BTS: Tensor, real_BT: Tensor) -> Tensor:
    """sum_t sum_s min(a_t(s), c_t(s)), where c_t is the sum of the attention weights of the steps before t (See, Liu & Manning
    2017, 2.3), summed over the batch. Only real steps count."""
    weights_BTS = precise(weights_BTS) * real_BT[..., None]
    covered_BTS = weights_BTS.cumsum(1) - weights_BTS
    return weights_BTS.minimum(covered_BTS).sum()
