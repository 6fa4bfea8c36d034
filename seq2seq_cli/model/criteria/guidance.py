"""Attention that is to lie where word links say."""

from torch import Tensor

from seq2seq_cli.model.products import precise

FLOOR = 1e-20
"""Smaller weights count as this: the guidance stays finite, at most 46 nats a target piece, and so do its gradients,
float16's loss scale included."""


def guidance_loss(weights_BTS: Tensor, guide_BTS: Tensor) -> Tensor:
    """Cross-entropy of attention weights under those that word links ask for, summed, in nats: -sum g log a (Chen,
    Matusov, Khadivi & Peter 2016, 3). A row of zeros in ``guide_BTS`` asks for nothing.

    Weights are taken as they are, whether or not they sum to one: those of local-p then draw their p_t to the links as
    well. What no window shows has a weight of zero and no gradient.
    """
    return -(guide_BTS * precise(weights_BTS).clamp(min=FLOOR).log()).sum()
