"""A model in training, judged on dev."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from seq2seq_cli.config import Config, DecodingConfig
from seq2seq_cli.data.batching import cut, load_batch
from seq2seq_cli.data.prepare import Prepared
from seq2seq_cli.data.tokenised import TokenisedSplit
from seq2seq_cli.decoding.hypothesis import Alignment, Hypothesis
from seq2seq_cli.decoding.translator import Translator, nothing, replace_beam
from seq2seq_cli.errors import UnsearchableError
from seq2seq_cli.evaluation.diagnostics import diagnose
from seq2seq_cli.evaluation.metrics import bleu
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.report.pictures import pick_sentences, spread
from seq2seq_cli.training.loop import DevScores, Learner
from seq2seq_cli.training.setup import dev_tokenizer

DIAGNOSED = 100
"""Dev sentences, at most, whose alignments are measured at each evaluation."""
WATCHED = 3
"""Dev sentences whose alignments are looked at, at each evaluation."""


def dev_evaluator(prepared: Prepared, config: Config, learner: Learner) -> Callable[[Seq2Seq], DevScores]:
    """A function that judges a model: its loss on dev, the BLEU of greedy search, and where it looked meanwhile, in
    the same sentences each time. Several processes share the work, and all come to the same scores."""
    greedy, ranks = replace_beam(config.decoding, 1), learner.ranks
    lines = prepared.dev_lines.src
    worded = [i for i, line in enumerate(lines) if line.strip()]
    diagnosed = set(spread(worded, DIAGNOSED))
    mine = ranks.share(range(len(lines)))
    tokenizer = dev_tokenizer(config, prepared).name

    def evaluate(model: Seq2Seq) -> DevScores:
        loss = dev_loss(model, prepared.dev, config.training.batch_tokens, learner)
        translator = Translator(model, prepared.subwords, config, learner.device, learner.precision)
        found = _best(translator, [lines[i] for i in mine], greedy)
        texts = ranks.gather([hypothesis.text for hypothesis in found])
        looked = ranks.gather([one.alignment if i in diagnosed else None for i, one in zip(mine, found, strict=True)])
        score = bleu(texts, prepared.dev_lines.tgt, tokenizer)
        return DevScores(loss, score, diagnose(alignment for alignment in looked if alignment is not None))

    return evaluate


def dev_alignments(prepared: Prepared, config: Config, learner: Learner) -> Callable[[], dict[str, Alignment]]:
    """Where the model looks by now, in its own translations of the same few dev sentences."""
    chosen = pick_sentences(prepared.dev_lines.src, WATCHED)
    lines = [prepared.dev_lines.src[i] for i in chosen]

    def look() -> dict[str, Alignment]:
        learner.model.eval()
        translator = Translator(learner.model, prepared.subwords, config, learner.device, learner.precision)
        found = _best(translator, lines, replace_beam(config.decoding, 1))
        learner.model.train()
        pairs = zip(chosen, found, strict=True)
        return {f"dev line {i + 1}": one.alignment for i, one in pairs if one.alignment is not None}

    return look


def _best(translator: Translator, lines: list[str], decoding: DecodingConfig) -> list[Hypothesis]:
    """The best translation of each line; empty ones by a model that is spoilt for now: its loss says so, and training may
    mend it."""
    try:
        return [candidates[0] for candidates in translator.hypotheses(lines, decoding)]
    except UnsearchableError:
        return [nothing() for _ in lines]


@torch.inference_mode()
def dev_loss(model: Seq2Seq, dev: TokenisedSplit, batch_tokens: int, learner: Learner) -> float:
    """Negative log-likelihood of dev, nats a target token."""
    order = np.lexsort((dev.src_lengths, dev.tgt_lengths))
    total, tokens = 0.0, 0
    for part in learner.ranks.share(cut(dev.tgt_lengths[order] + 1, dev.src_lengths[order] + 1, batch_tokens)):
        batch = load_batch(dev, order[part]).to(learner.device)
        with learner.precision.autocast(learner.device):
            pieces = (batch.src_BS, batch.src_mask_BS, batch.reads_BT, batch.target_BT, batch.target_mask_BT)
            total += float(model.loss(*pieces, 0.0).nll)
        tokens += batch.target_tokens
    total, all_tokens = learner.ranks.sum(total, tokens)
    return total / all_tokens
