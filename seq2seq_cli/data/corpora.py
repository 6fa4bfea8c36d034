"""Which text a run is about: a built-in corpus by name, or your own in any of the forms there are."""

import re
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from seq2seq_cli.config import DataConfig
from seq2seq_cli.data.hub import open_dataset
from seq2seq_cli.data.pairs import Joined, LineFiles, ParallelText
from seq2seq_cli.data.tables import Table, table_format
from seq2seq_cli.errors import DataError, suggestion
from seq2seq_cli.wording import counted

Role = Literal["train", "dev", "test"]

SPLITS: dict[Role, str] = {"train": "train", "dev": "validation", "test": "test"}
"""What datasets call the split for each role."""

DEFAULT_CORPUS = "tatoeba-de-en"
BUILT_IN = {"tatoeba-de-en": ("de", "en"), "bible-es-en": ("es", "en")}
"""Source and target language of each corpus that comes with the package."""

PACKAGE = Path(__file__).parents[1]

PATTERN = frozenset("*?[")
"""Characters that make a name a pattern, where no file is called so."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Corpus:
    """A source and a target language and their text. ``name`` is safe as a file name."""

    name: str
    src: str
    tgt: str
    train: ParallelText
    dev: ParallelText
    test: ParallelText | None


def find_corpus(data: DataConfig) -> Corpus:
    """The corpus that ``data`` asks for. Raises DataError where a part of it is missing."""
    if data.train is None or data.dev is None or data.src is None or data.tgt is None:
        return _built_in(data.corpus or DEFAULT_CORPUS, data.test)
    src, tgt = data.src, data.tgt
    train = open_text(data.train, "train", src, tgt, data.streaming)
    dev = open_text(data.dev, "dev", src, tgt)
    test = None if data.test is None else open_text(data.test, "test", src, tgt)
    return Corpus(_name(data.train, src, tgt), src, tgt, train, dev, test)


def find_test(data: DataConfig) -> ParallelText | None:
    """The test text of that corpus, whether or not the rest of it is still there."""
    if data.test is None or data.src is None or data.tgt is None:
        return None if data.train else find_corpus(data).test
    return open_text(data.test, "test", data.src, data.tgt)


def languages(data: DataConfig) -> tuple[str, str]:
    """Source and target language."""
    return (data.src, data.tgt) if data.src and data.tgt else BUILT_IN[data.corpus or DEFAULT_CORPUS]


def open_text(form: str, role: Role, src: str, tgt: str, streaming: bool = False) -> ParallelText:
    """The text that ``form`` names: P/train for P/train.SRC and P/train.TGT, a table file, a dataset folder, or
    a hub dataset; ``name:split`` or ``name:config:split`` picks a part of a dataset, else ``role`` does. A pattern
    names many files, which are read in the order of their names: P/train-* or P/*.parquet. A dataset that is
    ``streaming`` is read as it comes, without a copy on this machine.

    Raises DataError, naming what is near, where there is no such text.
    """
    path = Path(form).expanduser()
    if table_format(path) and path.is_file():
        return Table(path, src, tgt)
    if any(_existing(path, suffix) for suffix in (src, tgt)) or _siblings(path):
        return _pair_of_files(path, src, tgt)
    if path.is_file():
        hint = f"Name two files by their common beginning (P/train for P/train.{src} and P/train.{tgt}), or a table."
        raise DataError("this is one file, without named columns.", form, hint)
    if PATTERN & set(form):
        return _many(path, src, tgt)
    if table_format(path):
        raise _missing(path)
    return _dataset(form, role, src, tgt, streaming)


def _many(pattern: Path, src: str, tgt: str) -> ParallelText:
    """All files that a pattern names, as one text."""
    fixed = [not PATTERN & set(part) for part in pattern.parts]
    folder = Path(*pattern.parts[: fixed.index(False)])
    inside = str(pattern.relative_to(folder))
    if table_format(pattern):
        parts: list[ParallelText] = [Table(path, src, tgt) for path in sorted(folder.glob(inside))]
    else:
        found = chain.from_iterable(folder.glob(f"{inside}.{side}{gz}") for side in (src, tgt) for gz in ("", ".gz"))
        prefixes = sorted({path.with_name(path.name.removesuffix(".gz")).with_suffix("") for path in found})
        parts = [_pair_of_files(prefix, src, tgt) for prefix in prefixes]
    if not parts:
        ending = "" if table_format(pattern) else f".{src} and {pattern}.{tgt}"
        raise DataError(f"no files are called {pattern}{ending}.")
    return Joined(tuple(parts), f"{pattern} ({counted(len(parts), 'part')})")


def _pair_of_files(prefix: Path, src: str, tgt: str) -> LineFiles:
    src_file, tgt_file = (_existing(prefix, suffix) for suffix in (src, tgt))
    if src_file is None or tgt_file is None:
        raise _missing(Path(f"{prefix}.{src if src_file is None else tgt}"))
    return LineFiles(src_file, tgt_file)


def _existing(prefix: Path, suffix: str) -> Path | None:
    candidates = (Path(f"{prefix}.{suffix}{ending}") for ending in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _dataset(form: str, role: Role, src: str, tgt: str, streaming: bool) -> ParallelText:
    name, *parts = form.split(":")
    folder = Path(name).expanduser()
    split = parts[-1] if parts else SPLITS[role]
    config = parts[0] if len(parts) == 2 else None
    if len(parts) > 2:
        raise DataError("too many colons: write name:split or name:config:split.", form)
    if folder.is_dir():
        hint = f"Text files are named by their common beginning, for example {folder / role}."
        return open_dataset(str(folder), split, config, src, tgt, hint, streaming)
    meant_as_file = folder.name in SPLITS or ("/" in name and folder.parent.is_dir())
    if meant_as_file or not _HUB_NAME.fullmatch(name):
        raise _missing(Path(f"{folder}.{src}"))
    hint = f"There are no files {name}.{src} and {name}.{tgt} either. Check the name, and the connection to the hub."
    return open_dataset(name, split, config, src, tgt, hint, streaming)


def _missing(path: Path) -> DataError:
    near = _siblings(path.with_suffix("")) if table_format(path) is None else []
    if near:
        return DataError(f"{path} does not exist; there are {', '.join(map(str, near))}.")
    folder = path.parent
    if not folder.is_dir():
        return DataError("does not exist, and nor does its folder.", str(path))
    return DataError("does not exist.", str(path), suggestion(path.name, (file.name for file in folder.iterdir())))


def _siblings(prefix: Path) -> list[Path]:
    """The files called ``prefix`` and one more suffix (and .gz)."""
    if not prefix.parent.is_dir():
        return []
    shape = re.compile(re.escape(prefix.name) + r"\.[^.]+(\.gz)?")
    return sorted(file for file in prefix.parent.iterdir() if shape.fullmatch(file.name) and file.is_file())


def _built_in(name: str, test: str | None) -> Corpus:
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
    return Corpus(name, src, tgt, train, dev, own_test if test is None else open_text(test, "test", src, tgt))


def _name(train: str, src: str, tgt: str) -> str:
    """P/multi30k/train and data.tsv become multi30k-de-en and data-de-en."""
    path = Path(re.sub(r"[-_.]*[*?[].*?(?=\.\w+$|$)", "", train.partition(":")[0])).expanduser()
    while table_format(path) or path.suffix == ".gz":
        path = path.with_suffix("")
    name = path.resolve().parent.name if path.name == "train" else path.name
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "corpus"
    ending = f"-{src}-{tgt}"
    return safe if safe.endswith(ending) else safe + re.sub(r"[^\w.-]+", "-", ending)
