"""How a run was made, as its directory records it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import tomli_w

from seq2seq_cli.config.loading import read_toml
from seq2seq_cli.data.text import sha256
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.runs import Run
from seq2seq_cli.wording import without_ways_in


@dataclass(frozen=True)
class SittingRecord:
    """One stretch of training: when, by which command, with which versions, on which machine."""

    started: str
    command: str
    versions: str
    machine: str


@dataclass(frozen=True)
class Provenance:
    """``settings`` is the resolved configuration as TOML; ``facts`` are names and values; ``source_language`` and
    ``target_language`` are empty where they are not known. Without ``run.json`` there are fewer facts."""

    settings: str
    facts: list[tuple[str, str]]
    sittings: list[SittingRecord]
    source_language: str
    target_language: str


def provenance(evaluation: Evaluation) -> Provenance:
    """The provenance of the run that was evaluated, and how it was decoded.

    Pages are sent to others: of files elsewhere on this machine, they give the names but not the folders, which may
    tell whose they are. ``config.toml`` and ``run.json`` have everything.
    """
    run = evaluation.run
    record = _record(evaluation)
    weights = sha256(run.best) if run.best.is_file() else "not there"
    facts = [
        ("directory", run.directory.resolve().name),
        ("decoding", evaluation.search),
        ("weights, SHA-256", weights),
        ("test set, SHA-256", evaluation.test_sha256),
        *((f"{split} text, SHA-256", str(digest)) for split, digest in _items(record, "data_sha256")),
        *((f"{split} pairs", str(count)) for split, count in _items(record, "pairs")),
        *((name, str(record[name])) for name in ("corpus", "src", "tgt", "seed") if name in record),
    ]
    sittings = [_sitting(one) for one in _list(record, "sittings") if isinstance(one, dict)]
    return Provenance(_settings(run), facts, sittings, str(record.get("src", "")), str(record.get("tgt", "")))


def _settings(run: Run) -> str:
    values = read_toml(run.config) if run.config.is_file() else {}
    return tomli_w.dumps({section: _without_ways_in(settings) for section, settings in values.items()})


def _without_ways_in(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {key: _without_ways_in(value) for key, value in settings.items()}
    return without_ways_in(settings) if isinstance(settings, str) else settings


def _record(evaluation: Evaluation) -> dict[str, Any]:
    try:
        record = evaluation.run.record()
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _items(record: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    found = record.get(name)
    return list(found.items()) if isinstance(found, dict) else []


def _list(record: dict[str, Any], name: str) -> list[Any]:
    found = record.get(name)
    return found if isinstance(found, list) else []


def _sitting(record: dict[str, Any]) -> SittingRecord:
    command = [without_ways_in(str(word)) for word in _list(record, "command")]
    return SittingRecord(
        started=str(record.get("started", "")),
        command=shlex.join(command),
        versions=", ".join(f"{name} {value}" for name, value in _items(record, "versions")),
        machine=", ".join(f"{name} {value}" for name, value in _items(record, "machine")),
    )
