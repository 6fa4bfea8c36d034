"""Texts with a file for each language that are not named as a common prefix: two files, ``{lang}`` in a pattern, a
folder, an archive."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, zip_longest
from pathlib import Path, PurePath
from typing import TypeVar

from seq2seq_cli.config.sections import languages_in
from seq2seq_cli.data.archives import Member, members
from seq2seq_cli.data.formats import FORMATS, REFUSED, SEGMENTED, format_of, suffix_of
from seq2seq_cli.data.languages import find_language
from seq2seq_cli.data.pairs import Joined, LineFiles, ParallelText, Referenced, TwoFiles
from seq2seq_cli.data.readers.segments import Segment, read_segments
from seq2seq_cli.data.rows import Note
from seq2seq_cli.data.tables import Table
from seq2seq_cli.data.text import TextFile
from seq2seq_cli.errors import DataError
from seq2seq_cli.wording import counted

LANGUAGE = "{lang}"
ROLE_NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "validation", "val", "devel"),
    "test": ("test", "eval", "evaluation"),
}
"""How files that hold the text for a role are named."""
File = TypeVar("File")
Key = TypeVar("Key")
SHOWN = 20
"""How many files a message names."""


@dataclass(frozen=True)
class SegmentFiles(TwoFiles):
    """Two files of a test set: segment i of one translates segment i of the other. If the target file has several
    versions of a document, ``reference`` is the number of the one to take, from 0; what a version lacks is empty."""

    reference: int = 0

    def most_references(self) -> int:
        """The largest number of versions of a document. The files are read to find out."""
        src, tgt = (max((one.version for one in read_segments(file)), default=0) for file in (self.src, self.tgt))
        return 1 + max(0, tgt - src)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """As for every text. Raises DataError also where segments that stand side by side differ in name."""
        read = 0
        for src, tgt in self._segments():
            if src is None or tgt is None:
                shorter, longer = (self.src, self.tgt) if src is None else (self.tgt, self.src)
                raise DataError(f"has only {counted(read, 'segment')}, and {longer} has more.", str(shorter))
            if src.name != tgt.name and src.name and tgt.name:
                what = f'this is segment "{src.name}" of "{src.document}", but line {tgt.line} of {self.tgt} is "{tgt.name}".'
                raise DataError(what, f"{self.src}:{src.line}", "Segments must be in the same order in both files.")
            read += 1
            yield src.text, tgt.text
        if not read:
            raise DataError("there are no segments (<seg>) here.", self.where)

    def _segments(self) -> Iterator[tuple[Segment | None, Segment | None]]:
        """Segments that belong together; None where one file has no more."""
        return self._of_further_versions() if self.reference else self._of_first_versions()

    def _of_first_versions(self) -> Iterator[tuple[Segment | None, Segment | None]]:
        targets, last = read_segments(self.tgt), 0
        for src in read_segments(self.src):
            last = src.version  # where the source repeats the name of a document, the target may do so too
            yield src, next((tgt for tgt in targets if tgt.version <= last), None)
        yield from ((None, tgt) for tgt in targets if tgt.version <= last)

    def _of_further_versions(self) -> Iterator[tuple[Segment | None, Segment | None]]:
        versions = defaultdict[str, list[Segment]](list)
        for tgt in read_segments(self.tgt):
            if tgt.version == self.reference:
                versions[tgt.document].append(tgt)
        for document, some in groupby(read_segments(self.src), lambda src: src.document):
            if document in versions:
                yield from zip_longest(some, versions.pop(document))
            else:
                yield from ((src, Segment(document, src.name, "", src.line)) for src in some)
        yield from ((None, tgt) for rest in versions.values() for tgt in rest)


def two_files(src_file: TextFile, tgt_file: TextFile) -> ParallelText:
    """A file for each language. Raises DataError where one of them holds both languages, or is missing."""
    for file in (src_file, tgt_file):
        if isinstance(file, Path) and not file.is_file():
            raise DataError("is no file, and a list of names is one of files.", str(file))
        if suffix_of(file) in FORMATS and suffix_of(file) not in SEGMENTED:
            raise DataError("holds both languages, and is named alone.", str(file))
        hint = REFUSED.get(suffix_of(file))
        if hint and suffix_of(file) not in SEGMENTED:
            raise DataError("cannot be read as text.", str(file), hint)
    segmented = [suffix_of(file) in SEGMENTED for file in (src_file, tgt_file)]
    return SegmentFiles(src_file, tgt_file) if all(segmented) else LineFiles(src_file, tgt_file)


def named_files(names: Sequence[Path], src: str, tgt: str) -> ParallelText:
    """Two files, source first, unless the languages at the end of their names say otherwise. Raises DataError for more
    than two."""
    if len(names) != 2:
        hint = "Name source and target. A pattern names more files: 'P/part-*', or 'P/{lang}/*.txt'."
        raise DataError(
            f"{counted(len(names), 'file')} for one text: more than two are not read.", ", ".join(map(str, names)), hint
        )
    return two_files(*_source_first(names, src, tgt))


def referenced_files(names: Sequence[Path], src: str, tgt: str) -> Referenced:
    """A source file and several reference files, in the order of `named_files`."""
    source, *references = _source_first(names, src, tgt)
    first, *further = (two_files(source, reference) for reference in references)
    return Referenced(first, tuple(further))


def _source_first(names: Sequence[Path], src: str, tgt: str) -> list[Path]:
    """The files in the given order, unless the languages at the end of their names say that another one is the
    source."""
    first, *others = names
    sources = [name for name in others if languages_in([str(first), str(name)]) == (tgt, src)]
    return [*sources, *(name for name in names if name not in sources)] if len(sources) == 1 else list(names)


# Patterns with the language in them.


def by_language(form: str, pattern: Path, src: str, tgt: str) -> ParallelText:
    """The files that ``pattern`` matches with each language for ``{lang}``, paired by what its wild cards stand for."""
    sides = [_matches(pattern, language) for language in (src, tgt)]
    if not all(sides):
        missing = (src, tgt)[bool(sides[0])]
        raise DataError(f"no files are called {str(pattern).replace(LANGUAGE, missing)}.", form)
    parts = _paired(sides[0], sides[1], form)
    return Joined.of(parts, form)


def _matches(pattern: Path, language: str) -> dict[tuple[str, ...], Path]:
    """The files that the pattern matches, by what its wild cards stand for."""
    text = str(pattern).replace(LANGUAGE, language)
    for whole in (Path(text), Path(f"{text}.gz")):
        if whole.is_file():
            return {(): whole}
    fixed = [not any(mark in part for mark in "*?[") for part in Path(text).parts]
    if all(fixed):
        return {}
    folder = Path(*Path(text).parts[: fixed.index(False)])
    inside = str(Path(text).relative_to(folder))
    shape = re.compile(_expression(inside), re.DOTALL)
    found = {}
    for path in sorted(folder.glob(inside)) or sorted(folder.glob(f"{inside}.gz")):
        name = str(path.relative_to(folder))
        matched = shape.fullmatch(name) or shape.fullmatch(name.removesuffix(".gz"))
        if path.is_file():
            found[matched.groups() if matched else (name,)] = path
    return found


def _expression(pattern: str) -> str:
    """A glob pattern as a regular expression, with a group for each wild card."""
    places = {"**/": "((?:[^/]+/)*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*|\?|\[!?\]?[^\]]*\])", pattern)
    return "".join(
        places.get(part, f"({part.replace('[!', '[^')})" if part.startswith("[") else re.escape(part)) for part in parts
    )


def _paired(src_files: Mapping[Key, Path], tgt_files: Mapping[Key, Path], where: str) -> list[ParallelText]:
    """Pairs of files with the same key. Raises DataError where a file has no partner."""
    alone = [path for key, path in src_files.items() if key not in tgt_files]
    alone += [path for key, path in tgt_files.items() if key not in src_files]
    if alone:
        raise DataError(f"there is no such file in the other language: {_listed(alone)}.", where)
    return [two_files(path, tgt_files[key]) for key, path in src_files.items()]


def _listed(names: Iterable[object]) -> str:
    shown = [str(name) for name in islice(names, SHOWN + 1)]
    return ", ".join(shown[:SHOWN]) + (", ..." if len(shown) > SHOWN else "")


# Folders.


def text_folder(folder: Path, role: str, src: str, tgt: str) -> ParallelText | None:
    """A folder of ``.txt`` files, named ``SRC/x.txt`` and ``TGT/x.txt``, or ``x.SRC.txt`` and ``x.TGT.txt``; None where
    it holds none of these."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    names = {path.name: path for path in inside}
    chosen = [find_language(names, language, str(folder)) for language in (src, tgt)]
    if chosen[0] is not None and chosen[1] is not None:
        sides = [_text_files(names[name], ".txt") for name in chosen if name is not None]
    else:
        sides = [_text_files(folder, f".{language}.txt") for language in (src, tgt)]
    if not any(sides):
        return None
    for language, side in zip((src, tgt), sides, strict=True):
        if not side:
            raise DataError(
                f"holds no text files of {language}; there are {_listed((sides[0] or sides[1]).values())}.", str(folder)
            )
    parts = _paired(_for_role(sides[0], role), _for_role(sides[1], role), str(folder))
    if not parts:
        raise DataError(f"holds no text for {role}; there are {_listed(sides[0])}.", str(folder), "Name the files.")
    return Joined.of(parts, folder)


def _text_files(folder: Path, ending: str) -> dict[str, Path]:
    """The files whose name has this ending, by the rest of their name."""
    shape = re.compile(rf"(.+){re.escape(ending)}(\.gz)?", re.IGNORECASE | re.DOTALL)
    found = ((shape.fullmatch(str(path.relative_to(folder))), path) for path in sorted(folder.rglob("*")))
    return {matched[1]: path for matched, path in found if matched and path.is_file()}


def _for_role(files: Mapping[str, File], role: str) -> dict[str, File]:
    """The files that are named after the role; all files where none is named after any role."""
    roles = {name: of for of, names in ROLE_NAMES.items() for name in names}
    of_roles = {name: roles.get(re.split(r"[^A-Za-z]", PurePath(name).name)[0].lower()) for name in files}
    if role in of_roles.values():
        return {name: file for name, file in files.items() if of_roles[name] == role}
    return {name: file for name, file in files.items() if of_roles[name] is None}


# Archives.


def text_in_archive(path: Path, inside: str, role: str, src: str, tgt: str, note: Note) -> ParallelText:
    """The text in a .zip: two files whose names end in the languages, as in OPUS, or one file that holds both.

    Where there are several candidates, those named after the role are taken, or, of files of lines, all. ``inside`` is
    the beginning of the names that are meant. Raises DataError naming what there is.
    """
    files = [member for member in members(path) if member.name.startswith(inside)]
    sides = [_ending_in(files, language) for language in (src, tgt)]
    common = [name for name in sides[0] if name in sides[1]]
    found: dict[str, ParallelText] = {name: two_files(sides[0][name], sides[1][name]) for name in common}
    if not any(sides):
        found = {file.name: Table(file, src, tgt, note) for file in files if format_of(file)}
    chosen = _for_role(found, role) if len(found) > 1 else found
    if not chosen:
        what = f"holds no text of {src} and {tgt}; it holds {_listed(file.name for file in files) or 'nothing'}."
        raise DataError(what, str(path), f"Names must end in .{src} and .{tgt}, or in {', '.join(FORMATS)}.")
    parts = tuple(chosen.values())
    return Joined.of(parts, path)


def _ending_in(files: Iterable[Member], language: str) -> dict[str, Member]:
    """Files of lines whose names end in a language (and .txt, and .gz), by the rest of their names."""
    found: dict[str, dict[str, Member]] = defaultdict(dict)
    for file in files:
        plain = re.sub(r"(\.txt)?(\.gz)?\Z", "", file.name, flags=re.IGNORECASE)
        name, dot, code = plain.rpartition(".")
        if dot:
            found[name][code] = file
    named = {name: (there, find_language(there, language, name)) for name, there in found.items()}
    return {name: there[code] for name, (there, code) in named.items() if code is not None}
