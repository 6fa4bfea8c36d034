"""How much the neighbours of a memory are to count: chosen by how likely they make the pieces of a dev text.

By likelihood and not by BLEU: the model reads the text once, whatever is tried afterwards is arithmetic, and a thousand
sentences have ten thousand pieces to judge by. T positions of all sentences, K neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq_cli.data.pairs import ParallelText
from seq2seq_cli.decoding.reading import read_together, reading, usable
from seq2seq_cli.decoding.recalling import OpenMemory, untuned
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.errors import DataError
from seq2seq_cli.neighbours.growth import Report, changing
from seq2seq_cli.neighbours.layout import Record, Tuned, Weights, write_record
from seq2seq_cli.neighbours.weighing import Adaptive, Fixed, Weighing, attention, save_adaptive
from seq2seq_cli.wording import without_folders

COUNTS = (2, 4, 8, 16, 32)
"""Numbers of neighbours that are tried."""
TEMPERATURES = tuple(2.0 ** (power / 2) for power in range(-10, 7))
"""Temperatures that are tried, in units of the memory's mean distance between neighbours."""
ROUNDS = 60
"""Steps of expectation maximisation, by which lambda is found."""
NEARLY = 0.01
"""Nats a piece: so much less likely is nearly as well."""
BATCH = 2048
"""Most target positions that are read together."""
HELD_OUT = 5
"""Every so many sentences is kept from the network, to tell when it has learned enough."""
EPOCHS, PATIENCE, ROWS, RATE = 200, 15, 512, 3e-3
"""Of training the network: most passes over the text; how many without progress end it; positions of an update; learning
rate."""
LISTENING = "looking at dev"
LEARNING = "learning when to go by neighbours"


class Read(NamedTuple):
    """What is known of each position of a text: log p of its piece by the model alone, its neighbours' distances and values,
    the piece itself, and the number of its sentence."""

    log_prob_T: Tensor
    distances_TK: Tensor
    values_TK: Tensor
    says_T: Tensor
    sentence_T: Tensor

    def of(self, chosen: Tensor | slice) -> Read:
        """Some of the positions."""
        return Read(*(x[chosen] for x in self))

    def nearest(self, count: int) -> Read:
        """The same with fewer neighbours."""
        return self._replace(distances_TK=self.distances_TK[:, :count], values_TK=self.values_TK[:, :count])

    def loss(self, weighing: Weighing) -> Tensor:
        """Minus the mean log-probability of the pieces, with the neighbours so weighed."""
        weights_TK = weighing(self.distances_TK, self.values_TK)
        given_T = ((self.values_TK == self.says_T[:, None]) * weights_TK).sum(1)
        rest_T = (1 - weights_TK.sum(1)).clamp(min=torch.finfo(torch.float32).tiny)
        return -torch.logaddexp(self.log_prob_T + rest_T.log(), given_T.clamp(min=TINY).log()).mean()


TINY = 1e-30
"""Nearly no probability: its logarithm is a number."""


@dataclass(frozen=True)
class Choice:
    """Weights, and the loss that they leave."""

    weights: Weights
    loss: float


@dataclass(frozen=True)
class Learned:
    """A network, the loss that it leaves on the sentences that it did not learn from, and that of fixed weights there."""

    network: Adaptive
    loss: float
    fixed_loss: float


def tune(translator: Translator, memory: OpenMemory, text: ParallelText, adaptive: bool, report: Report) -> Record:
    """Choose the weights of ``memory`` on ``text``, and with ``adaptive`` train a network for it as well, and write them
    into the memory as its own. The network is kept only where it does better on sentences that it has not seen. Returns what
    the memory is then. Raises DataError for a text without a usable pair, RunError where the memory has changed meanwhile."""
    store = memory.store
    read = read_text(translator, memory, text, report)
    chosen = choose(read, untuned(store, memory.recall.search).temperature)
    alone = float(-read.log_prob_T.mean())
    learned = learn(read, chosen.weights, report) if adaptive else None
    kept = learned if learned is not None and learned.loss < learned.fixed_loss else None
    tuned = Tuned(
        text=without_folders(text.where),
        sha256=text.digest(),
        pieces=len(read.says_T),
        alone=perplexity(alone),
        mixed=perplexity(chosen.loss),
        mixed_unseen=None if kept is None else perplexity(kept.fixed_loss),
        adaptive=None if kept is None else perplexity(kept.loss),
    )
    with changing(store.files, store.record):
        if kept is not None:
            save_adaptive(kept.network, store.files.adaptive)
        record = store.record.model_copy(update={"weights": chosen.weights, "tuned": tuned})
        write_record(store.files, record)
        if kept is None:
            store.files.adaptive.unlink(missing_ok=True)
    return record


def perplexity(loss: float) -> float:
    """Of so many nats a piece."""
    return math.exp(min(loss, 700))


def read_text(translator: Translator, memory: OpenMemory, text: ParallelText, report: Report) -> Read:
    """Read a text by forced decoding, and look up the neighbours of each position."""
    src, tgt = usable(translator, list(text.pairs()))[2:]
    if not src:
        raise DataError("no pair has two sides that are as short as those of the training.", text.where)
    parts: list[Read] = []
    done = 0
    for rows in read_together(src, tgt, BATCH):
        report(LISTENING, done, len(src))
        parts.append(_read(translator, memory, [src[i] for i in rows], [tgt[i] for i in rows], rows))
        done += len(rows)
    return Read(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


@torch.inference_mode()
def _read(
    translator: Translator, memory: OpenMemory, src: list[list[int]], tgt: list[list[int]], rows: list[int]
) -> Read:
    device = translator.device
    with translator.precision.autocast(device):
        forced, (steps, says_T), keys_TR = reading(translator, src, tgt)
        log_prob_T = forced.readout.target_log_probs(steps, says_T, forced.run)
    found = memory.recall.search.nearest(keys_TR, COUNTS[-1])
    sentence_T = torch.tensor(rows, device=device).repeat_interleave(forced.target.real_BT.sum(1))
    values_TK = memory.recall.values_M[found.entries_NK].long()
    return Read(*(x.cpu() for x in (log_prob_T.float(), found.distances_NK, values_TK, says_T, sentence_T)))


def choose(read: Read, unit: float) -> Choice:
    """The likeliest weights of all that are tried; T in multiples of ``unit``. Where fewer neighbours, which are found sooner,
    do nearly as well, those."""
    tried = []
    for count in [count for count in COUNTS if count <= read.values_TK.shape[1]] or [read.values_TK.shape[1]]:
        some = read.nearest(count)
        same_TK = some.values_TK == some.says_T[:, None]
        for factor in TEMPERATURES:
            given_T = (same_TK * attention(some.distances_TK, factor * unit)).sum(1)
            mix = likeliest_mix(read.log_prob_T.exp(), given_T)
            weights = Weights(neighbours=count, temperature=factor * unit, mix=mix)
            tried.append(Choice(weights, float(some.loss(Fixed(weights)))))
    best = min(choice.loss for choice in tried)
    good = [choice for choice in tried if choice.loss <= best + NEARLY]
    return min(good, key=lambda choice: (choice.weights.neighbours, choice.loss))


def likeliest_mix(model_T: Tensor, memory_T: Tensor) -> float:
    """The share lambda of the memory that makes the pieces likeliest, given their probabilities by either: by expectation
    maximisation, which nears the only maximum."""
    mix = 0.5
    for _ in range(ROUNDS):
        by_memory_T = mix * memory_T
        mix = float((by_memory_T / (by_memory_T + (1 - mix) * model_T).clamp(min=TINY)).mean())
    return round(min(1.0, max(0.0, mix)), 4)


def learn(read: Read, weights: Weights, report: Report) -> Learned | None:
    """A network for a memory with these weights, trained on most sentences of a text and stopped where the others get no
    likelier. None for a text of one sentence: there is none to learn from beside the one that is kept from it."""
    read = read.nearest(weights.neighbours)
    held_T = read.sentence_T % HELD_OUT == 0
    shown, held = read.of(~held_T), read.of(held_T)
    if not len(shown.says_T):
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Adaptive(read.values_TK.shape[1], weights.temperature)
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        best, kept, since = math.inf, network.state_dict(), 0
        for epoch in range(EPOCHS):
            report(LEARNING, epoch, EPOCHS)
            order = torch.randperm(len(shown.says_T))
            for begin in range(0, len(order), ROWS):
                optimiser.zero_grad()
                shown.of(order[begin : begin + ROWS]).loss(network).backward()
                optimiser.step()
            with torch.no_grad():
                loss = float(held.loss(network))
            since = 0 if loss < best else since + 1
            if loss < best:
                best, kept = loss, {name: tensor.clone() for name, tensor in network.state_dict().items()}
            if since >= PATIENCE:
                break
    network.load_state_dict(kept)
    return Learned(network.requires_grad_(False), best, float(held.loss(Fixed(weights))))
