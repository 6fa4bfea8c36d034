"""Weights on disk: safetensors, which hold numbers and can hold nothing else."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from seq2seq_cli.errors import RunError
from seq2seq_cli.runs import written_whole

LARGEST = 1e6
"""Of weights: those of trained models stay below 100, and with larger ones sums might overflow."""


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter once, by its first name, on the CPU (shared matrices are not repeated)."""
    return {name: parameter.detach().cpu() for name, parameter in model.named_parameters()}


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """``state`` into a safetensors file, in one piece."""
    with written_whole(path) as temporary:
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises RunError where it is missing or damaged."""
    try:
        return safetensors.torch.load_file(path)
    except FileNotFoundError:
        hint = "Train the run to its first evaluation, or continue it with --resume."
        raise RunError("there are no weights here yet.", str(path), hint) from None
    except (OSError, SafetensorError) as error:
        raise RunError(f"not readable as safetensors: {error}", str(path)) from None


def load_weights(model: nn.Module, path: Path) -> None:
    """Weights from ``path`` into ``model``. Raises RunError where names or shapes differ, or numbers are such that a
    model cannot compute with them."""
    state = read_weights(path)
    for name, tensor in state.items():
        # Of integers and complex numbers, there are none. NaN fails every comparison.
        if not tensor.is_floating_point() or not bool((tensor.float().abs() <= LARGEST).all()):
            hint = "Take the run directory from where it was trained again."
            raise RunError(f"this checkpoint is damaged: {name} holds what no training leaves.", str(path), hint)
    restore(model, state, str(path))


@torch.no_grad()
def restore(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """``state`` into ``model``'s parameters. Raises RunError where names or shapes differ."""
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if shapes != wanted:
        name = min(shapes.items() ^ wanted.items())[0]
        raise RunError(
            f"this checkpoint is of another shape: {name} is {shapes.get(name, 'missing')}, "
            f"the configuration asks for {wanted.get(name, 'nothing of that name')}.",
            where,
            "Was config.toml changed after training?",
        )
    for name, parameter in parameters.items():
        parameter.copy_(state[name])
