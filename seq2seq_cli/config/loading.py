"""From files and the command line to a checked configuration.

Precedence: the defaults < a TOML file < ``--set section.key=value`` and the named flags.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any

from pydantic import ValidationError

from seq2seq_cli.config.sections import DecodingConfig
from seq2seq_cli.config.whole import Config, all_keys
from seq2seq_cli.errors import ConfigError, suggestion
from seq2seq_cli.files import read_bytes

LARGEST_FILE, LONGEST_LINE = 64 << 10, 8 << 10
"""Bytes of a configuration. tomllib takes minutes for a key of ten thousand parts."""


def load(path: Path | None = None, overrides: Iterable[str] = (), flags: Mapping[str, object] | None = None) -> Config:
    """The configuration of a TOML file, ``section.key=value`` overrides and named flags on top, in that order.

    ``flags`` maps ``section.key`` to a value; None means not given. Raises ConfigError naming every problem.
    """
    return from_dict(read_values(path, overrides, flags), str(path) if path is not None else None)


def read_values(
    path: Path | None = None, overrides: Iterable[str] = (), flags: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The same as they were given, in sections, unchecked and without defaults. Raises ConfigError for what has no such
    form."""
    values = read_toml(path) if path is not None else {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f'"{override}" has no "=".', "--set", "Write it as section.key=value.")
        _assign(values, key.strip(), _parse_value(text.strip()), "--set")
    for key, value in (flags or {}).items():
        if value is not None:
            _assign(values, key, value, "command line")
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file as they stand. Raises ConfigError where it is missing or not TOML."""
    try:
        content = read_bytes(path, LARGEST_FILE)
        if any(len(line) > LONGEST_LINE for line in content.split(b"\n")):
            raise ConfigError(f"a line is longer than {LONGEST_LINE:,} bytes.", str(path))
        return tomllib.loads(content.decode("utf-8-sig", errors="surrogateescape").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise ConfigError("there is no such configuration file.", str(path)) from None
    except RecursionError:
        raise ConfigError("not readable as TOML: nested too deeply.", str(path)) from None
    except OSError as error:
        raise ConfigError(f"not readable as TOML: {error.strerror}.", str(path)) from None
    except ValueError as error:  # of Unicode, of TOML, of numbers with thousands of digits
        raise ConfigError(f"not readable as TOML: {error}", str(path)) from None


def encoded(text: str) -> bytes:
    """A configuration as a file holds it: UTF-8, but for names of files that are not: these are their own bytes."""
    return text.encode("utf-8", errors="surrogateescape")


def from_dict(values: Mapping[str, object], where: str | None = None) -> Config:
    """A checked configuration. Raises ConfigError that lists every problem, with suggestions."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = [_explain(detail, where) for detail in error.errors()]
        raise ConfigError("\n".join(problems)) from None


def decoding_with(decoding: DecodingConfig, changes: Mapping[str, int | float | None], where: str) -> DecodingConfig:
    """The settings with ``changes`` (None: no change) laid over them. Raises ConfigError as ``from_dict``."""
    given = {name: value for name, value in changes.items() if value is not None}
    return from_dict({"decoding": decoding.model_dump() | given}, where).decoding


def _assign(values: dict[str, Any], key: str, value: object, where: str) -> None:
    section, dot, name = key.partition(".")
    if not dot:
        raise ConfigError(f'"{key}" is not of the form section.key.', where, suggestion(key, all_keys()))
    if not isinstance(values.setdefault(section, {}), dict):
        raise ConfigError(f"{section} is a section, not a value.", where)
    values[section][name] = value


def _parse_value(text: str) -> object:
    """TOML's reading of ``text``, or the text itself: ``--set data.src=de`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


def _shortened(value: object) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _explain(detail: Any, where: str | None) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    prefix = f"{where}: " if where else ""
    if detail["type"] == "extra_forbidden":
        known = all_keys() if len(detail["loc"]) > 1 else list(Config.model_fields)
        return f"{prefix}{key} is unknown. {suggestion(key, known) or 'See `seq2seq config show` for all there are.'}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("value_error", "missing") or "input" not in detail:
        return f"{prefix}{key}: {message}" if key else f"{prefix}{message}"
    return f"{prefix}{key} = {_shortened(detail['input'])}: {message}"
