"""The likelihood of a target when each step looks at a single source position, summed over all positions it may look
at."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.loss import CHUNK, Loss
from seq2seq_cli.model.maps import Pass
from seq2seq_cli.model.products import precise
from seq2seq_cli.model.types import DecoderOutput, Steps


def marginal_cross_entropy(forced: Forced) -> Loss:
    """Label-smoothed cross-entropy of p(y_t) = sum_s a_t(s) p(y_t | s) (Wu, Shapiro & Cotterell 2018): a_t(s) are the
    chances of the decoder's attention, and p(y_t | s) is what the step predicts when it sees position s alone. It costs
    S readouts a target token.

    Only for decoders in which no step needs to know where earlier steps looked.
    """
    chances_BTS = forced.output.shown.chances_BTS
    assert chances_BTS is not None
    rows_R, positions_R = ((chances_BTS > 0) & forced.target.real_BT[..., None]).any(1).nonzero(as_tuple=True)
    # A memory of one position: its weight is one, and its state the context.
    alone = forced.memories.select(rows_R).pick(positions_R[:, None])
    read_RTI, state = forced.embedded_BTI.index_select(0, rows_R), forced.state.select(rows_R)
    seen: DecoderOutput = forced.decoder(read_RTI, alone, state, forced.run)
    smoothed, nll = [], []
    for row, real_T in enumerate(forced.target.real_BT):
        branches, steps = (rows_R == row).nonzero().squeeze(1), real_T.nonzero().squeeze(1)
        if not len(branches):  # it has ended before these steps
            continue
        features_PTF = seen.features_BTF.index_select(0, branches).index_select(1, steps)
        chances_PT = chances_BTS[row].index_select(0, steps).index_select(1, positions_R[branches]).T
        target_T = forced.target.says_BT[row].index_select(0, steps)
        span = max(1, CHUNK // len(branches))
        for part in zip(features_PTF.split(span, 1), chances_PT.split(span, 1), target_T.split(span), strict=True):
            both: Tensor = checkpoint(_cross_entropies, forced, *part, use_reentrant=False)
            smoothed.append(both[0])
            nll.append(both[1].detach())
    return Loss(torch.stack(smoothed).sum(), torch.stack(nll).sum())


def _cross_entropies(forced: Forced, features_PTF: Tensor, chances_PT: Tensor, target_T: Tensor) -> Tensor:
    """Smoothed and plain cross-entropies of some steps of one sentence, each step with P positions to look at."""
    # A pass of its own: its maps are made anew when the backward pass computes this again, so that no call leaves anything
    # for the gradient of another.
    log_probs_PTV = forced.readout.log_probs(Steps(features_PTF), Pass(forced.run.dtype))
    # A chance of zero has no finite logarithm, and no finite gradient of it.
    log_chances_PT = precise(chances_PT).clamp(min=torch.finfo(chances_PT.dtype).tiny).log()
    log_probs_TV = (log_probs_PTV + log_chances_PT[..., None]).logsumexp(0)
    nll = -log_probs_TV.gather(1, target_T[:, None]).sum()
    return torch.stack([(1 - forced.smoothing) * nll - forced.smoothing * log_probs_TV.mean(-1).sum(), nll])
