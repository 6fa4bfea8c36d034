"""Export to ONNX: the encoder, and one step of the decoder, of every model."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seq2seq_cli.data.subword import BOS, EOS
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import RunError
from seq2seq_cli.export.halves import Halves, halves
from seq2seq_cli.export.symbolics import OPSET, quiet, registered, without_autograd
from seq2seq_cli.inputs import TEXT, Inputs, Padded
from seq2seq_cli.kinds.installed import described
from seq2seq_cli.model import products
from seq2seq_cli.model.carry import leaves, with_leaves
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.model.types import DecoderState

if TYPE_CHECKING:
    from onnx import ModelProto

PACKAGES = ("onnx", "onnxruntime")
"""What must be installed."""

ENCODER, STEP = "encoder.onnx", "step.onnx"
TOLERANCE = 1e-3
"""How far logits and weights may lie apart, in units of the largest: beyond, a graph does not say what the model says."""


class Example(NamedTuple):
    """B sources of S pieces, and B target sentences of which some steps have been taken."""

    source_BS: Tensor
    mask_BS: Tensor
    token_B: Tensor
    step: Tensor
    state: tuple[Tensor, ...]


class OneStep(nn.Module):
    """All that a translation computes until its first step, and one step, which may be any: its state is given."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(
        self, source_BS: Tensor, mask_BS: Tensor, token_B: Tensor, step: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        """The logits, the weights (B x 0 where there are none), the state after the step, and that before the first."""
        model, run = self.model, self.model.new_pass(stepping=True)
        start = model.start(Inputs({TEXT: Padded(source_BS, mask_BS)}), run)
        carries = with_leaves(start.state.carries, iter(state))
        # The number of a step is an int but in a graph, where it is an input.
        before = DecoderState(carries, step)  # type: ignore[arg-type]
        output = model.decoder(model.embed(token_B[:, None]), start.memories, before, run)
        logits_BV = model.readout.logits(output.steps.take(lambda x_BTX: x_BTX[:, 0]), run)
        weights_BS = output.shown.weights_BTS[:, 0]
        return logits_BV, weights_BS, *leaves(output.state.carries), *leaves(start.state.carries)


def save(translator: Translator, folder: Path) -> None:
    """Write both graphs to a folder. Raises RunError where the model does things that no graph can hold, or the graphs do not
    say what it says: an attention that a package has added may be so."""
    import onnx

    try:
        made = graphs(translator.model)
    except Exception as problem:  # of whatever kind, where the attention is somebody else's code
        if translator.config.attention.row.package is None and not isinstance(problem, torch.onnx.OnnxExporterError):
            raise
        raise _unfit(translator, described(problem).splitlines()[0]) from problem
    for name, graph in zip((ENCODER, STEP), made, strict=True):
        onnx.save(graph, str(folder / name))
    check(translator, made)


def graphs(model: Seq2Seq) -> Halves:
    """The encoder and the step."""
    import onnx

    with torch.no_grad(), _as_graphs_know_it(), TemporaryDirectory() as scratch:
        file = Path(scratch) / "whole.onnx"
        # Sizes that differ between these two are those that may be any. Each has other ones, and none is 1.
        one, other = example(model, 2, 5, 2), example(model, 3, 7, 0)
        names = ["source", "mask", "token", "step", *(f"state_{number}" for number in range(len(one.state)))]
        axes = {
            name: {dim: f"{name}_{dim}" for dim in range(x.dim()) if x.shape[dim] != y.shape[dim]}
            for name, x, y in zip(names, (*one[:4], *one.state), (*other[:4], *other.state), strict=True)
        }
        begun = [(f"first_{name}", name) for name in names[4:]]
        torch.onnx.export(
            OneStep(model),
            (*one[:4], *one.state),
            str(file),
            dynamo=False,
            input_names=names,
            output_names=["logits", "weights", *(f"next_{name}" for name in names[4:]), *(it for it, _ in begun)],
            dynamic_axes={name: dims for name, dims in axes.items() if dims},
            opset_version=OPSET,
        )
        whole = onnx.load(str(file))
    _declare(whole, names, one)
    if not OneStep(model)(*one[:4], *one.state)[1].shape[1]:
        whole.graph.output.remove(next(it for it in whole.graph.output if it.name == "weights"))
    return halves(whole, ("source", "mask"), begun, "memory_")


@contextmanager
def _as_graphs_know_it() -> Iterator[None]:
    """Within the block products are those that a graph can hold, and the tracer keeps its doubts to itself: what it has made is
    compared with the model afterwards, with other sizes."""
    ours = products.CHOSEN
    products.CHOSEN = ours._replace(onednn_bf16=False, onednn_fp32=False, packed=False, energies=sys.maxsize)
    try:
        with warnings.catch_warnings(), registered(), without_autograd(), quiet():
            warnings.simplefilter("ignore")
            yield
    finally:
        products.CHOSEN = ours


def inputs_of(given: Example) -> Inputs:
    """The sources alone."""
    return Inputs({TEXT: Padded(given.source_BS, given.mask_BS)})


def example(model: Seq2Seq, sentences: int, positions: int, steps: int, padding: int = 0) -> Example:
    """Some sentences, the same every time; the last one ends with so many positions of ``padding``."""
    generator = torch.Generator().manual_seed(positions)
    size = model.target_embedding.num_embeddings

    def tokens(*shape: int, of: int = size) -> Tensor:
        return torch.randint(EOS + 1, of, shape, generator=generator)

    source_BS = tokens(sentences, positions, of=model.source_embedding.num_embeddings)
    mask_BS = torch.ones_like(source_BS, dtype=torch.bool)
    mask_BS[-1, positions - padding :] = False
    step, token_B = OneStep(model), torch.full((sentences,), BOS)
    start = model.start(Inputs({TEXT: Padded(source_BS, mask_BS)}), model.new_pass(stepping=True))
    state = tuple(leaves(start.state.carries))
    for number in range(steps):
        _, _, *after = step(source_BS, mask_BS, token_B, torch.tensor(number), *state)
        state, token_B = tuple(after[: len(state)]), tokens(sentences)
    return Example(source_BS, mask_BS, token_B, torch.tensor(steps), state)


def _declare(whole: ModelProto, names: list[str], given: Example) -> None:
    """Every input is one of the graph, whether the model reads it or not: so all graphs are used alike."""
    from onnx import helper

    there = {it.name: it for it in whole.graph.input}
    for name, x in zip(names, (*given[:4], *given.state), strict=True):
        if name not in there:
            kind = helper.np_dtype_to_tensor_dtype(x.numpy().dtype)
            there[name] = helper.make_tensor_value_info(name, kind, [None] * x.dim())
    del whole.graph.input[:]
    whole.graph.input.extend(there[name] for name in names)


@torch.no_grad()
def check(translator: Translator, made: Halves) -> None:
    """Raises RunError where graphs and model differ in what they say of more and longer sentences than the graphs were traced
    with, in some steps that both take."""
    model = translator.model
    given = example(model, 4, 23, 0, padding=6)
    step, runner, state = OneStep(model), Runner(*(it.SerializeToString() for it in made)), given.state
    memory = runner.begin(given.source_BS.numpy(), given.mask_BS.numpy())
    token_B = given.token_B
    for number in range(4):
        logits_BV, weights_BS, *after = step(given.source_BS, given.mask_BS, token_B, torch.tensor(number), *state)
        said = runner.step(memory, token_B.numpy(), number)
        for name, ours in (("logits", logits_BV), ("weights", weights_BS)):
            if name in said and not np.allclose(
                said[name], ours.numpy(), TOLERANCE, TOLERANCE * float(ours.abs().max())
            ):
                raise _unfit(translator, f"its {name} would be others than the model's")
        state, token_B = tuple(after[: len(state)]), logits_BV.argmax(-1)


def _unfit(translator: Translator, why: str) -> RunError:
    what = f'a graph cannot hold this model, with its attention "{translator.config.attention.kind}": {why}.'
    return RunError(what, None if translator.run is None else str(translator.run.directory))


class Runner:
    """Both graphs in onnxruntime."""

    def __init__(self, encoder: bytes, step: bytes) -> None:
        import onnxruntime

        self._encoder, self._step = (onnxruntime.InferenceSession(graph) for graph in (encoder, step))

    def begin(self, source_BS: np.ndarray, mask_BS: np.ndarray) -> dict[str, Any]:
        """What the steps read."""
        return self._run(self._encoder, {"source": source_BS, "mask": mask_BS})

    def step(self, memory: dict[str, Any], token_B: np.ndarray, number: int) -> dict[str, Any]:
        """What a step says. ``memory`` has its state afterwards."""
        said = self._run(self._step, {**memory, "token": token_B, "step": np.array(number)})
        memory.update({name.removeprefix("next_"): x for name, x in said.items() if name.startswith("next_")})
        return said

    def _run(self, session: Any, given: dict[str, Any]) -> dict[str, Any]:
        return dict(zip([it.name for it in session.get_outputs()], session.run(None, given), strict=True))
