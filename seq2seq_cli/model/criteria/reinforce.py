"""Learning where to look from positions that were drawn (Williams 1992)."""

from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.loss import Loss


def reinforced(forced: Forced) -> Loss:
    """Cross-entropy given the positions that the attention has drawn, plus the term that teaches it to draw better: its
    gradient is that of log p(y | s) + sum_t (R_t - b_t) log a_t(s_t), where the reward R_t = sum_{j>=t} log p(y_j | s)
    is the log-likelihood of all that followed the choice (Xu et al. 2015, 4.1). The baseline b_t learns to predict R_t
    by least squares.

    In evaluation nothing is drawn, and this is the cross-entropy alone.
    """
    if not forced.decoder.training:
        return forced.cross_entropy()
    smoothed, nll_N = forced.cross_entropies()
    look = forced.output.shown
    assert look.chances_BTS is not None
    assert look.baseline_BT is not None
    log_prob_BT = nll_N.new_zeros(forced.target.real_BT.shape).masked_scatter(forced.target.real_BT, -nll_N)
    return_BT = log_prob_BT.flip(1).cumsum(1).flip(1)
    surprise_N = (return_BT - look.baseline_BT).masked_select(forced.target.real_BT)
    # Padding steps draw as well; these draws are left out.
    chosen_N = (look.chances_BTS * look.weights_BTS).sum(-1).masked_select(forced.target.real_BT).log()
    estimate = -(surprise_N.detach() * chosen_N).sum() + surprise_N.square().sum() / 2
    return Loss(smoothed + estimate, nll_N.sum())
