"""The likelihood of a target of which each step looks at one source position, whichever it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seq2seq_cli.model.loss import CHUNK, Loss
from seq2seq_cli.model.types import DecoderOutput, precise

if TYPE_CHECKING:
    from seq2seq_cli.model.forced import Forced


def marginal_cross_entropy(forced: Forced) -> Loss:
    """Label-smoothed cross-entropy of p(y_t) = sum_s a_t(s) p(y_t | s), a_t(s) the chances of the decoder's attention and
    p(y_t | s) what the step says where it sees position s alone.

    No step may need to know where those before it looked.
    """
    chances_BTS = forced.output.attended.chances_BTS
    assert chances_BTS is not None
    rows_R, positions_R = ((chances_BTS > 0) & forced.real_BT[..., None]).any(1).nonzero(as_tuple=True)
    # A memory of one position: its weight is one, and its state the context.
    alone = forced.memory.select(rows_R).pick(positions_R[:, None])
    seen: DecoderOutput = forced.decoder(forced.embedded_BTI[rows_R], alone, forced.state.select(rows_R))
    smoothed, nll = [], []
    for row, real_T in enumerate(forced.real_BT):
        branches = (rows_R == row).nonzero().squeeze(1)
        if not len(branches):  # it has ended before these steps
            continue
        features_PTF = seen.features_BTF[branches][:, real_T]
        chances_PT = chances_BTS[row, real_T][:, positions_R[branches]].T
        span = max(1, CHUNK // len(branches))
        for part in torch.arange(features_PTF.shape[1], device=rows_R.device).split(span):
            both: Tensor = checkpoint(
                _cross_entropies, forced, features_PTF[:, part], chances_PT[:, part], forced.target_BT[row, real_T][part],
                use_reentrant=False,
            )  # fmt: skip
            smoothed.append(both[0])
            nll.append(both[1].detach())
    return Loss(torch.stack(smoothed).sum(), torch.stack(nll).sum())


def _cross_entropies(forced: Forced, features_PTF: Tensor, chances_PT: Tensor, target_T: Tensor) -> Tensor:
    """Smoothed and plain, of some steps of a sentence, each from P positions."""
    rows_PTR = forced.readout(features_PTF.flatten(0, 1)).unflatten(0, chances_PT.shape)
    logits_PTV = torch.nn.functional.linear(
        rows_PTR, forced.output_VR.to(rows_PTR.dtype), forced.output_V.to(rows_PTR.dtype)
    )
    # A chance of zero has a logarithm that is no number, nor has its gradient.
    log_chances_PT = precise(chances_PT).clamp(min=torch.finfo(chances_PT.dtype).tiny).log()
    log_probs_TV = (precise(logits_PTV).log_softmax(-1) + log_chances_PT[..., None]).logsumexp(0)
    nll = -log_probs_TV.gather(1, target_T[:, None]).sum()
    return torch.stack([(1 - forced.smoothing) * nll - forced.smoothing * log_probs_TV.mean(-1).sum(), nll])
