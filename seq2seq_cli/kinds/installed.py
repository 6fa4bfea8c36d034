"""What installed packages offer to a table, by entry points.

A package says so in its pyproject.toml::

    [project.entry-points."seq2seq.attention"]
    cosine = "seq2seq_cosine:KIND"
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from traceback import extract_tb
from typing import NamedTuple

from seq2seq_cli.errors import ConfigError


class Offer(NamedTuple):
    """A row that a package offers under a name. Nothing of the package is loaded before ``load``."""

    entry: EntryPoint

    @property
    def package(self) -> str:
        """As it is installed."""
        return self.entry.module if self.entry.dist is None else self.entry.dist.name

    def load(self) -> object:
        """What it offers. Raises ConfigError where the package cannot be loaded."""
        try:
            return self.entry.load()
        except (Exception, SystemExit) as problem:  # of whatever kind: it is somebody else's code
            raise failed(self.package, f"cannot be loaded: {described(problem)}") from problem


@cache
def offers(group: str) -> Mapping[str, tuple[Offer, ...]]:
    """All of a ``group`` of entry points, by the names that they give: more than one where packages are at odds. Looked for
    once in a process."""
    found: dict[str, tuple[Offer, ...]] = {}
    for offer in sorted(map(Offer, entry_points(group=group)), key=lambda offer: (offer.entry.name, offer.package)):
        found[offer.entry.name] = (*found.get(offer.entry.name, ()), offer)
    return found


def failed(package: str, what: str) -> ConfigError:
    """What to tell of a ``package`` that does not do what it should."""
    return ConfigError(f"the package {package} {what}.", None, "Tell its author, or uninstall it.")


def described(problem: BaseException) -> str:
    """An exception of somebody else's code in a line, with the place where it was raised."""
    said = " ".join(f"{type(problem).__name__}: {problem}".split()).rstrip(".: ")
    frames = extract_tb(problem.__traceback__)
    return f"{said} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else said
