"""Every reader on damaged files: what comes must be a result or an error of ours, in bounded time and memory.

    PYTHONPATH=tests python -m fuzzing --inputs 110000 --seed 1

mutates valid files and counts the answers of each reader. Each works in a process of its own, with a limit on its
address space, as a crash of a native library, a hang or a hunger for memory is only seen from outside. Input n of a
reader depends on the seed and n alone: ``--reader NAME --only n`` gives it again.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import multiprocessing
import os
import random
import re
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

from seq2seq_cli.errors import UserError

MEMORY = 1 << 30
"""Bytes of address space that a reader may take beside what its libraries take."""
SECONDS = 20.0
"""What takes longer is a hang."""

SENTENCES = [
    "Ein Mann geht.", "Zwei Hunde laufen im Schnee, nicht wahr?", "", "Schöne Grüße aus 東京!", "x\u2028y \u0085 z", "1 2 3",
]  # fmt: skip
INTERESTING = [
    b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\r", b"\n", b"\t", b'"', b"\\", b"{", b"}", b"[", b"]",
    b"\xed\xa0\x80", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\xff" * 9 + b"\x01", b"\0" * 64,
    b'"\\ud800"', b"1e999", b"NaN", b"-1", b"null", b"true", b"\n[data]\n", b"=", b"0-0", b"999999999-0", b"../../etc/passwd",
]  # fmt: skip

Mutation = Callable[[random.Random, bytes, bytes], bytes]


def _flip(rng: random.Random, content: bytes, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _splice(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def _delete(rng: random.Random, content: bytes, other: bytes) -> bytes:
    begin = rng.randrange(len(content) + 1)
    return content[:begin] + content[begin + rng.choice((1, 2, 4, 8, 100)) :]


def _repeat(rng: random.Random, content: bytes, other: bytes) -> bytes:
    begin = rng.randrange(len(content) + 1)
    part = content[begin : begin + rng.choice((1, 8, 100, 1000))]
    return content[:begin] + part * rng.choice((2, 10, 300)) + content[begin:]


def _insert(rng: random.Random, content: bytes, other: bytes) -> bytes:
    begin = rng.randrange(len(content) + 1)
    replaced = rng.choice((0, 0, 1, 4, 8))
    return content[:begin] + rng.choice(INTERESTING) + content[begin + replaced :]


def _number(rng: random.Random, content: bytes, other: bytes) -> bytes:
    places = list(re.finditer(rb"\d+", content))
    if not places:
        return content
    place = rng.choice(places)
    huge = (
        b"9" * rng.choice((3, 9, 19, 30, 400, 5000)),
        b"-1",
        b"0",
        b"1e400",
        b"1" + b"0" * rng.choice((6, 9, 12, 18)),
    )
    return content[: place.start()] + rng.choice(huge) + content[place.end() :]


def _nest(rng: random.Random, content: bytes, other: bytes) -> bytes:
    begin = rng.randrange(len(content) + 1)
    opening = rng.choice((b"[", b'{"a":', b"{a=", b"[[", b"a."))
    return content[:begin] + opening * rng.choice((20, 2000, 100_000)) + content[begin:]


MUTATIONS: tuple[Mutation, ...] = (_flip, _flip, _truncate, _splice, _delete, _repeat, _insert, _insert, _number, _nest)
LARGEST = 2_000_000
"""Bytes of a mutated file."""
LINES = 1_000_000
"""Read of a packed file: one of 500 KB may hold a hundred million, which come one by one."""


def mutated(rng: random.Random, contents: list[bytes]) -> bytes:
    """One of ``contents``, damaged in one to four ways."""
    content = rng.choice(contents)
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice(MUTATIONS)(rng, content, rng.choice(contents))[:LARGEST]
    return content


@dataclass(frozen=True)
class Reader:
    """``make``, in a process's own folder, gives valid contents and what reads a file or folder with one of them.
    ``share`` of the inputs are for it."""

    make: Callable[[Path], tuple[list[bytes], Callable[[bytes], object]]]
    share: float
    packed: bool = False


def _read(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def try_it(content: bytes) -> object:
        path = folder / name
        path.write_bytes(content)
        return read(path)

    return try_it


def _text(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.data.text import read_lines

    return [_joined(SENTENCES)], _read(folder, "a.de", lambda path: sum(map(len, read_lines(path))))


def _gzip(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.data.text import read_lines

    contents = [gzip.compress(_joined(SENTENCES * times), mtime=0) for times in (1, 200)]
    return contents, _read(folder, "a.gz", lambda path: sum(map(len, islice(read_lines(path), LINES))))


def _table(name: str) -> Callable[[Path], tuple[list[bytes], Callable[[bytes], object]]]:
    def make(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
        from seq2seq_cli.data.corpora import open_text

        def read(path: Path) -> object:
            return sum(len(src) + len(tgt) for src, tgt in open_text(str(path), "train", "de", "en").pairs())

        return _tables(name), _read(folder, name, read)

    return make


def _tables(name: str) -> list[bytes]:
    rows = [{"de": line, "en": line[::-1], "id": number} for number, line in enumerate(SENTENCES)]
    if name.endswith(".parquet"):
        import pyarrow as pa
        from pyarrow import parquet

        found = []
        for compression, version, times in (
            ("snappy", "2.6", 1),
            ("zstd", "1.0", 50),
            ("none", "2.6", 3),
            ("gzip", "2.6", 9),
        ):
            buffer = io.BytesIO()
            parquet.write_table(pa.Table.from_pylist(rows * times), buffer, compression=compression, version=version)
            found.append(buffer.getvalue())
        return found
    if name in DOCUMENTS:
        return DOCUMENTS[name]()
    if name.endswith(".json"):
        listed = json.dumps(rows, indent=1, ensure_ascii=False)
        return [listed.encode(), json.dumps({"about": "x", "data": rows}, indent=1).encode(), listed.encode("utf-16")]
    if name.endswith(".jsonl"):
        nested = [{"translation": {"de": row["de"], "en": row["en"]}} for row in rows]
        lines = [json.dumps(row, ensure_ascii=bool(number % 2)) for number, row in enumerate([*rows, *nested])]
        return [_joined(lines)]
    if name.endswith(".tsv"):
        return [_joined(["de\ten\tid", *(f"{row['de']}\t{row['en']}\t{row['id']}" for row in rows)])]
    return [_joined(["id,de,en", *(f'{row["id"]},"{row["de"]}","{row["en"]}"' for row in rows)])]


ESCAPED = [(f"{line} &amp; &lt;", f"{line[::-1]}&#x41;") for line in SENTENCES]


def _tmx() -> list[bytes]:
    units = "".join(
        f'<tu><note>n</note><tuv xml:lang="de-AT"><seg>{src}<ph>%s</ph></seg></tuv>\n<tuv lang="EN"><seg>{tgt}</seg></tuv></tu>\n'
        for src, tgt in ESCAPED
    )
    text = (
        f'<?xml version="1.0"?><!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx><header srclang="de"/><body>{units}</body></tmx>'
    )
    return [text.encode(), text.encode("utf-16")]


def _xliff() -> list[bytes]:
    old = "".join(
        f'<trans-unit id="u"><source>{src}</source><target>{tgt}</target></trans-unit>' for src, tgt in ESCAPED
    )
    new = "".join(
        f"<unit><segment><source>{src}<pc>x</pc></source><target>{tgt}</target></segment></unit>"
        for src, tgt in ESCAPED
    )
    return [
        f'<xliff version="1.2"><file source-language="de" target-language="en"><body>{old}</body></file></xliff>'.encode(),
        f'<xliff xmlns="urn:x" version="2.0" srcLang="de" trgLang="en"><file>{new}</file></xliff>'.encode(),
    ]


def _wmt() -> list[bytes]:
    sides = [
        "".join(f'<seg id="{number}">{pair[side]}</seg>' for number, pair in enumerate(ESCAPED)) for side in (0, 1)
    ]
    src, ref = sides
    text = f'<dataset><doc id="d"><src lang="de"><p>{src}</p></src><ref lang="en"><p>{ref}</p></ref></doc></dataset>'
    return [text.encode()]


def _po() -> list[bytes]:
    head = 'msgid ""\nmsgstr ""\n"Language: en\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    body = "".join(f'#: a.c:1\nmsgid "{line}x"\nmsgstr "{line[::-1]}x"\n\n' for line in SENTENCES)
    plural = '#, fuzzy\nmsgid "a"\nmsgstr "b"\n\nmsgid "one"\nmsgid_plural "%d"\nmsgstr[0] "eins"\nmsgstr[1] "%d"\n'
    return [(head + body + plural).encode()]


def _zip() -> list[bytes]:
    found = []
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", kind) as archive:
            archive.writestr("README", "x")
            archive.writestr("a.de-en.de", _joined(SENTENCES * 3))
            archive.writestr("a.de-en.en", _joined(SENTENCES * 3))
        found.append(buffer.getvalue())
    return found


DOCUMENTS = {"a.tmx": _tmx, "a.xlf": _xliff, "a.xml": _wmt, "a.po": _po, "a.zip": _zip}


def _segments(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.data.corpora import open_text

    segments = "".join(f'<seg id="{number}"> {line} & </seg>\n' for number, line in enumerate(SENTENCES))
    content = f'<refset setid="x">\n<DOC docid="d">\n{segments}</DOC>\n</refset>\n'.encode()
    (folder / "b.sgm").write_bytes(content)
    names = [str(folder / name) for name in ("a.sgm", "b.sgm")]
    return [content], _read(folder, "a.sgm", lambda path: len(list(open_text(names, "test", "de", "en").pairs())))


def _by_number(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.data.corpora import open_text

    contents = [
        _joined([separator.join((line, "7", line[::-1])) for line in SENTENCES if separator not in line])
        for separator in ("\t", ";", "|", ",")
    ]
    return contents, _read(folder, "a.csv", lambda path: len(list(open_text(str(path), "train", "1", "3").pairs())))


def _check_data(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.data.checks.corpus import check
    from seq2seq_cli.data.pairs import LineFiles

    (folder / "a.en").write_bytes(_joined(SENTENCES * 20))

    def read(path: Path) -> object:
        with check(LineFiles(path, folder / "a.en"), ("de", "en"), None, lambda *_: None) as checked:
            return checked.pairs

    return [_joined(SENTENCES * 20)], _read(folder, "a.de", read)


def _config(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.config.whole import Config

    presets = [path.read_bytes() for path in (Path(__file__).parents[1] / "configs").glob("*.toml")]
    contents = [Config().to_toml().encode(), Config().to_commented_toml().encode(), *presets]
    return contents, _read(folder, "a.toml", lambda path: load(path).to_toml())


def _links(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.evaluation.gold import read_gold

    lines = ["0-0 1-1 2?2", "", "0p0 1-1:0.5 2-2S", "3-1 4-0 0-0"]
    beside = [f"a b c d e ||| a b c d e ||| {line}" for line in lines]
    of_wpt = ["1 1 2 S", "0002 5 5 P", "4 1 1"]
    return [_joined(lines), _joined(beside), _joined(of_wpt)], _read(
        folder, "a.links", lambda path: read_gold(path, [(5, 5)] * len(lines))
    )


def _tokenizer(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.data.subword import Subword

    def read(path: Path) -> object:
        subword = Subword.load(path)
        encoded = subword.encode([*SENTENCES, "Ein \u0378 unknown"])
        return [subword.decode(ids) for ids in encoded], subword.pieces([0, len(subword) - 1])

    return [_subword(kind).model for kind in ("unigram", "bpe", "char", "word")], _read(folder, "a.model", read)


def _weights(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.model.weights import read_weights, restore

    run, learner = _run_directory(folder / "run")
    return [run.best.read_bytes()], _read(
        folder, "a.safetensors", lambda path: restore(learner.model, read_weights(path), str(path))
    )


def _checkpoint(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    from seq2seq_cli.training.checkpoint import load_last

    run, learner = _run_directory(folder / "run")
    return [run.last.read_bytes()], _read(folder, "a.pt", lambda path: load_last(learner, path))


def _run(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    """The small files of a run directory."""
    from seq2seq_cli.config.loading import load
    from seq2seq_cli.evaluation.systems import training_seconds
    from seq2seq_cli.report.history import read_history
    from seq2seq_cli.runs import open_run
    from seq2seq_cli.training.directory import has_ended

    run, _ = _run_directory(folder / "run")
    files = [run.config, run.info, run.metrics]
    whole = {path: path.read_bytes() for path in files}

    def read(content: bytes) -> object:
        number, _, content = content.partition(b"|")
        files[int(number)].write_bytes(content)
        try:
            opened = open_run(run.directory)
            load(opened.config)
            has_ended(opened)
            return opened.languages(), read_history(opened), training_seconds(opened)
        finally:
            files[int(number)].write_bytes(whole[files[int(number)]])

    return [b"%d|%s" % (number, whole[path]) for number, path in enumerate(files)], _kept_number(read)


def _translator(folder: Path) -> tuple[list[bytes], Callable[[bytes], object]]:
    """A run directory as translate takes it, any file of it damaged."""
    from seq2seq_cli.decoding.translator import Translator

    run, _ = _run_directory(folder / "run")
    files = [run.config, run.subword("joint"), run.best]
    whole = {path: path.read_bytes() for path in files}

    def read(content: bytes) -> object:
        number, _, content = content.partition(b"|")
        files[int(number)].write_bytes(content)
        try:
            return Translator.load(run.directory, "cpu", "fp32").translate(["Ein Mann."])
        finally:
            files[int(number)].write_bytes(whole[files[int(number)]])

    return [b"%d|%s" % (number, whole[path]) for number, path in enumerate(files)], _kept_number(read)


def _kept_number(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """The number of the file before the first "|" may be damaged itself: then it is the first file."""

    def try_it(content: bytes) -> object:
        return read(content if re.match(rb"[0-2]\|", content) else b"0|" + content)

    return try_it


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _subword(kind: str = "unigram"):  # type: ignore[no-untyped-def]
    from seq2seq_cli.config.sections import SubwordConfig
    from seq2seq_cli.data.subword import train_subword

    return train_subword(SENTENCES * 3, SubwordConfig.model_validate({"type": kind, "vocab_size": 60}))


def _run_directory(directory: Path):  # type: ignore[no-untyped-def]
    """A run as training leaves it, untrained; and its learner."""
    from seq2seq_cli.config.loading import from_dict
    from seq2seq_cli.data.subword import Subwords
    from seq2seq_cli.model.weights import save_weights, state_of
    from seq2seq_cli.runs import Run, write_json, write_text
    from seq2seq_cli.training.checkpoint import save_last
    from seq2seq_cli.training.learner import new_learner
    from seq2seq_cli.training.progress import Progress

    small = {"embedding_size": 8, "hidden_size": 8}
    config = from_dict({"model": small, "training": {"device": "cpu", "precision": "fp32", "threads": 1}})
    subword = _subword()
    run = Run(directory)
    subwords = Subwords(subword, subword)
    subwords.save(run)
    learner = new_learner(config, subwords)
    write_text(run.config, config.to_toml())
    write_json(
        run.info, {"src": "de", "tgt": "en", "data_sha256": {"train": "0" * 64}, "sittings": [{"ended": "2026"}]}
    )
    events = [
        {"event": "train", "step": 1, "seconds": 1.5, "loss": 7.25},
        {"event": "evaluation", "step": 2, "seconds": 3.5, "loss": 6.5, "bleu": 1.25, "attention": {"entropy": 0.5}},
    ]
    write_text(run.metrics, "".join(f"{json.dumps(event)}\n" for event in events))
    save_weights(state_of(learner.model), run.best)
    save_last(learner, Progress(), run.last)
    return run, learner


READERS = {
    "text": Reader(_text, 0.1),
    "gzip": Reader(_gzip, 0.08),
    "tsv": Reader(_table("a.tsv"), 0.06),
    "csv": Reader(_table("a.csv"), 0.06),
    "numbered": Reader(_by_number, 0.05),
    "jsonl": Reader(_table("a.jsonl"), 0.06),
    "json": Reader(_table("a.json"), 0.05),
    "parquet": Reader(_table("a.parquet"), 0.08),
    "tmx": Reader(_table("a.tmx"), 0.05),
    "xliff": Reader(_table("a.xlf"), 0.04),
    "wmt": Reader(_table("a.xml"), 0.03),
    "segments": Reader(_segments, 0.03),
    "po": Reader(_table("a.po"), 0.03),
    "zip": Reader(_table("a.zip"), 0.05),
    "config": Reader(_config, 0.04),
    "links": Reader(_links, 0.08),
    "run": Reader(_run, 0.02),
    "tokenizer": Reader(_tokenizer, 0.03),
    "weights": Reader(_weights, 0.02),
    "checkpoint": Reader(_checkpoint, 0.02),
    "translator": Reader(_translator, 0.01),
    "check-data": Reader(_check_data, 0.01),
}


def _broken(act: Callable[[], object]) -> Reader:
    return Reader(lambda folder: ([b"whole"], lambda content: act() if content != b"whole" else None), 0)


BROKEN = {
    "crashing": _broken(os.abort),
    "hungry": _broken(lambda: bytearray(4 * MEMORY)),
    "careless": _broken(lambda: [][0]),
}
"""Readers that do what must not be done: whether that would be seen."""


def answer_to(read: Callable[[bytes], object], content: bytes) -> tuple[str, str]:
    """ "result", "error" (one of ours) or what else came, with the words for it."""
    try:
        read(content)
    except UserError as error:
        str(error)
        return "error", ""
    except MemoryError as error:
        return "memory", repr(error)
    except BaseException as error:
        return "other", f"{type(error).__name__}: {str(error)[:300]}"
    return "result", ""


def _work(name: str, seed: int, first: int, last: int, pipe: Connection) -> None:
    """Answers to the inputs from ``first`` on, one by one."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # native libraries complain there
    reader = (READERS | BROKEN)[name]
    with tempfile.TemporaryDirectory(prefix="fuzzing-") as folder:
        contents, read = reader.make(Path(folder))
        for content in contents:
            assert answer_to(read, content)[0] == "result", answer_to(read, content)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in range(first, last):
            content = mutated(random.Random(f"{seed} {name} {number}"), contents)
            pipe.send((number, *answer_to(read, content)))
    pipe.send(None)


@dataclass
class Answers:
    """Of one reader: how many of each kind, and the numbers and words of what must not be."""

    counts: Counter[str]
    wrong: list[tuple[int, str, str]]


def fuzz(name: str, inputs: int, seed: int, first: int = 0) -> Answers:
    """The answers of a reader to as many inputs."""
    answers = Answers(Counter(), [])
    next_one = first
    context = multiprocessing.get_context("spawn")
    while next_one < first + inputs:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(name, seed, next_one, first + inputs, theirs))
        process.start()
        theirs.close()
        patience = SECONDS + 60  # libraries have to be loaded first
        ended = "crash"
        try:
            while True:
                if not ours.poll(patience):
                    ended = "hang"
                    process.kill()
                    break
                told = ours.recv()
                if told is None:
                    next_one = first + inputs
                    break
                number, kind, words = told
                next_one, patience = number + 1, SECONDS
                answers.counts[kind] += 1
                if kind not in ("result", "error"):
                    answers.wrong.append((number, kind, words))
        except EOFError:
            pass
        process.join()
        if next_one < first + inputs:
            answers.counts[ended] += 1
            answers.wrong.append((next_one, ended, f"exit code {process.exitcode}"))
            next_one += 1
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=110_000, help="over all readers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", choices=READERS)
    parser.add_argument("--only", type=int, help="the number of one input")
    given = parser.parse_args()
    columns = ("result", "error", "memory", "other", "crash", "hang")
    print("reader", *columns, "seconds", sep="\t")
    wrong = total = 0
    for name in [given.reader] if given.reader else list(READERS):
        begin = time.monotonic()
        inputs = given.inputs if given.reader else round(given.inputs * READERS[name].share)
        answers = fuzz(name, 1 if given.only is not None else inputs, given.seed, given.only or 0)
        seconds = f"{time.monotonic() - begin:.0f}"
        print(name, *(answers.counts[column] for column in columns), seconds, sep="\t", flush=True)
        for number, kind, words in answers.wrong[:10]:
            print(f"  input {number}: {kind}: {words}", flush=True)
        wrong += len(answers.wrong)
        total += answers.counts.total()
    print(f"{total:,} inputs, {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
