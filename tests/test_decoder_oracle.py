"""The model against the slow translator of tests/oracle.py, on a ragged batch."""

from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pytest
import torch
from models import (
    RECURRENCES,
    SEGMENT_ENDS,
    Case,
    Recurrence,
    cases,
    decode,
    tiny_config,
    tiny_model,
    tiny_sentences,
)
from oracle import Choices, Oracle

from seq2seq_cli.errors import ConfigError
from seq2seq_cli.kinds.attentions import KINDS, Score, find
from seq2seq_cli.model.seq2seq import Seq2Seq

SENTENCES = tiny_sentences()


def compare(
    kind: str,
    options: dict[str, object],
    recurrence: Recurrence = RECURRENCES[0],
    bridge: str = "linear",
    tying: str = "auto",
) -> None:
    config = tiny_config(kind, attention=options, model={**recurrence.sizes, "bridge": bridge, "tying": tying})
    model = tiny_model(config)
    choices = {**asdict(config.attention.choices), **options}
    for name in ("max_positions", "size", "slots"):
        choices.pop(name, None)
    choices |= {"kind": kind, "segment_ends": SEGMENT_ENDS}
    assert_is(model, Choices(**choices, **recurrence._asdict(), bridge=bridge))


@torch.no_grad()
def assert_is(model: Seq2Seq, choices: Choices) -> None:
    """What the oracle makes of these choices, and nothing else."""
    oracle = Oracle(model, choices)
    output = decode(model, SENTENCES)
    log_probs_BTV = model.readout.log_probs(output.steps, model.new_pass()).numpy()
    for b, length in enumerate(SENTENCES.mask_BS.sum(1).tolist()):
        expected, weights = oracle.log_probs(SENTENCES.src_BS[b, :length].tolist(), SENTENCES.reads_BT[b].tolist())
        np.testing.assert_allclose(log_probs_BTV[b], np.stack(expected), rtol=0, atol=1e-9)
        np.testing.assert_allclose(output.shown.weights_BTS[b, :, :length], np.stack(weights), rtol=0, atol=1e-9)


SETTINGS_WITH = {
    Recurrence("lstm", 1): {"bridge": "linear", "tying": "auto"},
    Recurrence("gru", 1): {"bridge": "linear", "tying": "none"},
    Recurrence("lstm", 2): {"bridge": "zeros", "tying": "target"},
    Recurrence("gru", 2): {"bridge": "linear", "tying": "all"},
}
"""Where a decoder begins, and which embeddings are one, with each recurrence."""


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_wiring(case: Case) -> None:
    assert isinstance(case.around, Recurrence)
    compare(case.kind, case.options, case.around, **SETTINGS_WITH[case.around])


OF_THE_PAPERS: dict[str, tuple[Choices, dict[str, object]]] = {
    "none": (Choices(None, "global", "before"), {}),
    "bahdanau": (Choices("additive", "global", "before"), {}),
    "luong-dot": (Choices("dot", "global", "after"), {}),
    "luong-general": (Choices("general", "global", "after"), {}),
    "luong-concat": (Choices("additive", "global", "after"), {}),
    "luong-location": (Choices("location", "global", "after"), {"max_positions": 4}),
    "local-m": (Choices("general", "local-m", "after", radius=2), {"radius": 2}),
    "local-p": (Choices("general", "local-p", "after", radius=2), {"radius": 2}),
    "scaled-dot": (Choices("scaled-dot", "global", "after"), {}),
    "sparse": (Choices("general", "global", "after", normaliser="entmax15"), {}),
    "multi-head": (Choices("scaled-dot", "global", "after", heads=4), {"heads": 4}),
    "coverage": (Choices("additive", "global", "before"), {}),
    "temporal": (Choices("general", "global", "after"), {}),
    "memory": (Choices("general", "global", "after"), {}),
    "channel": (Choices("additive", "global", "after"), {}),
    "hierarchical": (Choices("general", "global", "after", split="clauses"), {}),
    "hard": (Choices("general", "global", "after", estimator="straight-through"), {}),
}
"""What a kind is by the papers that its row names, and settings that make it small: its row is not asked."""


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_kind_is_what_its_paper_says(kind: str) -> None:
    assert kind in OF_THE_PAPERS, "to be added to OF_THE_PAPERS"
    choices, small = OF_THE_PAPERS[kind]
    model = tiny_model(tiny_config(kind, attention=small))
    assert_is(model, replace(choices, kind=kind, segment_ends=SEGMENT_ENDS))


@pytest.mark.parametrize("score", get_args(Score))
@pytest.mark.parametrize("kind", [kind.name for kind in KINDS if "score" in kind.options])
def test_any_score_with_any_kind(kind: str, score: str) -> None:
    options: dict[str, object] = {"score": score}
    row = find(kind)
    if row.window != "global":
        options["radius"] = 1
    # Its table may end before the window begins, and it says nothing of segments.
    if score == "location" and (row.window != "global" or row.split is not None):
        with pytest.raises(ConfigError, match="the location score"):
            tiny_config(kind, attention=options)
        return
    compare(kind, options)
