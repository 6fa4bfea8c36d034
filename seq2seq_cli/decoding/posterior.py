"""Where a word came from, now that it is known: the attention weights of a step, corrected by the word the step then
produced."""

import torch
from torch import Tensor

from seq2seq_cli.decoding.sharing import Check
from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.types import DecoderOutput

POSITIONS = 16384
"""Source positions that are copied at a time. Each position that is weighed copies its whole source: at 32 positions a
sentence 512 are weighed at a time, whose logits are 16 MiB in float32 at 8,000 pieces."""


def posterior_weights(forced: Forced, check: Check = lambda: None) -> Tensor:
    """p(a_t = s | y_t) of forced decoding, weights_BTS. It follows by Bayes' rule from a_t(s), the attention weights,
    and p(y_t | a_t = s), the probability of y_t when the same step sees position s alone (Shankar & Sarawagi 2019, 3).

    Attention has to choose before y_t is known, and spreads over everything that may come next. The steps before t are
    as in any forced decoding: their contexts are mixtures. ``forced.run`` must be a stepping pass. Rows of padding
    steps are zero, and so are rows whose attention weights are all zero. ``check`` is called before each step.
    """
    steps, state = [], forced.state
    says_BT, real_BT = forced.target.says_BT, forced.target.real_BT
    for t, embedded_B1I in enumerate(forced.embedded_BTI.split(1, 1)):
        check()
        output: DecoderOutput = forced.decoder(embedded_B1I, forced.memories, state, forced.run)
        prior_BS = output.shown.soft_BTS[:, 0]
        # Only positions with an attention weight can get a posterior one: no padding, and nothing outside of a window.
        rows_R, positions_R = ((prior_BS > 0) & real_BT[:, t, None]).nonzero(as_tuple=True)
        evidence_BS = torch.full_like(prior_BS, -torch.inf)
        weighed = max(1, POSITIONS // prior_BS.shape[1])
        for part in torch.arange(len(rows_R), device=rows_R.device).split(weighed):
            rows, positions = rows_R[part], positions_R[part]
            # A memory of one position: whatever the mechanism, its weight is one, and its state the context.
            at_R1 = positions[:, None]
            alone, before = forced.memories.select(rows).pick(at_R1), forced.decoder.pick(state.select(rows), at_R1)
            seen: DecoderOutput = forced.decoder(embedded_B1I[rows], alone, before, forced.run)
            chosen_R = forced.readout.target_log_probs(seen.steps.take(_single), says_BT[rows, t], forced.run)
            evidence_BS[rows, positions] = (chosen_R + prior_BS[rows, positions].log()).to(evidence_BS.dtype)
        steps.append(evidence_BS.softmax(-1).nan_to_num(0))
        state = output.state
    return torch.stack(steps, 1)


def _single(x_R1X: Tensor) -> Tensor:
    """Of a single step."""
    return x_R1X[:, 0]
