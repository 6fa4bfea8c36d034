"""What the heads of a Transformer look at: the pictures and tables of docs/attention.md, "Transformer layers".

    python -m benchmarks.heads --run R --source P/test.de --target P/test.en --sentence "Ein Satz." \\
        --translation "A sentence." -o docs/attention

For a run that translates from German: the second table and one of the pictures are about German pronouns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import common
from seq2seq_cli import console
from seq2seq_cli.data.pairs import LineFiles, Lines
from seq2seq_cli.decoding.hypothesis import Alignment, Attentions, Role
from seq2seq_cli.decoding.translator import Translator
from seq2seq_cli.device import set_threads
from seq2seq_cli.evaluation.alignment import Grid, by_words
from seq2seq_cli.evaluation.diagnostics import entropies
from seq2seq_cli.report.figures import save_figure

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CELL, TEXT = 0.12, 6
"""Side of a cell in inches, and size of the labels in points."""
PICTURES = {
    Role.ITSELF: "self-attention.png",
    Role.MASKED: "masked-self-attention.png",
    Role.CROSS: "cross-attention.png",
}
MASCULINE, FEMININE = ("Hund", "Mann", "Junge"), ("Katze", "Frau", "Dame")
VERBS, STATES = ("jagt", "sieht"), ("hungrig", "müde", "nass")


@dataclass(frozen=True)
class Habit:
    """What a head does with its weight, a mean over pieces, as shares: at the piece ``before`` the one that looks, at that
    ``itself``, at the one ``after``, and at the ``mark``: ``</s>`` of a source, ``<s>`` of a translation. None where there is
    no such thing. ``largest``: the largest weight of a row; ``entropy``: in bits."""

    role: str
    layer: int
    head: int
    before: float | None
    itself: float | None
    after: float | None
    mark: float
    largest: float
    entropy: float

    @classmethod
    def of(cls, role: Role, layer: int, head: int, seen: Sequence[Alignment]) -> Habit:
        """Over the pieces of some sentences that have two others on either side, so that these are no marks."""
        inner = [one.weights_TS[2:-2] for one in seen]

        def share(step: int) -> float | None:
            if role is Role.CROSS or (role is Role.MASKED and step > 0):
                return None
            return _mean([np.diagonal(weights_TS, 2 + step) for weights_TS in inner])

        return cls(
            role.value,
            layer,
            head,
            before=share(-1),
            itself=share(0),
            after=share(1),
            mark=_mean([weights_TS[:, 0 if role is Role.MASKED else -1] for weights_TS in inner]),
            largest=_mean([weights_TS.max(1) for weights_TS in inner]),
            entropy=_mean([entropies(weights_TS) for weights_TS in inner]),
        )


def _mean(parts: Sequence[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())


class Said(NamedTuple):
    """A sentence of a pronoun and two nouns, one of which it agrees with. Places are those of words, from 0."""

    text: str
    pronoun: str
    masculine: int
    feminine: int

    @property
    def agreeing(self) -> int:
        """The place of the noun that agrees with the pronoun."""
        return self.masculine if self.pronoun == "er" else self.feminine

    @property
    def other(self) -> int:
        """The place of the other noun."""
        return self.feminine if self.pronoun == "er" else self.masculine


def sayings() -> Iterator[Said]:
    """Each noun with each of the other gender, in both orders, with either pronoun. The two of docs/attention.md come first."""
    for verb, state, he, she in product(VERBS, STATES, MASCULINE, FEMININE):
        for pronoun in ("er", "sie"):
            yield Said(f"Der {he} {verb} die {she}, weil {pronoun} {state} ist.", pronoun, 1, 4)
        accusative = "Jungen" if he == "Junge" else he
        for pronoun in ("er", "sie"):
            yield Said(f"Die {she} {verb} den {accusative}, weil {pronoun} {state} ist.", pronoun, 4, 1)


@dataclass(frozen=True)
class Reference:
    """How much of a head's weight goes from the pronoun to either noun: in each of the two sentences of docs/attention.md
    (``er_hund``, ...), and in all: to ``both`` nouns together, and in which share of the sentences the noun that ``agrees`` has
    the larger weight."""

    layer: int
    head: int
    er_hund: float
    er_katze: float
    sie_hund: float
    sie_katze: float
    both: float
    agrees: float

    @classmethod
    def of(cls, layer: int, head: int, said: Sequence[Said], grids: Sequence[Grid]) -> Reference:
        """Over the sentences, as one head sees them."""
        rows = [grid.weights_TS[grid.source.index(one.pronoun)] for one, grid in zip(said, grids, strict=True)]
        nouns = np.array([[row_S[one.agreeing], row_S[one.other]] for one, row_S in zip(said, rows, strict=True)])
        er, sie = ([float(row_S[place]) for place in (said[0].masculine, said[0].feminine)] for row_S in rows[:2])
        both, agrees = nouns.sum(1).mean(), (nouns[:, 0] > nouns[:, 1]).mean()
        return cls(layer, head, er[0], er[1], sie[0], sie[1], both=float(both), agrees=float(agrees))


@dataclass(frozen=True)
class Told:
    """How many translations of sentences with this pronoun have which English one."""

    pronoun: str
    he: int
    she: int
    it: int
    none: int

    @classmethod
    def of(cls, pronoun: str, translations: Sequence[str]) -> Told:
        """Of these translations; a sentence may have several."""
        words = [set(translation.lower().rstrip(".").split()) for translation in translations]
        he, she, it = (sum(word in each for each in words) for word in ("he", "she", "it"))
        return cls(pronoun, he, she, it, none=sum(not each & {"he", "she", "it"} for each in words))


def panels(grids: Sequence[Sequence[Grid]], across: str, down: str, rows: str, columns: str) -> Figure:
    """Small heat maps in rows and columns, which are named; words stand at the left and upper margins alone."""
    tall, wide = grids[0][0].weights_TS.shape
    figure = Figure(figsize=(CELL * (wide + 1) * len(grids[0]), CELL * (tall + 1) * len(grids)))
    every = figure.subplots(
        len(grids), len(grids[0]), squeeze=False, gridspec_kw={"wspace": 1 / wide, "hspace": 1 / tall}
    )
    figure.subplots_adjust(0, 0, 1, 1)
    for i, (row, line) in enumerate(zip(every, grids, strict=True)):
        for j, (axes, grid) in enumerate(zip(row, line, strict=True)):
            _draw(axes, grid, left=j == 0, top=i == 0)
            axes.set_xlabel(f"{columns} {j + 1}" if i == len(grids) - 1 else "", fontsize=TEXT + 1)
        row[-1].yaxis.set_label_position("right")
        row[-1].set_ylabel(f"{rows} {i + 1}", fontsize=TEXT + 1)
    figure.text(-0.02, 1.02, f"across: {across}; down: {down}", fontsize=TEXT + 1, ha="right", va="bottom")
    return figure


def _draw(axes: Axes, grid: Grid, left: bool, top: bool) -> None:
    weights = grid.weights_TS if grid.seen_TS is None else np.ma.masked_where(~grid.seen_TS, grid.weights_TS)
    axes.set_facecolor("0.9")  # what cannot be seen
    axes.pcolormesh(weights, cmap="Blues", vmin=0, vmax=1)
    axes.invert_yaxis()
    axes.tick_params(length=0, labeltop=True, labelbottom=False, pad=2)
    axes.set_xticks(np.arange(len(grid.source)) + 0.5, grid.source if top else [""] * len(grid.source), rotation=90)
    axes.set_yticks(np.arange(len(grid.target)) + 0.5, grid.target if left else [""] * len(grid.target))
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontsize(TEXT)


def at_pronouns(said: Sequence[Said], grids: Sequence[Sequence[Grid]]) -> list[Grid]:
    """For each sentence, the row of its pronoun as each layer and head has it, one below another."""
    found = []
    for number, one in enumerate(said):
        words = grids[0][number].source
        rows = [heads[number].weights_TS[words.index(one.pronoun)] for heads in grids]
        found.append(Grid(words, tuple(one.pronoun for _ in rows), np.stack(rows)))
    return found


def main(
    run: Annotated[Path, typer.Option(help="A Transformer that translates from German.")],
    source: Annotated[Path, typer.Option(help="Source text over which habits are measured.")],
    target: Annotated[Path, typer.Option(help="Its translations.")],
    sentence: Annotated[str, typer.Option(help="A source sentence to draw.")],
    translation: Annotated[str, typer.Option(help="Its translation.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the pictures.")],
    sentences: Annotated[int, typer.Option(min=1, help="How many sentences of the text are read.")] = 300,
    as_json: common.JsonOption = False,
) -> None:
    """Draw one sentence as every layer and head sees it, and print what heads look at, of pronouns too."""
    set_threads(1)
    translator = Translator.load(run, "cpu", "fp32")
    lines = Lines.read(LineFiles(source, target))

    def seen(src: Sequence[str], tgt: Sequence[str]) -> list[Attentions]:
        looked = translator.forced_decoder.looked_into(translator.sentences(src), translator.score(src, tgt))
        return [one.attentions for one in looked if one.attentions is not None]

    (drawn,) = seen([sentence], [translation])
    output.mkdir(parents=True, exist_ok=True)
    words = {Role.CROSS: ("source", "target"), Role.ITSELF: ("looked at", "looks"), Role.MASKED: ("looked at", "looks")}
    for role, name in PICTURES.items():
        grids = [[by_words(head) for head in layer.heads] for layer in drawn.of(role)]
        save_figure(panels(grids, *words[role], "layer", "head"), output / name)
    text = seen(lines.src[:sentences], lines.tgt[:sentences])
    habits = [
        Habit.of(role, i + 1, j + 1, [one.of(role)[i].heads[j] for one in text])
        for role in (Role.ITSELF, Role.MASKED, Role.CROSS)
        for i, heads in enumerate(translator.attention_layers.of(role))
        for j in range(heads)
    ]
    said = list(sayings())
    asked = seen([one.text for one in said], [""] * len(said))  # the source is the same, whatever it is translated to
    places = [(i, j) for i, heads in enumerate(translator.attention_layers.itself) for j in range(heads)]
    grids = [[by_words(one.itself[i].heads[j]) for one in asked] for i, j in places]
    references = [Reference.of(i + 1, j + 1, said, each) for (i, j), each in zip(places, grids, strict=True)]
    translations = translator.translate([one.text for one in said])
    told = [
        Told.of(pronoun, [text for one, text in zip(said, translations, strict=True) if one.pronoun == pronoun])
        for pronoun in ("er", "sie")
    ]
    save_figure(pronouns(at_pronouns(said[:2], grids), places), output / "pronouns.png")
    console.notice(f"pictures: {output}")
    if as_json:
        tables: dict[str, Sequence[DataclassInstance]] = {
            "habits": habits,
            "pronouns": references,
            "translations": told,
        }
        record = {name: [asdict(row) for row in rows] for name, rows in tables.items()}
        console.result(json.dumps(record, indent=2))
        return
    common.show(habits, False, f"Where heads look, mean over {len(text)} sentences")
    common.show(references, False, f"From the pronoun to the nouns; the last two columns over {len(said)} sentences")
    common.show(told, False, "What their translations say")


def pronouns(grids: Sequence[Grid], places: Sequence[tuple[int, int]]) -> Figure:
    """The rows of the pronoun of several sentences side by side, each called by its layer and head."""
    wide = len(grids[0].source)
    figure = Figure(figsize=(CELL * 1.4 * (wide + 4) * len(grids), CELL * 1.2 * len(places)))
    every = figure.subplots(1, len(grids), squeeze=False, gridspec_kw={"wspace": 4 / wide})
    figure.subplots_adjust(0, 0, 1, 1)
    names = tuple(f"{layer + 1}.{head + 1}" for layer, head in places)
    for axes, grid in zip(every[0], grids, strict=True):
        _draw(axes, Grid(grid.source, names, grid.weights_TS), left=True, top=True)
        axes.set_ylabel(f"“{grid.target[0]}” looks: layer.head", fontsize=TEXT + 1)
    return figure


if __name__ == "__main__":
    common.command(main)
