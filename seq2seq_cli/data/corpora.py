"""Which text a run uses: a built-in corpus by name, or the user's own in any supported form."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from pathlib import Path
from typing import Literal

from seq2seq_cli.config.sections import DataConfig
from seq2seq_cli.data.aligned import LANGUAGE, by_language, named_files, referenced_files, text_folder, text_in_archive
from seq2seq_cli.data.archives import SUFFIX as ZIP
from seq2seq_cli.data.formats import BARS, FORMATS, REFUSED, SEGMENTED, TABS, format_of, suffix_of
from seq2seq_cli.data.hub import SplitName, open_dataset
from seq2seq_cli.data.pairs import Joined, LineFiles, ParallelText, Referenced
from seq2seq_cli.data.readers.delimited import separator_of_lines
from seq2seq_cli.data.references import by_reference
from seq2seq_cli.data.rows import Note, quiet
from seq2seq_cli.data.tables import Table
from seq2seq_cli.errors import DataError, suggestion
from seq2seq_cli.files import expanded
from seq2seq_cli.wording import counted

Role = Literal["train", "dev", "test"]
Form = str | Sequence[str]
"""The name of a text, or the names of its files."""

SPLITS: dict[Role, str] = {"train": "train", "dev": "validation", "test": "test"}
"""The split of a dataset for each role."""

BUILT_IN = {"tatoeba-de-en": ("de", "en"), "bible-es-en": ("es", "en")}
"""Source and target language of each corpus that comes with the package."""

PACKAGE = Path(__file__).parents[1]

PATTERN = frozenset("*?[")
"""Characters that make a name a pattern, unless there is a file of that name."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Corpus:
    """The text of a source and a target language. ``name`` is safe as a file name."""

    name: str
    src: str
    tgt: str
    train: ParallelText
    dev: ParallelText
    test: ParallelText | None


def find_corpus(data: DataConfig, note: Note = quiet) -> Corpus:
    """The corpus that ``data`` names. ``note`` as for `open_text`. Raises DataError where a part of it is missing."""
    if data.train is None or data.dev is None or data.src is None or data.tgt is None:
        return _built_in(data.built_in, data, note)
    src, tgt = data.src, data.tgt
    train = open_text(data.train, "train", src, tgt, data.streaming, note)
    dev = open_text(data.dev, "dev", src, tgt, note=note)
    test = None if data.test is None else open_test(data.test, src, tgt, data.references, note)
    return Corpus(_name(data.train, src, tgt), src, tgt, train, dev, test)


def find_train(data: DataConfig, note: Note = quiet) -> ParallelText:
    """The training text of the corpus that ``data`` names, even if the rest of the corpus is gone. ``note`` as for
    `open_text`."""
    if data.train is None or data.src is None or data.tgt is None:
        return find_corpus(data, note).train
    return open_text(data.train, "train", data.src, data.tgt, data.streaming, note)


def find_dev(data: DataConfig, note: Note = quiet) -> ParallelText:
    """The dev text of the corpus that ``data`` names, even if the rest of the corpus is gone. ``note`` as for `open_text`."""
    if data.train is None or data.dev is None or data.src is None or data.tgt is None:
        return find_corpus(data, note).dev
    return open_text(data.dev, "dev", data.src, data.tgt, note=note)


def find_test(data: DataConfig, note: Note = quiet) -> ParallelText | None:
    """The test text of the corpus that ``data`` names, even if the rest of the corpus is gone. ``note`` as for
    `open_text`."""
    if data.test is None or data.src is None or data.tgt is None:
        return None if data.train else find_corpus(data, note).test
    return open_test(data.test, data.src, data.tgt, data.references, note)


def languages(data: DataConfig) -> tuple[str, str]:
    """Source and target language."""
    return (data.src, data.tgt) if data.src and data.tgt else BUILT_IN[data.built_in]


def open_text(form: Form, role: Role, src: str, tgt: str, streaming: bool = False, note: Note = quiet) -> ParallelText:
    """The text that ``form`` names: P/train for P/train.SRC and P/train.TGT, two files, a file that holds both
    languages (a table, .tmx, .zip and others: `FORMATS`), a folder, or a hub dataset.

    ``name:split`` or ``name:config:split`` picks a part of a dataset, ``name.zip:part`` a part of an archive; otherwise
    ``role`` does. A pattern names many files, which are read in the order of their names: P/train-* or P/*.parquet.
    {lang} in a pattern stands for the languages: P/{lang}/*.txt. With ``streaming``, a dataset is read from the hub as
    it comes, without a copy on this machine.

    ``note`` hears, during reading, what is worth telling the user. Raises DataError, naming what is near or possible,
    where there is no such text.
    """
    names = [form] if isinstance(form, str) else list(form)
    if len(names) != 1:
        return named_files([expanded(name) for name in names], src, tgt)
    form = names[0]
    path = expanded(form)
    if LANGUAGE in form and not path.exists():
        return by_language(form, path, src, tgt)
    text = _one_file(path, role, src, tgt, note)
    if text is not None:
        return text
    if any(_existing(path, suffix) for suffix in (src, tgt)) or (not path.exists() and _siblings(path)):
        return _pair_of_files(path, src, tgt)
    if path.is_file():
        raise _no_pairs(path, src, tgt)
    if PATTERN & set(form):
        return _many(path, role, src, tgt, note)
    if suffix_of(path) in FORMATS or suffix_of(path) == ZIP:
        raise _missing(path)
    return _dataset(form, role, src, tgt, streaming)


def open_test(form: Form, src: str, tgt: str, references: Sequence[str] = (), note: Note = quiet) -> ParallelText:
    """A test text, which may have several references: a source file and several target files; or one text whose further
    columns ``references`` (or suffixes, or languages) also translate ``src``; or a test set of WMT with several
    references in it. Raises DataError as `open_text` does."""
    names = [form] if isinstance(form, str) else list(form)
    if references and len(names) > 1:
        what = "files and further references are both named: they are columns of a text that is named alone."
        raise DataError(what, ", ".join(names), "Name all references as files, after the source, or all as columns.")
    columns = [src, tgt, *references]
    twice = next((name for place, name in enumerate(columns) if name in columns[:place]), None)
    if references and twice is not None:
        raise DataError(f'"{twice}" is named twice: as a reference, and as source, target or another reference.')
    if len(names) > 2:  # the source, and a file for each reference
        return _with_all(referenced_files([expanded(name) for name in names], src, tgt).parts)
    return _with_all([open_text(form, "test", src, name, note=note) for name in (tgt, *references)])


def _with_all(texts: Sequence[ParallelText]) -> ParallelText:
    """The first of ``texts``, with all further references that it and the others hold."""
    first, *further = [one for text in texts for one in by_reference(text)]
    return Referenced(first, tuple(further)) if further else first


def _one_file(path: Path, role: Role, src: str, tgt: str, note: Note) -> ParallelText | None:
    """The text of a file, or of an archive; None where ``path`` is a file of one language."""
    archive, colon, inside = str(path).rpartition(":")
    if suffix_of(path) == ZIP and path.is_file():
        return text_in_archive(path, "", role, src, tgt, note)
    if colon and suffix_of(Path(archive)) == ZIP and Path(archive).is_file():
        return text_in_archive(Path(archive), inside, role, src, tgt, note)
    if not path.is_file():
        return None
    if format_of(path):
        return Table(path, src, tgt, note)
    if suffix_of(path) in REFUSED:
        raise DataError(
            f"cannot be read as text in two languages ({suffix_of(path)}).", str(path), REFUSED[suffix_of(path)]
        )
    mark = separator_of_lines(path)
    return None if mark is None else Table(path, src, tgt, note, TABS if mark == "\t" else BARS)


def _no_pairs(path: Path, src: str, tgt: str) -> DataError:
    hint = (
        f"Name two files by their common beginning (P/train for P/train.{src} and P/train.{tgt}), or one after the other; or "
        f"a file of both languages ({', '.join(FORMATS)}, {ZIP}, or lines with a tab or ||| between the two)."
    )
    return DataError("this is one file, without named columns.", str(path), hint)


def _many(pattern: Path, role: Role, src: str, tgt: str, note: Note) -> ParallelText:
    """All files that a pattern matches, as one text."""
    fixed = [not PATTERN & set(part) for part in pattern.parts]
    folder = Path(*pattern.parts[: fixed.index(False)])
    inside = str(pattern.relative_to(folder))
    found = chain.from_iterable(folder.glob(f"{inside}.{side}{gz}") for side in (src, tgt) for gz in ("", ".gz"))
    prefixes = sorted({path.with_name(path.name.removesuffix(".gz")).with_suffix("") for path in found})
    parts: list[ParallelText] = [_pair_of_files(prefix, src, tgt) for prefix in prefixes]
    if not parts:
        matched = [path for path in sorted(folder.glob(inside)) if path.is_file()]
        for path in matched:
            text = _one_file(path, role, src, tgt, note)
            if text is None:
                raise _no_pairs(path, src, tgt)
            parts.append(text)
    if not parts:
        ending = "" if suffix_of(pattern) in (*FORMATS, ZIP) else f", nor {pattern}.{src} and {pattern}.{tgt}"
        raise DataError(f"no files are called {pattern}{ending}.")
    return Joined(tuple(parts), f"{pattern} ({counted(len(parts), 'part')})")


def _pair_of_files(prefix: Path, src: str, tgt: str) -> LineFiles:
    src_file, tgt_file = (_existing(prefix, suffix) for suffix in (src, tgt))
    if src_file is None or tgt_file is None:
        missing = Path(f"{prefix}.{src if src_file is None else tgt}")
        if missing.is_dir():
            raise DataError("is a folder, not a file.", str(missing), f"{prefix} names the two files of a text.")
        raise _missing(missing)
    return LineFiles(src_file, tgt_file)


def _existing(prefix: Path, suffix: str) -> Path | None:
    candidates = (Path(f"{prefix}.{suffix}{ending}") for ending in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _dataset(form: str, role: Role, src: str, tgt: str, streaming: bool) -> ParallelText:
    name, *parts = form.split(":")
    folder = expanded(name)
    split = parts[-1] if parts else SPLITS[role]
    config = parts[0] if len(parts) == 2 else None
    if len(parts) > 2:
        raise DataError("too many colons: write name:split or name:config:split.", form)
    if folder.is_dir():
        text = text_folder(folder, role, src, tgt) if not parts else None
        if text is not None:
            return text
        hint = f"Text files are named by their common beginning, for example {folder / role}."
        return open_dataset(SplitName(str(folder), config, split), src, tgt, hint, streaming)
    meant_as_file = folder.name in SPLITS or ("/" in name and folder.parent.is_dir())
    if meant_as_file or not _HUB_NAME.fullmatch(name):
        raise _missing(Path(f"{folder}.{src}"))
    hint = f"There are no files {name}.{src} and {name}.{tgt} either. Check the name, and the connection to the hub."
    return open_dataset(SplitName(name, config, split), src, tgt, hint, streaming)


def _missing(path: Path) -> DataError:
    near = _siblings(path.with_suffix("")) if suffix_of(path) not in FORMATS else []
    if near:
        return DataError(f"{path} does not exist; there are {', '.join(map(str, near))}.")
    folder = path.parent
    if not folder.is_dir():
        return DataError("does not exist, and nor does its folder.", str(path))
    return DataError("does not exist.", str(path), suggestion(path.name, (file.name for file in folder.iterdir())))


def _siblings(prefix: Path) -> list[Path]:
    """The files named ``prefix`` plus one suffix (and perhaps .gz)."""
    if not prefix.parent.is_dir():
        return []
    shape = re.compile(re.escape(prefix.name) + r"\.[^.]+(\.gz)?")
    return sorted(file for file in prefix.parent.iterdir() if shape.fullmatch(file.name) and file.is_file())


def _built_in(name: str, data: DataConfig, note: Note) -> Corpus:
    if name not in BUILT_IN:
        hint = f"Built in: {', '.join(BUILT_IN)}. Your own text is given by train, dev, src and tgt."
        near = suggestion(name, BUILT_IN)
        raise DataError(f'corpus "{name}" is unknown.', "data.corpus", f"{near} {hint}" if near else hint)
    src, tgt = BUILT_IN[name]
    # In an installed package the corpora lie inside it; in a checkout, in data/ beside it.
    roots = (PACKAGE / "corpora", PACKAGE.parent / "data")
    folder = next((root / name for root in roots if (root / name).is_dir()), None)
    if folder is None:
        raise DataError(f"the built-in corpus {name} is missing from this installation.", str(roots[0]))
    train, dev, own_test = (
        replace(_pair_of_files(folder / role, src, tgt), name=f"{name}, {role}") for role in ("train", "dev", "test")
    )
    test = own_test if data.test is None else open_test(data.test, src, tgt, data.references, note)
    return Corpus(name, src, tgt, train, dev, test)


def _name(train: Form, src: str, tgt: str) -> str:
    """The name of a corpus from that of its training text: P/multi30k/train becomes multi30k-de-en, data.tsv becomes
    data-de-en, and two files are named by what their names have in common."""
    names = [train] if isinstance(train, str) else list(train)
    parts = [_plain_name(name) for name in names]
    shared = takewhile(lambda letters: len(set(letters)) == 1, zip(*parts, strict=False))
    name = parts[0] if len(parts) == 1 else "".join(letters[0] for letters in shared).strip("-_. ") or parts[0]
    if name == "train":
        name = expanded(names[0]).resolve().parent.name
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "corpus"
    ending = f"-{src}-{tgt}"
    return safe if safe.replace(".", "-").endswith(ending) else safe + re.sub(r"[^\w.-]+", "-", ending)


def _plain_name(name: str) -> str:
    """The last part of a name that does not consist of wild cards alone, without wild cards and without format
    suffixes."""
    path = Path(name.partition(":")[0])
    while suffix_of(path) in (*FORMATS, *SEGMENTED, ZIP, ".txt"):
        path = path.with_suffix("")
    plain = (re.sub(r"[-_.]*([*?[].*|\{lang\})", "", part) for part in reversed(path.parts))
    return next((part.strip("-_.") for part in plain if part.strip("-_.")), "")
