"""Learning where to look from positions that were drawn (Williams 1992)."""

import torch
from torch import Tensor

from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.loss import Loss
from seq2seq_cli.model.types import SHOWN, Look


def reinforced(forced: Forced) -> Loss:
    """Cross-entropy given the positions that the attention has drawn, plus the term that teaches it to draw better: its
    gradient is that of log p(y | s) + sum_t (R_t - b_t) log a_t(s_t), where the reward R_t = sum_{j>=t} log p(y_j | s)
    is the log-likelihood of all that followed the choice (Xu et al. 2015, 4.1). The baseline b_t learns to predict R_t
    by least squares. Of several layers each draws where it looks, and has a baseline of its own.

    In evaluation nothing is drawn, and this is the cross-entropy alone.
    """
    if not forced.decoder.training:
        return forced.cross_entropy()
    smoothed, nll_N = forced.cross_entropies()
    log_prob_BT = nll_N.new_zeros(forced.target.real_BT.shape).masked_scatter(forced.target.real_BT, -nll_N)
    return_BT = log_prob_BT.flip(1).cumsum(1).flip(1)
    parts = [
        _of_a_layer(looks[SHOWN], return_BT, forced.target.real_BT) for looks in forced.output.looks if SHOWN in looks
    ]
    return Loss(smoothed + torch.stack(parts).sum(), nll_N.sum())


def _of_a_layer(look: Look, return_BT: Tensor, real_BT: Tensor) -> Tensor:
    """What teaches a layer to draw, and its baseline what follows."""
    assert look.chances_BTS is not None
    assert look.baseline_BT is not None
    surprise_N = (return_BT - look.baseline_BT).masked_select(real_BT)
    # Padding steps draw as well; these draws are left out.
    chosen_N = (look.chances_BTS * look.weights_BTS).sum(-1).masked_select(real_BT).log()
    return -(surprise_N.detach() * chosen_N).sum() + surprise_N.square().sum() / 2
