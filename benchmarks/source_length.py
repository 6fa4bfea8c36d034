"""What a decoding step costs on short and on long sources: a local window's should not grow.

python -m benchmarks.source_length --attention local-p --attention bahdanau --threads 1
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import torch
import typer

from benchmarks import common
from seq2seq_cli.config.loading import load
from seq2seq_cli.config.whole import Config
from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.device import choose_device, choose_search_precision, set_threads
from seq2seq_cli.inputs import TEXT, Inputs, Padded
from seq2seq_cli.model.build import build

VOCABULARY = 8000
WARM_UP, STEPS = 5, 25


@dataclass(frozen=True)
class StepCost:
    """The median step of one sentence's hypotheses, the vocabulary's logits included; an untrained model."""

    attention: str
    precision: str
    threads: int
    hypotheses: int
    source_positions: int
    milliseconds_per_step: float
    times_the_shortest: float


@torch.inference_mode()
def step_seconds(config: Config, positions: int, hypotheses: int, precision: str, device: torch.device) -> float:
    """Seconds of the median step on a source of that many positions."""
    torch.manual_seed(1)
    model = build(config, VOCABULARY, VOCABULARY).to(device).eval()
    src_BS = torch.randint(VOCABULARY, (1, positions), device=device)
    tokens_R = torch.randint(VOCABULARY, (hypotheses,), device=device)
    rows_R = torch.zeros(hypotheses, dtype=torch.long, device=device)
    seconds = []
    with choose_search_precision(precision, device).autocast(device):
        run = model.new_pass(stepping=True, in_int8=precision == "int8")
        text = Padded(src_BS, torch.ones_like(src_BS, dtype=torch.bool))
        state = ModelState.start(model, run, Inputs({TEXT: text}))
        state = state.select(rows_R[:1], rows_R)
        for _ in range(WARM_UP + STEPS):
            begin = time.perf_counter()
            step, state = state.step(tokens_R)
            step.logits(slice(None)).sum().item()
            seconds.append(time.perf_counter() - begin)
    return sorted(seconds[WARM_UP:])[STEPS // 2]


def main(
    attentions: Annotated[list[str] | None, typer.Option("--attention", help="Kinds; repeatable.")] = None,
    lengths: Annotated[list[int] | None, typer.Option("--positions", help="Source positions; repeatable.")] = None,
    hypotheses: Annotated[int, typer.Option(min=1, help="Of the one sentence.")] = 5,
    overrides: common.Overrides = None,
    threads: common.Threads = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16 or int8.")] = "fp32",
    device: str = "auto",
    as_json: common.JsonOption = False,
) -> None:
    """Milliseconds a decoding step, by attention and source length."""
    used, chosen_device = set_threads(threads), choose_device(device)
    name = choose_search_precision(precision, chosen_device).name
    results: list[StepCost] = []
    for kind in attentions or ["local-p", "local-m", "luong-general", "bahdanau"]:
        config = load(None, overrides or (), {"attention.kind": kind})
        costs = [
            (positions, step_seconds(config, positions, hypotheses, name, chosen_device))
            for positions in sorted(lengths or [200, 2000])
        ]
        results += [
            StepCost(kind, name, used, hypotheses, positions, 1000 * seconds, seconds / costs[0][1])
            for positions, seconds in costs
        ]
    common.show(results, as_json, "a decoding step by source length")


if __name__ == "__main__":
    common.command(main)
