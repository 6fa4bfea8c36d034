"""The example of each kind shows what the kind is about."""

import numpy as np
import pytest

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.kinds.attentions import KINDS, find
from seq2seq_cli.report.example import LINKS, example

ATTENDING = [kind.name for kind in KINDS if kind.attends]


@pytest.mark.parametrize("kind", ATTENDING)
def test_it_looks_where_it_was_drawn_to(kind: str) -> None:
    options = {"radius": 2} if find(kind).window != "global" else {}
    alignment = example(AttentionConfig.model_validate({"kind": kind, **options}))
    right = alignment.weights_TS.argmax(1) == LINKS
    if kind == "local-m":
        # Its window goes from left to right, whatever is learned.
        assert [abs(t - s) <= 2 for t, s in enumerate(LINKS)] == right.tolist()
    elif kind == "local-p":
        # Nothing draws a window to where it does not reach.
        assert right.any()
    else:
        assert right.sum() >= len(LINKS) - 2
    assert np.isfinite(alignment.weights_TS).all()


def test_it_is_the_same_at_every_call() -> None:
    one, other = (example(AttentionConfig(kind="memory")).weights_TS for _ in range(2))
    assert np.array_equal(one, other)
