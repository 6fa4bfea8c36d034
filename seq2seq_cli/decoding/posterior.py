"""Where a word came from, now that it is known: the attention weights of a step, corrected by the word the step then
produced."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq_cli.decoding.sharing import Check
from seq2seq_cli.model.forced import Forced
from seq2seq_cli.model.types import SHOWN, DecoderOutput

POSITIONS = 16384
"""Source positions that are copied at a time. Each position that is weighed copies its whole source: at 32 positions a
sentence 512 are weighed at a time, whose logits are 16 MiB in float32 at 8,000 pieces."""


def posterior_weights(forced: Forced, layers: Sequence[int], check: Check = lambda: None) -> list[Tensor]:
    """p(a_t = s | y_t) of forced decoding, weights_BTS, for each of these layers of the decoder (from 0 at the bottom). It
    follows by Bayes' rule from a_t(s), the attention weights of the layer, and p(y_t | a_t = s), the probability of y_t when
    the same step sees position s alone (Shankar & Sarawagi 2019, 3), which is that of all layers together.

    Attention has to choose before y_t is known, and spreads over everything that may come next. The steps before t are
    as in any forced decoding: their contexts are mixtures. ``forced.run`` must be a stepping pass. Rows of padding
    steps are zero, and so are rows whose attention weights are all zero. ``check`` is called before each step.
    """
    steps: list[list[Tensor]] = [[] for _ in layers]
    state = forced.state
    says_BT, real_BT = forced.target.says_BT, forced.target.real_BT
    for t, embedded_B1I in enumerate(forced.embedded_BTI.split(1, 1)):
        check()
        output: DecoderOutput = forced.decoder(embedded_B1I, forced.memories, state, forced.run)
        priors = [output.looks[layer][SHOWN].soft_BTS[:, 0] for layer in layers]
        # Only positions with an attention weight can get a posterior one: no padding, and nothing outside of a window.
        visible_BS = torch.stack([prior_BS > 0 for prior_BS in priors]).any(0)
        rows_R, positions_R = (visible_BS & real_BT[:, t, None]).nonzero(as_tuple=True)
        evidence_BS = torch.full_like(priors[0], -torch.inf)
        weighed = max(1, POSITIONS // visible_BS.shape[1])
        for part in torch.arange(len(rows_R), device=rows_R.device).split(weighed):
            rows, positions = rows_R[part], positions_R[part]
            # A memory of one position: whatever the mechanism, its weight is one, and its state the context.
            at_R1 = positions[:, None]
            alone, before = forced.memories.select(rows).pick(at_R1), forced.decoder.pick(state.select(rows), at_R1)
            seen: DecoderOutput = forced.decoder(embedded_B1I[rows], alone, before, forced.run)
            chosen_R = forced.readout.target_log_probs(seen.steps.take(_single), says_BT[rows, t], forced.run)
            evidence_BS[rows, positions] = chosen_R.to(evidence_BS.dtype)
        for found, prior_BS in zip(steps, priors, strict=True):
            found.append((evidence_BS + prior_BS.log()).softmax(-1).nan_to_num(0))
        state = output.state
    return [torch.stack(found, 1) for found in steps]


def _single(x_R1X: Tensor) -> Tensor:
    """Of a single step."""
    return x_R1X[:, 0]
