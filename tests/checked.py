"""Texts for check-data, and what it finds in them."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

from commands import Terminal
from corpora import write_lines

from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data.corpora import find_corpus

Pairs = list[tuple[str, str]]
Sides = tuple[list[str], list[str]]


def built_in_pairs(corpus: str, count: int) -> Pairs:
    """The first of a built-in corpus."""
    return list(islice(find_corpus(DataConfig(corpus=corpus)).train.pairs(), count))


def sides(pairs: Pairs) -> Sides:
    """Both texts, by themselves."""
    return [src for src, _ in pairs], [tgt for _, tgt in pairs]


def written(folder: Path, sides: Sides, name: str = "train") -> Path:
    for lines, language in zip(sides, ("de", "en"), strict=True):
        write_lines(folder / f"{name}.{language}", lines)
    return folder / name


def found(terminal: Terminal, prefix: object, *options: object) -> tuple[int, dict[str, Any]]:
    """The exit status, and the JSON by kind."""
    answer = terminal.run("check-data", prefix, "--src", "de", "--tgt", "en", "--json", *options)
    assert answer.status in (0, 3), answer.err
    record = json.loads(answer.out)
    return answer.status, record | {finding["name"]: finding for finding in record["findings"]}


def counts(record: dict[str, Any]) -> dict[str, int]:
    return {finding["name"]: finding["pairs"] for finding in record["findings"] if finding["pairs"]}
