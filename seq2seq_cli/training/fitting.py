"""Settings of one file for several models and kinds of attention."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq_cli.config.attention import WIRED, AttentionConfig
from seq2seq_cli.config.loading import given, read_toml
from seq2seq_cli.config.model import TransformerNumbers
from seq2seq_cli.config.self_attention import SelfAttentionConfig
from seq2seq_cli.config.whole import DEFAULTS, OF_TRANSFORMERS, Config
from seq2seq_cli.kinds.attentions import find
from seq2seq_cli.kinds.clashes import CONDITIONS


class Fitted(NamedTuple):
    """A configuration, and the settings (``section.key``) that somebody has set in the file and that it leaves out."""

    config: Config
    left_out: list[str]


def fitting(file: Path | None, overrides: Sequence[str], flags: Mapping[str, object]) -> Fitted:
    """The settings as `config.load` reads them, but without those of the file that belong to other layers, or to another kind
    of attention, than ``flags`` name. Raises ConfigError naming every other problem."""
    settings, own = given(file, overrides, flags), {} if file is None else read_toml(file)
    values = {name: dict(held) if isinstance(held, dict) else held for name, held in settings.values.items()}
    left_out = []
    for key in dict.fromkeys(_of_others(values, own)):
        section, _, name = key.partition(".")
        if key not in settings.names and isinstance(values.get(section), dict) and name in values[section]:
            del values[section][name]
            left_out.append(key)
    config = replace(settings, values=values).checked()
    written = own.get(DEFAULTS, [])
    return Fitted(config, sorted(key for key in left_out if key not in written))


def _of_others(values: Mapping[str, Any], own: Mapping[str, Any]) -> Iterable[str]:
    """What means nothing with the layers and the kind of ``values``; ``own``: what the file itself says of them."""
    before, now = ({"encoder": "rnn", "decoder": "rnn"} | _section(each, "model") for each in (own, values))
    for part in ("encoder", "decoder"):
        if before[part] != now[part]:
            yield f"model.{part}_layers"
    both = (now["encoder"], now["decoder"])
    if both == ("rnn", "rnn"):
        yield from (f"model.{name}" for name in TransformerNumbers.__dataclass_fields__)
    if "transformer" not in both:
        yield from (f"self_attention.{name}" for name in SelfAttentionConfig.model_fields)
    if "rnn" not in both:
        yield "model.cell"
    if now["decoder"] == "rnn":
        yield "attention.layer"
    else:
        yield from ("model.bridge", *(f"attention.{name}" for name in WIRED))
    attention = _section(values, "attention")
    kind = attention.get("kind", AttentionConfig().kind if now["decoder"] == "rnn" else OF_TRANSFORMERS)
    if isinstance(kind, str):
        yield from (f"attention.{name}" for name in attention.keys() - find(kind).options - {"kind", "own"})
        chosen = AttentionConfig.model_construct(**{**attention, "kind": kind}).choices
        yield from (f"attention.{it.option}" for it in CONDITIONS if not it.met(chosen))


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    held = values.get(name)
    return held if isinstance(held, dict) else {}
