"""A slow translator of the tests' own, written from the papers: one sentence, one step, one position at a time.

It shares nothing with the package but the numbers of the parameters.
"""

import math
from dataclasses import dataclass, field

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
    kind: str = ""
    heads: int = 1
    estimator: str | None = None
    split: str | None = None
    segment_length: int = 10
    segment_ends: tuple[int, ...] = ()
    summary: str = "every-step"
    cell: str = "lstm"
    layers: int = 1
    bridge: str = "linear"


@dataclass(frozen=True)
class Source:
    """An encoded sentence, and what its decoder has done so far: the weights of past steps (coverage), their scores
    (temporal), and the slots beside it (memory)."""

    states: list[Vector]
    summary: Vector
    tokens: list[int]
    past_weights: list[Vector] = field(default_factory=list)
    past_scores: list[dict[int, float]] = field(default_factory=list)
    slots: list[Vector] = field(default_factory=list)


class Oracle:
    def __init__(self, model: Seq2Seq, choices: Choices) -> None:
        self.numbers = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        self.choices = choices
        self.size = len(self["decoder.layers.0.recurrence.rnn.weight_hh_l0"][0])

    def __getitem__(self, name: str) -> Vector:
        numbers: Vector = self.numbers[name]
        return numbers

    def log_probs(self, source: list[int], reads: list[int]) -> tuple[list[Vector], list[Vector]]:
        """For each target step log p of every token, and the weights of the source positions."""
        encoded = self.encode(source)
        layers = self.first_state(encoded.summary)
        feed = np.zeros(self.size if self.choices.wiring == "after" and self.choices.input_feeding else 0)
        answers, looks = [], []
        for t, token in enumerate(reads):
            y = self["target_embedding.weight"][token]
            if self.choices.wiring == "before":
                context, weights = self.attend(layers[-1][0], encoded, t)
                layers = self.recur("decoder.layers.0.recurrence.rnn", np.concatenate([y, context]), layers)
                row = self.maxout(np.concatenate([layers[-1][0], context, y]))
            else:
                layers = self.recur("decoder.layers.0.recurrence.rnn", np.concatenate([y, feed]), layers)
                h = layers[-1][0]
                context, weights = self.attend(h, encoded, t)
                attentional = np.tanh(self["decoder.layers.0.combine.weight"] @ np.concatenate([context, h]))
                feed = attentional[: len(feed)]
                row = attentional
                if "readout.hidden.weight" in self.numbers:
                    row = self["readout.hidden.weight"] @ attentional
            logits = self["readout.embedding.weight"] @ row + self["readout.bias_V"]
            answers.append(logits - math.log(sum(math.exp(logit) for logit in logits)))
            looks.append(weights)
        return answers, looks

    def encode(self, tokens: list[int]) -> Source:
        inputs = [self["source_embedding.weight"][token] for token in tokens]
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
        slots = list(self["decoder.layers.0.attention.slots_MD"]) if self.choices.kind == "memory" else []
        return Source(inputs, np.concatenate([ahead[-1], back[0]]), tokens, slots=slots)

    def first_state(self, summary: Vector) -> Layers:
        zeros = np.zeros(self.choices.layers * self.size)
        hidden = cell = zeros
        if self.choices.bridge == "linear":
            hidden = np.tanh(
                self["decoder.layers.0.bridge.hidden.weight"] @ summary + self["decoder.layers.0.bridge.hidden.bias"]
            )
            if self.choices.cell == "lstm":
                cell = self["decoder.layers.0.bridge.cell.weight"] @ summary + self["decoder.layers.0.bridge.cell.bias"]
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
        if self.choices.kind == "none":
            kept = len(source.summary) if self.choices.summary == "every-step" else 0
            return source.summary[:kept], np.zeros(0)
        match self.choices.kind:
            case "multi-head":
                return self.attend_by_heads(query, source, t)
            case "channel":
                return self.attend_by_channels(query, source, t)
            case "hierarchical":
                weights = self.weigh_segments(query, source, t)
            case _:
                weights = self.weigh(self.scores(query, source), query, source, t)
        if self.choices.kind == "hard":
            weights = np.eye(len(weights))[max(range(len(weights)), key=lambda s: weights[s])]
        source.past_weights.append(weights)
        context = mixture(weights, source.states)
        if self.choices.kind == "memory":
            context = np.concatenate([context, self.read_and_write(query, source)])
        return context, weights

    def scores(self, query: Vector, source: Source) -> dict[int, float]:
        """How well each position fits; those past the table of a location score are left out."""
        found = {s: self.score(query, state, s, source) for s, state in enumerate(source.states)}
        found = {s: energy for s, energy in found.items() if energy > -math.inf}
        if self.choices.kind != "temporal":
            return found
        source.past_scores.append(found)
        before = source.past_scores[:-1]
        if not before:
            return found
        return {s: energy - math.log(sum(math.exp(past[s]) for past in before)) for s, energy in found.items()}

    def weigh(self, energies: dict[int, float], query: Vector, source: Source, t: int) -> Vector:
        """Weights of the positions that the window shows."""
        centre = self.centre(query, len(source.states), t)
        seen = {s: energy for s, energy in energies.items() if self.sees(centre, s)}
        weights = np.zeros(len(source.states))
        for s, weight in self.normalise(seen).items():
            weights[s] = weight * self.gaussian(centre, s)
        return weights

    def sees(self, centre: float | None, s: int) -> bool:
        return centre is None or centre - self.choices.radius <= s <= centre + self.choices.radius

    def gaussian(self, centre: float | None, s: int) -> float:
        if self.choices.window != "local-p":
            return 1.0
        assert centre is not None
        sigma = self.choices.radius / 2
        return math.exp(-((s - centre) ** 2) / (2 * sigma**2))

    def attend_by_heads(self, query: Vector, source: Source, t: int) -> tuple[Vector, Vector]:
        name, heads = "decoder.layers.0.attention", self.choices.heads
        queries = np.split(self[f"{name}.score.query.weight"] @ query, heads)
        keys = [np.split(self[f"{name}.score.key.weight"] @ state, heads) for state in source.states]
        values = [np.split(self[f"{name}.value.weight"] @ state, heads) for state in source.states]
        looks, mixed = [], []
        for i, q in enumerate(queries):
            energies = {s: float(q @ key[i]) / math.sqrt(len(q)) for s, key in enumerate(keys)}
            looks.append(self.weigh(energies, query, source, t))
            mixed.append(mixture(looks[-1], [value[i] for value in values]))
        return self[f"{name}.output.weight"] @ np.concatenate(mixed), np.mean(looks, axis=0)

    def attend_by_channels(self, query: Vector, source: Source, t: int) -> tuple[Vector, Vector]:
        name = "decoder.layers.0.attention.score"
        inner = [
            np.tanh(self[f"{name}.query.weight"] @ query + self[f"{name}.key.weight"] @ state)
            for state in source.states
        ]
        energies = [self[f"{name}.energy.weight"] @ x for x in inner]
        looks = [
            self.weigh({s: float(energy[d]) for s, energy in enumerate(energies)}, query, source, t)
            for d in range(len(source.states[0]))
        ]
        context = [mixture(look, [state[[d]] for state in source.states])[0] for d, look in enumerate(looks)]
        return np.array(context), np.mean(looks, axis=0)

    def segments(self, source: Source) -> list[list[int]]:
        """The positions of each segment; the last of a source is </s>, which stays with those before it."""
        if self.choices.split == "length":
            whole = list(range(max(1, len(source.tokens) - 1)))
            parts = [whole[i : i + self.choices.segment_length] for i in whole[:: self.choices.segment_length]]
            parts[-1] += list(range(len(whole), len(source.tokens)))
            return parts
        parts = [[]]
        for s, token in enumerate(source.tokens):
            parts[-1].append(s)
            rest = source.tokens[s + 1 :]
            if token in self.choices.segment_ends and len(rest) > 1 and rest[0] not in self.choices.segment_ends:
                parts.append([])
        return parts

    def weigh_segments(self, query: Vector, source: Source, t: int) -> Vector:
        centre = self.centre(query, len(source.states), t)
        within: dict[int, dict[int, float]] = {}
        for g, part in enumerate(self.segments(source)):
            level = "decoder.layers.0.attention.score.word"
            energies = {s: self.score(query, source.states[s], s, source, level) for s in part if self.sees(centre, s)}
            if energies:
                within[g] = self.normalise(energies)
        summaries = {
            g: mixture(np.array(list(inner.values())), [source.states[s] for s in inner]) for g, inner in within.items()
        }
        level = "decoder.layers.0.attention.score.segment"
        among = self.normalise({g: self.score(query, u, g, source, level) for g, u in summaries.items()})
        weights = np.zeros(len(source.states))
        for g, weight in among.items():
            for s, inner_weight in within[g].items():
                weights[s] = weight * inner_weight * self.gaussian(centre, s)
        return weights

    def read_and_write(self, query: Vector, source: Source) -> Vector:
        likeness = [math.exp(float(query @ slot)) for slot in source.slots]
        weights = [x / sum(likeness) for x in likeness]
        read = mixture(np.array(weights), source.slots)
        erase, add = np.split(sigmoid(self["decoder.layers.0.attention.gates.weight"] @ query), 2)
        source.slots[:] = [m * (1 - w * erase) + w * add for w, m in zip(weights, source.slots, strict=True)]
        return read

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
        inner = np.tanh(self["decoder.layers.0.attention.window.hidden.weight"] @ query)
        return (length - 1) * float(sigmoid(self["decoder.layers.0.attention.window.position.weight"][0] @ inner))

    def score(
        self, query: Vector, state: Vector, s: int, source: Source, name: str = "decoder.layers.0.attention.score"
    ) -> float:
        match self.choices.score:
            case "dot":
                return float(query @ state)
            case "scaled-dot":
                return float(query @ state) / math.sqrt(len(query))
            case "general":
                return float(query @ (self[f"{name}.key.weight"] @ state))
            case "additive":
                inner = self[f"{name}.query.weight"] @ query + self[f"{name}.key.weight"] @ state
                if self.choices.kind == "coverage":
                    covered = sum(float(weights[s]) for weights in source.past_weights)
                    inner = inner + covered * self["decoder.layers.0.attention.coverage_A"]
                inner = np.tanh(inner)
                return float(self[f"{name}.energy.weight"][0] @ inner)
            case "location":
                table = self[f"{name}.position.weight"]
                return float(table[s] @ query) if s < len(table) else -math.inf
        raise AssertionError(self.choices.score)

    def maxout(self, features: Vector) -> Vector:
        name = "readout.hidden.linear"
        first, second = np.split(self[f"{name}.weight"] @ features + self[f"{name}.bias"], 2)
        return np.maximum(first, second)


def mixture(weights: Vector, vectors: list[Vector]) -> Vector:
    total = np.zeros(len(vectors[0]))
    for weight, vector in zip(weights, vectors, strict=True):
        total = total + weight * vector
    return total


def sigmoid(x: Vector) -> Vector:
    return 1 / (1 + np.exp(-x))
