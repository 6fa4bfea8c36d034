"""From files and the command line to a checked configuration.

Precedence: the defaults < a TOML file < ``--set section.key=value`` and the named flags.
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError

from seq2seq_cli.complaints import of_value
from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.config.whole import DEFAULTS, Config, all_keys, value_of
from seq2seq_cli.errors import ConfigError, suggestion
from seq2seq_cli.files import read_bytes

LARGEST_FILE, LONGEST_LINE = 64 << 10, 8 << 10
"""Bytes of a configuration. tomllib takes minutes for a key of ten thousand parts."""


@dataclass(frozen=True)
class Given:
    """Settings as they were given, by section, unchecked and without defaults. ``where``: the file; ``names``: for
    settings from the command line, what the command line calls them."""

    values: dict[str, Any]
    where: str | None
    names: Mapping[str, str]

    def over(self, values: dict[str, Any]) -> Given:
        """These settings laid over ``values``."""
        changes = {name: held for name, held in self.values.items() if name != DEFAULTS or not _are_names(held)}
        return replace(self, values=laid_over(values, changes))

    def checked(self) -> Config:
        """The configuration. Raises ConfigError naming every problem."""
        return from_dict(self.values, self.where, self.names)


def load(path: Path | None = None, overrides: Iterable[str] = (), flags: Mapping[str, object] | None = None) -> Config:
    """The configuration of a TOML file, with ``section.key=value`` overrides and then named flags laid over it.

    ``flags`` maps ``section.key`` to a value; None means not given. Raises ConfigError naming every problem.
    """
    return given(path, overrides, flags).checked()


def given(path: Path | None, overrides: Iterable[str], flags: Mapping[str, object] | None) -> Given:
    """The settings of ``load`` as they were given. Raises ConfigError for what has not the form of a setting."""
    changes, names = dict[str, Any](), dict[str, str]()
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f'"{override}" has no "=".', "--set", "Write it as section.key=value.")
        _assign(changes, key.strip(), _parse_value(text.strip()), "--set")
        names[key.strip()] = f"--set {key.strip()}"
    for key, value in (flags or {}).items():
        if value is not None:
            _assign(changes, key, value, flag(key))
            names[key] = flag(key)
    values = read_toml(path) if path is not None else {}
    return Given(changes, None if path is None else str(path), names).over(values)


FLAGS = {"attention.kind": "--attention", "objective.kind": "--objective", "objective.from_run": "--from"}
"""Flags that are not called as the setting is."""


def flag(key: str) -> str:
    """The name of the setting ``section.key`` on the command line."""
    return FLAGS.get(key) or f"--{key.rpartition('.')[2].replace('_', '-')}"


def laid_over(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with ``changes`` in place of the same settings.

    Defaults that a run's file has written out stay, unless the changes would make them others: another kind of
    attention has defaults of its own. Raises ConfigError where a section is not a section.
    """
    written = values.get(DEFAULTS)
    if not changes or not written or not _are_names(written):
        return _merged(values, changes)
    own = _without(values, written)
    try:
        before, after = (from_dict(each).resolved() for each in (own, _merged(own, changes)))
    except ConfigError:  # it is reported when the settings as given are checked
        return _merged(own, changes)
    stale = [key for key in written if value_of(before, key) != value_of(after, key)]
    kept = [key for key in written if key not in stale and key not in _keys(changes)]
    return {**_merged(_without(values, stale), changes), DEFAULTS: kept}


def _are_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and set(value) <= set(all_keys())


def _keys(values: Mapping[str, Any]) -> set[str]:
    return {f"{section}.{name}" for section, held in values.items() if isinstance(held, dict) for name in held}


def _without(values: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {
        section: {name: value for name, value in held.items() if f"{section}.{name}" not in keys}
        if isinstance(held, dict)
        else held
        for section, held in values.items()
        if section != DEFAULTS
    }


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for section, held in changes.items():
        if not isinstance(merged.setdefault(section, {}), dict) or not isinstance(held, dict):
            raise ConfigError(f"{section} is a section, not a value.")
        merged[section] = _laid(merged[section], held)
    return merged


def _laid(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A section with ``changes``; of a table within it, what is changed alone."""
    both = {name for name, held in changes.items() if isinstance(held, dict) and isinstance(values.get(name), dict)}
    return {**values, **changes, **{name: _laid(values[name], changes[name]) for name in both}}


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, unchecked. Raises ConfigError where it is missing or not TOML."""
    try:
        content = read_bytes(path, LARGEST_FILE)
        if any(len(line) > LONGEST_LINE for line in content.split(b"\n")):
            raise ConfigError(f"a line is longer than {LONGEST_LINE:,} bytes.", str(path))
        # What Windows' PowerShell writes behind a > is UTF-16.
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16") if wide else content.decode("utf-8-sig", errors="surrogateescape")
        return tomllib.loads(text.replace("\r\n", "\n"))
    except FileNotFoundError:
        raise ConfigError("there is no such configuration file.", str(path)) from None
    except RecursionError:
        raise ConfigError("not readable as TOML: nested too deeply.", str(path)) from None
    except OSError as error:
        raise ConfigError(f"not readable as TOML: {error.strerror}.", str(path)) from None
    except ValueError as error:  # from Unicode, from TOML, from numbers with thousands of digits
        raise ConfigError(f"not readable as TOML: {error}", str(path)) from None


def encoded(text: str) -> bytes:
    """A configuration as the bytes of a file: UTF-8, except that names of files which are not UTF-8 keep their own
    bytes."""
    return text.encode("utf-8", errors="surrogateescape")


def from_dict(values: Mapping[str, object], where: str | None = None, names: Mapping[str, str] | None = None) -> Config:
    """A checked configuration; ``where`` and ``names`` as in `Given`. Raises ConfigError listing every problem, with
    suggestions."""
    written = values.get(DEFAULTS, [])
    sections = {section: held for section, held in values.items() if section != DEFAULTS}
    try:
        config = Config.model_validate(sections)
    except ValidationError as error:
        details = [*error.errors(), *_between_sections(sections, error.errors())]
        raise ConfigError("\n".join(_explain(detail, where, names or {}) for detail in details)) from None
    if not _are_names(written):
        unknown = (
            [name for name in written if isinstance(name, str) and name not in all_keys()]
            if isinstance(written, list)
            else []
        )
        what = (
            f'{DEFAULTS} names "{unknown[0]}", which is no setting'
            if unknown
            else f"{DEFAULTS} is no list of settings' names"
        )
        raise ConfigError(f"{what}.", where, "Leave it out.")
    return config.with_unset(written) if written else config


ALONE = {"data", "training", "decoding", "evaluation"}
"""Sections whose settings can only add to what does not go together: without any of them, all that is said of the others is
still true."""


def _between_sections(sections: Mapping[str, object], details: Sequence[Any]) -> list[Any]:
    """What does not go together in the other sections, where only sections ALONE have problems of their own: pydantic asks that
    only when each section is right."""
    wrong = {detail["loc"][0] if detail["loc"] else "" for detail in details}
    if not wrong <= ALONE:
        return []
    try:
        Config.model_validate({section: held for section, held in sections.items() if section not in wrong})
    except ValidationError as error:
        return list(error.errors())
    return []


def decoding_with(
    decoding: DecodingConfig, changes: Mapping[str, int | float | None], called: Mapping[str, str] | None = None
) -> DecodingConfig:
    """``decoding`` with ``changes`` (None: no change) laid over it, checked. ``called``: what the caller calls the
    changed settings, if not as the command line does. Raises ConfigError as ``from_dict`` does."""
    changed = {name: value for name, value in changes.items() if value is not None}
    names = {f"decoding.{name}": (called or {}).get(name) or flag(f"decoding.{name}") for name in changed}
    return from_dict({"decoding": decoding.model_dump() | changed}, None, names).decoding


def _assign(values: dict[str, Any], key: str, value: object, where: str) -> None:
    *sections, name = key.split(".")
    if not sections:
        raise ConfigError(f'"{key}" is not of the form section.key.', where, suggestion(key, all_keys()))
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{section} is a section, not a value.", where)
    values[name] = value


def _parse_value(text: str) -> object:
    """``text`` read as TOML, or the text itself: ``--set data.src=de`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(detail: Any, where: str | None, names: Mapping[str, str]) -> str:
    place = [str(part) for part in detail["loc"]]
    key = ".".join(place)
    name = names.get(".".join(place[:2]))
    # A setting from the command line is named as it is there, and no file is to blame.
    told, prefix = (key, f"{where}: " if where else "") if name is None else (".".join([name, *place[2:]]), "")
    if detail["type"] == "extra_forbidden":
        known = all_keys() if len(place) > 1 else list(Config.model_fields)
        return f"{prefix}{told} is unknown. {suggestion(key, known) or 'See `seq2seq config show` for all there are.'}"
    return f"{prefix}{of_value(told, detail)}"
