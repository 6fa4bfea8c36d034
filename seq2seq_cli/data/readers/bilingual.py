"""Sentence pairs from translators' XML: TMX, XLIFF 1.2 and 2.0, and the test sets of WMT."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from seq2seq_cli.data.readers.xml_events import Event, events_of, unit
from seq2seq_cli.data.rows import Asked, Row
from seq2seq_cli.data.text import TextFile
from seq2seq_cli.errors import DataError

CODES = frozenset(("bpt", "ept", "ph", "it", "ut", "sc", "ec", "cp", "x", "bx", "ex", "note", "prop"))
"""Elements within a text whose content is no text: formatting of the original document, and remarks."""
UNTRANSLATED = frozenset(("new", "needs-translation", "initial"))
"""States of an XLIFF target that is empty or a copy of the source."""


def read_xml(file: TextFile, asked: Asked) -> Iterator[Row]:
    """The units of a file, with texts by language. The outermost element tells the format."""
    events = events_of(file)
    outermost = next(event for event in events if event.begins)
    name = outermost.begins.lower()
    if name not in READERS:
        what = f"its outermost element is <{outermost.begins}>, and none of {', '.join(f'<{known}>' for known in READERS)}."
        hint = "TMX, XLIFF and WMT's test sets are read. Where each language has a file of its own, name both."
        raise DataError(what, f"{file}:{outermost.line}", hint)
    return READERS[name](outermost, events, str(file))


def _tmx(outermost: Event, events: Iterator[Event], where: str) -> Iterator[Row]:
    for event in events:
        if event.begins == "tu":
            texts = dict[str, str]()
            language = ""
            inside = unit(event, events, where)
            for number, part in enumerate(inside):
                if part.begins == "tuv":
                    language = part.attributes.get("lang", "")
                elif part.begins == "seg":
                    texts.setdefault(language, text_within(inside, number))
            yield f"{where}:{event.line}", texts


def _xliff(outermost: Event, events: Iterator[Event], where: str) -> Iterator[Row]:
    source, target = (outermost.attributes.get(name, "") for name in ("srcLang", "trgLang"))
    for event in events:
        if event.begins == "file":
            source = event.attributes.get("source-language", source)
            target = event.attributes.get("target-language", target)
        elif event.begins in ("trans-unit", "segment"):
            yield f"{where}:{event.line}", _translated(unit(event, events, where), source, target)


def _translated(inside: list[Event], source: str, target: str) -> dict[str, str]:
    """Source and target of a unit; only the source where the unit has not been translated."""
    texts, states = dict[str, str](), {inside[0].attributes.get("state")}
    elsewhere = 0
    for number, part in enumerate(inside):
        elsewhere += (part.begins == "alt-trans") - (part.ends == "alt-trans")
        if not elsewhere and part.begins == "source":
            texts[source] = text_within(inside, number)
        elif not elsewhere and part.begins == "target":
            states.add(part.attributes.get("state"))
            text = text_within(inside, number)
            if text.strip() and not states & UNTRANSLATED:
                texts[target] = text
    return texts


def _wmt(outermost: Event, events: Iterator[Event], where: str) -> Iterator[Row]:
    for event in events:
        if event.begins == "doc":
            sides = defaultdict[str, list[_Side]](list)
            side = _Side()
            inside = unit(event, events, where)
            for number, part in enumerate(inside):
                if part.begins in ("src", "ref", "hyp"):
                    side, language = _Side(), part.attributes.get("lang", "")
                    if language and part.begins != "hyp":
                        sides[language].append(side)
                elif part.begins == "seg":
                    side.lines.append(part.line)
                    side.texts.append(text_within(inside, number))
            yield from _segments(event, sides, where)


@dataclass(frozen=True)
class _Side:
    """The segments of a document in one language by one translator, with their lines."""

    lines: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def _segments(document: Event, sides: Mapping[str, list[_Side]], where: str) -> Iterator[Row]:
    """A row for each segment. Its cells are lists with as many texts as there are versions in a language."""
    name = document.attributes.get("id", "")
    lengths = [(len(side.texts), language) for language, several in sides.items() for side in several]
    if len({length for length, _ in lengths}) > 1:
        said = ", ".join(f"{length} in {language}" for length, language in lengths)
        raise DataError(
            f"the document {name} has not as many segments in each language: {said}.", f"{where}:{document.line}"
        )
    first = next((several[0].lines for several in sides.values()), [])
    for number, line in enumerate(first):
        cells = {language: [side.texts[number] for side in several] for language, several in sides.items()}
        yield f"{where}:{line}", cells


def text_within(inside: list[Event], begin: int) -> str:
    """The text of the element that begins at ``begin``, without the content of `CODES`."""
    found, depth, hidden = list[str](), 0, 0
    for number in range(begin, len(inside)):
        event = inside[number]
        if event.begins:
            depth += 1
            hidden += bool(hidden) or event.begins in CODES
        elif event.ends:
            depth -= 1
            hidden -= bool(hidden)
        elif not hidden:
            found.append(event.text)
        if not depth:
            break
    return "".join(found)


READERS: dict[str, Callable[[Event, Iterator[Event], str], Iterator[Row]]] = {
    "tmx": _tmx,
    "xliff": _xliff,
    "dataset": _wmt,
}
"""By the name of the outermost element, in small letters."""
