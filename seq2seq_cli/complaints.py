"""What is wrong with the value of a setting, in our own words instead of pydantic's."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import Any

from seq2seq_cli.errors import suggestion

_WORDS = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": 'must be text, as in "de"',
    "list_type": "must be a list",
    "dict_type": "must be a section with settings of its own",
    "model_type": "must be a section with settings of its own",
}
"""By pydantic's names of its errors."""


def complaint(detail: Mapping[str, Any]) -> str:
    """An error of a ``ValidationError`` in words, without the name of the setting and its value."""
    kind, given = detail["type"], detail.get("ctx", {})
    if kind in _WORDS:
        return f"{_WORDS[kind].format(**{name: _plain(end) for name, end in given.items()})}."
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in given["expected"].replace(" or ", ", ").split(", ")]
        near = suggestion(str(detail["input"]), choices)
        return f"must be {given['expected']}.{f' {near}' if near else ''}"
    said: str = detail["msg"].removeprefix("Value error, ")
    return said.replace("Input should be", "must be")


def of_value(name: str, detail: Mapping[str, Any]) -> str:
    """The same, after the ``name`` of the setting ("" for all of them together) and its value."""
    message = complaint(detail)
    if detail["type"] in ("value_error", "missing") or "input" not in detail:
        return f"{name}: {message}" if name else message
    return f"{name} = {_shortened(detail['input'])}: {message}"


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


def _shortened(value: object) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _plain(end: Any) -> Any:
    return int(end) if isinstance(end, float) and end.is_integer() else end
