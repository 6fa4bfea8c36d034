"""Comparisons with run directories and alignments, invented: what a page is made of, without a model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from comparisons import comparison, evaluation
from models import tiny_config

from seq2seq_cli.data.subword import END
from seq2seq_cli.decoding.hypothesis import Alignment, Hypothesis
from seq2seq_cli.evaluation.systems import Comparison, Evaluation
from seq2seq_cli.report.shown import chosen_rows
from seq2seq_cli.runs import Run, write_json, write_text

HOSTILE = "</script><script>alert(1)</script> <img src=x onerror=alert(2)> &amp; a\u2028b <!-- ]]>"
SOURCE = [
    "eins zwei drei",
    HOSTILE,
    "שלום עולם קטן",
    "我爱北京",
    "eins zwei drei vier fünf sechs sieben",
    "sieben sechs fünf vier drei zwei eins null",
    " ".join(["lang"] * 12),
]


def hypothesis(source: str, text: str, kind: str, seed: int = 0) -> Hypothesis:
    """One that was found by a model of that kind of attention, each word a piece, with weights drawn at random."""
    pieces = tuple(f"▁{word}" for word in text.split())
    if kind == "none":
        return Hypothesis(text, pieces, -1.0, -1.0, None)
    source_pieces = (*(f"▁{word}" for word in source.split()), END)
    rng = np.random.default_rng(seed)
    weights_TS = rng.dirichlet(np.full(len(source_pieces), 0.3), size=len(pieces) + 1).astype(np.float32)
    local: tuple[np.ndarray, int] | tuple[None, None] = (None, None)
    if kind == "local-p":
        local = np.linspace(0, len(source_pieces) - 1, len(pieces) + 1), 2
    return Hypothesis(text, pieces, -1.0, -1.0, Alignment(source_pieces, (*pieces, END), weights_TS, *local))


def told_run(directory: Path, kind: str, hypotheses: list[str], source: list[str], sentences: int = 50) -> Evaluation:
    """An evaluation of a run whose directory holds what a page reads of it, beside weights."""
    run = Run(directory)
    write_text(run.config, tiny_config(kind).to_toml())
    write_json(run.info, {"src": "de", "tgt": "en", "seed": 7, "sittings": [{"command": ["seq2seq", "a b"]}]})
    attention = {"moving_share": 0.5, "entropy_bits": 2.0, "order_tau": None}
    records: list[dict[str, object]] = [
        {"event": "train", "step": 50, "loss": 6.0, "seconds": 60.0},
        {"event": "evaluation", "step": 75, "loss": 4.0, "bleu": 12.5, "seconds": 90.0},
        {"event": "evaluation", "step": 150, "loss": 3.0, "bleu": 20.0, "seconds": 180.0},
    ]
    if kind != "none":
        records[1]["attention"] = attention
    write_text(run.metrics, "".join(f"{json.dumps(record)}\n" for record in records))
    kept = {row: hypothesis(source[row], hypotheses[row], kind, seed=row) for row in chosen_rows(source, sentences)}
    return replace(evaluation(str(directory), hypotheses, source), kept=kept)


def told_comparison(folder: Path, source: list[str] = SOURCE, kinds: tuple[str, ...] = ("bahdanau", "local-p", "none"),
                    ) -> Comparison:  # fmt: skip
    """A run of each kind. The first repeats the source, the others leave out the first word."""
    runs = [
        told_run(
            folder / f"<b>{kind}", kind, source if not number else [" ".join(x.split()[1:]) for x in source], source
        )
        for number, kind in enumerate(kinds)
    ]
    return comparison(*runs, test="P/<i>test")
