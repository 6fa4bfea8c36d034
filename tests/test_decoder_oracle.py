"""The model against the slow translator of tests/oracle.py, on a ragged batch."""

from dataclasses import asdict
from typing import get_args

import numpy as np
import pytest
import torch
from models import SEGMENT_ENDS, decode, tiny_config, tiny_model, tiny_sentences, wiring_name, wirings
from oracle import Choices, Oracle

from seq2seq_cli.errors import ConfigError
from seq2seq_cli.kinds.attentions import KINDS, Score, find

SENTENCES = tiny_sentences()


@torch.no_grad()
def compare(
    kind: str,
    options: dict[str, object],
    cell: str = "lstm",
    layers: int = 1,
    bridge: str = "linear",
    tying: str = "auto",
) -> None:
    sizes: dict[str, object] = {"cell": cell, "encoder_layers": layers, "decoder_layers": layers}
    config = tiny_config(kind, attention=options, model={**sizes, "bridge": bridge, "tying": tying})
    model = tiny_model(config)
    choices = {**asdict(config.attention.choices), **options}
    for name in ("max_positions", "size", "slots"):
        choices.pop(name, None)
    choices |= {"kind": kind, "segment_ends": SEGMENT_ENDS}
    oracle = Oracle(model, Choices(**choices, cell=cell, layers=layers, bridge=bridge))
    output = decode(model, SENTENCES)
    log_probs_BTV = model.readout.log_probs(output.features_BTF, model.new_pass()).numpy()
    for b, length in enumerate(SENTENCES.mask_BS.sum(1).tolist()):
        expected, weights = oracle.log_probs(SENTENCES.src_BS[b, :length].tolist(), SENTENCES.reads_BT[b].tolist())
        np.testing.assert_allclose(log_probs_BTV[b], np.stack(expected), rtol=0, atol=1e-9)
        np.testing.assert_allclose(output.shown.weights_BTS[b, :, :length], np.stack(weights), rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", wirings(), ids=wiring_name)
@pytest.mark.parametrize(
    ("cell", "layers", "bridge", "tying"),
    [
        ("lstm", 1, "linear", "auto"),
        ("gru", 1, "linear", "none"),
        ("lstm", 2, "zeros", "target"),
        ("gru", 2, "linear", "all"),
    ],
)
def test_every_wiring(case: tuple[str, dict[str, object]], cell: str, layers: int, bridge: str, tying: str) -> None:
    compare(*case, cell=cell, layers=layers, bridge=bridge, tying=tying)


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
