"""Guided attention: a loss that draws attention to where word links say."""

from torch import Tensor

from seq2seq_cli.model.products import precise

FLOOR = 1e-20
"""Smaller weights count as this one. So the guidance is at most 46 nats a target piece, and its gradients are finite,
even multiplied by float16's loss scale."""


def guidance_loss(weights_BTS: Tensor, guide_BTS: Tensor) -> Tensor:
    """Cross-entropy of the attention weights a against the weights g that word links ask for: -sum g log a, summed over
    the batch, in nats (Chen, Matusov, Khadivi & Peter 2016, 3). A row of zeros in ``guide_BTS`` asks for nothing.

    Weights are taken as they are, whether or not they sum to one. So the weights of local-p draw its p_t to the links
    as well. A position outside of the window has a weight of zero and no gradient.
    """
    return -(guide_BTS * precise(weights_BTS).clamp(min=FLOOR).log()).sum()
