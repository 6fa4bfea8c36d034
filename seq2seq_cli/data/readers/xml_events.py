"""XML as a stream of events: elements that begin and end, and text. With limits: nothing is fetched, and no entity may
be declared."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from seq2seq_cli.data.text import LONGEST, TextFile, open_bytes
from seq2seq_cli.errors import DataError

CHUNK = 1 << 16
DEEPEST = 200
MOST_EVENTS = 200_000
"""Most events in one unit, which is a sentence with its translations, or a document of a test set."""


@dataclass(frozen=True)
class Event:
    """An element that begins (``attributes`` by local name) or ends, or a piece of ``text``; ``line`` counts from 1."""

    line: int
    begins: str = ""
    ends: str = ""
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def events_of(file: TextFile) -> Iterator[Event]:
    """The events of a file; names are without their namespaces.

    Raises DataError, naming the line, where it is not XML, declares entities (which could fill memory, or name files),
    or is nested deeper than 200.
    """
    # Not translate-toolkit, which reads whole files into memory and is under the GPL; nor lxml, which builds trees.
    source = _Parser(str(file))
    with open_bytes(file) as binary:
        while chunk := binary.read(CHUNK):
            yield from source.feed(chunk)
        yield from source.feed(b"", last=True)


def unit(begin: Event, events: Iterator[Event], where: str) -> list[Event]:
    """``begin`` and all events up to its end. Raises DataError where these are too many for a unit of text."""
    found, depth, size = [begin], 1, 0
    while depth:
        event = next(events)
        found.append(event)
        depth += bool(event.begins) - bool(event.ends)
        size += len(event.text)
        if size > LONGEST or len(found) > MOST_EVENTS:
            raise DataError(f"<{begin.begins}> is too long for a piece of text.", f"{where}:{begin.line}")
    return found


class _Parser:
    """An expat parser whose handlers collect events."""

    def __init__(self, where: str) -> None:
        self.where, self.heard, self.depth, self.fed, self.text = where, list[Event](), 0, 0, 0
        self.parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.SkippedEntityHandler = self._skipped
        parser.EntityDeclHandler = self._declared

    def feed(self, chunk: bytes, last: bool = False) -> list[Event]:
        self.heard = []
        self.fed += len(chunk)
        try:
            self.parser.Parse(chunk, last)
        except expat.ExpatError as error:
            what = f"not readable as XML: {expat.ErrorString(error.code)} (column {error.offset + 1})."
            raise DataError(what, f"{self.where}:{error.lineno}") from None
        except (ValueError, LookupError, UnicodeError) as error:  # of an encoding that Python does not know
            raise DataError(f"not readable as XML: {error}.", self.where) from None
        if self.fed - self.parser.CurrentByteIndex > LONGEST:
            raise self._problem("a piece of markup here is longer than 8 MiB")
        return self.heard

    def _problem(self, what: str) -> DataError:
        return DataError(f"{what}.", f"{self.where}:{self.parser.CurrentLineNumber}")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._problem(f"nested deeper than {DEEPEST} elements")
        plain = {_local(key): value for key, value in attributes.items()}
        self.heard.append(Event(self.parser.CurrentLineNumber, begins=_local(name), attributes=plain))

    def _end(self, name: str) -> None:
        self.depth -= 1
        self.heard.append(Event(self.parser.CurrentLineNumber, ends=_local(name)))

    def _characters(self, text: str) -> None:
        self.heard.append(Event(self.parser.CurrentLineNumber, text=text))

    def _skipped(self, name: str, is_parameter: bool) -> None:
        """An entity that is not declared here; a document type elsewhere, which is not fetched, may declare it. HTML's
        entities are known."""
        if not is_parameter:
            self._characters(html.unescape(f"&{name};"))

    def _declared(self, name: str, *more: object) -> None:
        raise self._problem(f"the entity {name} is declared here, and entities are not read")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
