"""How much each neighbour counts: fixed for all steps, or chosen at each step by a small network (Zheng et al. 2021).

Letters as in `search`; H: hidden units, C: choices of how many neighbours to go by.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from seq2seq_cli.errors import DamagedError
from seq2seq_cli.model.weights import read_tensors, save_weights
from seq2seq_cli.neighbours.layout import Weights

HIDDEN = 32
"""Hidden units of the network, as in the paper."""


class Weighing(Protocol):
    """What weighs neighbours. ``neighbours``: how many of them it asks for; ``silent``: whether none ever counts."""

    neighbours: int
    silent: bool

    def __call__(self, distances_NK: Tensor, values_NK: Tensor) -> Tensor:
        """The weight of each neighbour, N x K: what it adds to the probability of its value. The model's own
        probabilities have what is missing to one."""
        ...

    @property
    def exactly(self) -> str:
        """Other text for every other way to weigh, however little it differs."""
        ...


def attention(distances_NK: Tensor, temperature: float | Tensor) -> Tensor:
    """softmax(-d / T) over the neighbours of each query; zeros where all are infinitely far."""
    near_NK = distances_NK - distances_NK.amin(1, keepdim=True)  # nothing to the softmax, but inf - inf is found here
    weights_NK = (-near_NK / temperature).softmax(1)
    return torch.where(distances_NK[:, :1].isfinite(), weights_NK, 0.0)


class Fixed:
    """lambda softmax(-d / T), d the squared distances (Khandelwal et al. 2021, 2)."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.neighbours = weights.neighbours
        self.silent = weights.mix == 0

    def __call__(self, distances_NK: Tensor, values_NK: Tensor) -> Tensor:
        return self.weights.mix * attention(distances_NK, self.weights.temperature)

    @property
    def exactly(self) -> str:
        return self.weights.model_dump_json()

    def __str__(self) -> str:
        told = self.weights
        return f"{told.neighbours} neighbours, temperature {told.temperature:.4g}, lambda {told.mix:.3g}"


def choices(neighbours: int) -> list[int]:
    """How many neighbours may be gone by: none, 1, 2, 4, ... and all of them."""
    powers = [1 << power for power in range(neighbours.bit_length()) if 1 << power < neighbours]
    return [0, *powers, neighbours]


def distinct(values_NK: Tensor) -> Tensor:
    """How many different values the first neighbour has, the first two, ...: N x K."""
    same_NKK = values_NK[:, :, None] == values_NK[:, None, :]
    earlier_KK = torch.ones(values_NK.shape[1], values_NK.shape[1], dtype=torch.bool, device=values_NK.device).tril(-1)
    return (~(same_NKK & earlier_KK).any(2)).cumsum(1)


class Adaptive(nn.Module):
    """Chooses by the distances, and by how many different values there are among the nearest, how many neighbours to go by
    (Zheng et al. 2021, 3): p = sum over the choices k of q(k) softmax(-d / T) of the k nearest, where going by none is
    leaving it to the model.

    ``temperature``: T of the memory; distances are read by the network in units of it.
    """

    silent = False

    def __init__(self, neighbours: int, temperature: float) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.temperature = temperature
        self.hidden = nn.Linear(2 * neighbours, HIDDEN)
        self.output = nn.Linear(HIDDEN, len(choices(neighbours)))

    def forward(self, distances_NK: Tensor, values_NK: Tensor) -> Tensor:
        missing = self.neighbours - distances_NK.shape[1]  # of a memory with fewer entries
        if missing:
            distances_NK = nn.functional.pad(distances_NK, (0, missing), value=torch.inf)
            values_NK = nn.functional.pad(values_NK, (0, missing), value=-1)
        chosen_NC = self.chosen(distances_NK, values_NK)
        weights_NK = torch.zeros_like(distances_NK)
        for share_N1, count in zip(chosen_NC.split(1, 1), choices(self.neighbours), strict=True):
            if count:
                weights_NK[:, :count] += share_N1 * attention(distances_NK[:, :count], self.temperature)
        return weights_NK[:, : self.neighbours - missing]

    def chosen(self, distances_NK: Tensor, values_NK: Tensor) -> Tensor:
        """How probable each choice is, N x C."""
        far_NK = (distances_NK / self.temperature).log1p().clamp(max=FAR)
        features_NF = torch.cat([far_NK, distinct(values_NK).float()], 1)
        chosen_NC: Tensor = self.output(self.hidden(features_NF).tanh()).softmax(1)
        return chosen_NC

    @property
    def exactly(self) -> str:
        told = hashlib.sha256(json.dumps([self.neighbours, self.temperature]).encode())
        for _, parameter in sorted(self.named_parameters()):
            told.update(parameter.detach().cpu().numpy().tobytes())
        return told.hexdigest()

    def __str__(self) -> str:
        return (
            f"up to {self.neighbours} neighbours, temperature {self.temperature:.4g}, chosen at each step by a network"
        )


FAR = 20.0
"""The logarithm of the farthest distance that the network reads."""


def save_adaptive(network: Adaptive, path: Path) -> None:
    """Write the network, whole or not at all."""
    tensors = {name: parameter.detach() for name, parameter in network.named_parameters()}
    save_weights(tensors | {"temperature": torch.tensor([network.temperature])}, path)


def load_adaptive(path: Path, neighbours: int) -> Adaptive:
    """The network of a memory that goes by so many neighbours. Raises DamagedError where it is missing, damaged or another
    one."""
    hint = "Train it anew: `seq2seq memory tune --adaptive`."
    if not path.exists():
        raise DamagedError("is missing.", str(path), hint)
    tensors = read_tensors(path)
    temperature = tensors.pop("temperature", torch.zeros(1))
    network = Adaptive(neighbours, float(temperature.flatten()[0]) if temperature.numel() else 0.0)
    shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
    fits = {name: tensor.shape for name, tensor in tensors.items()} == shapes
    if not fits or not all(bool(one.isfinite().all()) for one in (temperature, *tensors.values())) or temperature <= 0:
        raise DamagedError("is damaged: it is no network of this memory.", str(path), hint)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
