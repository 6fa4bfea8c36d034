"""Blocks of options that several commands share, each written once as a dataclass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


def with_blocks(function: Callable[..., None]) -> Callable[..., None]:
    """The command ``function``, where each parameter whose type is such a dataclass is replaced by the options that are
    its fields."""
    signature = inspect.signature(function, eval_str=True)
    taken: dict[str, Any] = {
        name: it.annotation for name, it in signature.parameters.items() if is_dataclass(it.annotation)
    }

    @functools.wraps(function)
    def command(**given: Any) -> None:
        blocks = {name: block(**{it.name: given.pop(it.name) for it in fields(block)}) for name, block in taken.items()}
        function(**given, **blocks)

    def options() -> Iterator[inspect.Parameter]:
        for name, parameter in signature.parameters.items():
            if name in taken:
                yield from _options(taken[name])
            else:
                yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)

    command.__signature__ = signature.replace(parameters=list(options()))  # type: ignore[attr-defined]
    return command


def _options(block: Any) -> Iterator[inspect.Parameter]:
    annotations = get_type_hints(block, include_extras=True)
    for it in fields(block):
        kind = inspect.Parameter.KEYWORD_ONLY
        yield inspect.Parameter(it.name, kind, default=it.default, annotation=annotations[it.name])
