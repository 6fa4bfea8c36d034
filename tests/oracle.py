"""A slow translator of the tests' own, written from the papers: one sentence, one step, one position at a time.

It shares nothing with the package but the numbers of the parameters.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq_cli.model.seq2seq import Seq2Seq

Vector = NDArray[np.float64]
Layers = list[tuple[Vector, Vector]]
"""Hidden and cell state of each layer (of a GRU the cell is not used)."""


@dataclass(frozen=True)
class Choices:
    """What the model was configured to be."""

    score: str | None
    window: str
    wiring: str
    input_feeding: bool = True
    radius: int = 0
    normaliser: str = "softmax"
    temperature: float = 1.0
    top_k: int = 5
    summary: str = "every-step"
    cell: str = "lstm"
    layers: int = 1
    bridge: str = "linear"


@dataclass(frozen=True)
class Source:
    """An encoded sentence."""

    states: list[Vector]
    summary: Vector


class Oracle:
    def __init__(self, model: Seq2Seq, choices: Choices) -> None:
        self.numbers = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        self.choices = choices
        self.size = len(self["decoder.wiring.recurrence.rnn.weight_hh_l0"][0])

    def __getitem__(self, name: str) -> Vector:
        numbers: Vector = self.numbers[name]
        return numbers

    def log_probs(self, source: list[int], reads: list[int]) -> tuple[list[Vector], list[Vector]]:
        """For each target step log p of every token, and the weights of the source positions."""
        encoded = self.encode([self["source_embedding.weight"][token] for token in source])
        layers = self.first_state(encoded.summary)
        feed = np.zeros(self.size if self.choices.wiring == "after" and self.choices.input_feeding else 0)
        answers, looks = [], []
        for t, token in enumerate(reads):
            y = self["target_embedding.weight"][token]
            if self.choices.wiring == "before":
                context, weights = self.attend(layers[-1][0], encoded, t)
                layers = self.recur("decoder.wiring.recurrence.rnn", np.concatenate([y, context]), layers)
                row = self.maxout(np.concatenate([layers[-1][0], context, y]))
            else:
                layers = self.recur("decoder.wiring.recurrence.rnn", np.concatenate([y, feed]), layers)
                h = layers[-1][0]
                context, weights = self.attend(h, encoded, t)
                attentional = np.tanh(self["decoder.wiring.combine.weight"] @ np.concatenate([context, h]))
                feed = attentional[: len(feed)]
                row = attentional
                if "decoder.wiring.readout.weight" in self.numbers:
                    row = self["decoder.wiring.readout.weight"] @ attentional
            logits = self["output_embedding.weight"] @ row + self["output_bias"]
            answers.append(logits - math.log(sum(math.exp(logit) for logit in logits)))
            looks.append(weights)
        return answers, looks

    def encode(self, inputs: list[Vector]) -> Source:
        half = self.size // 2
        for layer in range(self.choices.layers):
            ahead: list[Vector] = []
            state = [(np.zeros(half), np.zeros(half))]
            for x in inputs:
                state = self.recur(f"encoder.forwards.{layer}", x, state)
                ahead.append(state[0][0])
            back: list[Vector] = []
            state = [(np.zeros(half), np.zeros(half))]
            for x in reversed(inputs):
                state = self.recur(f"encoder.backwards.{layer}", x, state)
                back.insert(0, state[0][0])
            inputs = [np.concatenate(both) for both in zip(ahead, back, strict=True)]
        return Source(inputs, np.concatenate([ahead[-1], back[0]]))

    def first_state(self, summary: Vector) -> Layers:
        zeros = np.zeros(self.choices.layers * self.size)
        hidden = cell = zeros
        if self.choices.bridge == "linear":
            hidden = np.tanh(self["decoder.bridge.hidden.weight"] @ summary + self["decoder.bridge.hidden.bias"])
            if self.choices.cell == "lstm":
                cell = self["decoder.bridge.cell.weight"] @ summary + self["decoder.bridge.cell.bias"]
        return list(zip(np.split(hidden, self.choices.layers), np.split(cell, self.choices.layers), strict=True))

    def recur(self, name: str, x: Vector, layers: Layers) -> Layers:
        """One step of every layer (Hochreiter & Schmidhuber 1997; Cho et al. 2014; torch's order of gates)."""
        after: Layers = []
        for layer, (h, c) in enumerate(layers):
            read = self[f"{name}.weight_ih_l{layer}"] @ x + self[f"{name}.bias_ih_l{layer}"]
            kept = self[f"{name}.weight_hh_l{layer}"] @ h + self[f"{name}.bias_hh_l{layer}"]
            if self.choices.cell == "lstm":
                i, f, g, o = np.split(read + kept, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                (read_r, read_z, read_n), (kept_r, kept_z, kept_n) = np.split(read, 3), np.split(kept, 3)
                z = sigmoid(read_z + kept_z)
                h = (1 - z) * np.tanh(read_n + sigmoid(read_r + kept_r) * kept_n) + z * h
            after.append((h, c))
            x = h
        return after

    def attend(self, query: Vector, source: Source, t: int) -> tuple[Vector, Vector]:
        """The context and the weights of step ``t``."""
        if self.choices.score is None:
            kept = len(source.summary) if self.choices.summary == "every-step" else 0
            return source.summary[:kept], np.zeros(0)
        length = len(source.states)
        centre = self.centre(query, length, t)
        energies = {
            s: self.score(query, state, s)
            for s, state in enumerate(source.states)
            if centre is None or centre - self.choices.radius <= s <= centre + self.choices.radius
        }
        weights = np.zeros(length)
        for s, weight in self.normalise(energies).items():
            weights[s] = weight
            if self.choices.window == "local-p":
                assert centre is not None
                sigma = self.choices.radius / 2
                weights[s] *= math.exp(-((s - centre) ** 2) / (2 * sigma**2))
        context = np.zeros(self.size)
        for weight, state in zip(weights, source.states, strict=True):
            context = context + weight * state
        return context, weights

    def normalise(self, energies: dict[int, float]) -> dict[int, float]:
        """Weights of the positions (Martins & Astudillo 2016; Peters, Niculae & Martins 2019): those of alpha-entmax sum
        to one for one threshold only, which is found by halving where it may lie."""
        chosen = self.choices
        if chosen.normaliser in ("softmax", "top-k"):
            best = sorted(energies, key=lambda s: -energies[s])
            kept = best[: chosen.top_k] if chosen.normaliser == "top-k" else best
            total = sum(math.exp(energies[s] / chosen.temperature) for s in kept)
            return {s: math.exp(energies[s] / chosen.temperature) / total for s in kept}
        scale, power = (1.0, 1) if chosen.normaliser == "sparsemax" else (0.5, 2)
        low, high = scale * max(energies.values()) - 1, scale * max(energies.values())
        for _ in range(200):
            middle = (low + high) / 2
            total = sum(max(scale * energy - middle, 0.0) ** power for energy in energies.values())
            low, high = (middle, high) if total > 1 else (low, middle)
        return {s: max(scale * energy - low, 0.0) ** power for s, energy in energies.items()}

    def centre(self, query: Vector, length: int, t: int) -> float | None:
        if self.choices.window == "global":
            return None
        if self.choices.window == "local-m":
            return min(t, length - 1)
        inner = np.tanh(self["decoder.attention.window.hidden.weight"] @ query)
        return (length - 1) * float(sigmoid(self["decoder.attention.window.position.weight"][0] @ inner))

    def score(self, query: Vector, state: Vector, s: int) -> float:
        name = "decoder.attention.score"
        match self.choices.score:
            case "dot":
                return float(query @ state)
            case "scaled-dot":
                return float(query @ state) / math.sqrt(len(query))
            case "general":
                return float(query @ (self[f"{name}.key.weight"] @ state))
            case "additive":
                inner = np.tanh(self[f"{name}.query.weight"] @ query + self[f"{name}.key.weight"] @ state)
                return float(self[f"{name}.energy.weight"][0] @ inner)
            case "location":
                table = self[f"{name}.position.weight"]
                return float(table[s] @ query) if s < len(table) else -math.inf
        raise AssertionError(self.choices.score)

    def maxout(self, features: Vector) -> Vector:
        name = "decoder.wiring.readout.linear"
        first, second = np.split(self[f"{name}.weight"] @ features + self[f"{name}.bias"], 2)
        return np.maximum(first, second)


def sigmoid(x: Vector) -> Vector:
    return 1 / (1 + np.exp(-x))
