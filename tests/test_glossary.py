"""Glossaries: what a file of terms says, where its terms stand in a line, and translations that hold them as given."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import servers
from commands import Terminal
from corpora import WORDS, TinyCorpus, sentences, write_lines
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seq2seq_cli import ranks
from seq2seq_cli.cli import opening
from seq2seq_cli.config.sections import DecodingConfig, SubwordConfig
from seq2seq_cli.data import shortlist
from seq2seq_cli.data.boundaries import Joint, joint, occurrences, units
from seq2seq_cli.data.glossary import LONGEST_TERM, Glossary, Term
from seq2seq_cli.data.subword import train_subword
from seq2seq_cli.decoding.every_line import MOST_PIECES, LineGroup, Matter, Remark, best_of_each, translate_every_line
from seq2seq_cli.decoding.hypothesis import Hypothesis
from seq2seq_cli.decoding.sentences import Details
from seq2seq_cli.decoding.term_pieces import TermPieces
from seq2seq_cli.decoding.translator import Sampling, Translator, longest_translation
from seq2seq_cli.decoding.wanted import Wanted
from seq2seq_cli.errors import ConfigError, DataError
from seq2seq_cli.runs import Run
from seq2seq_cli.serving.models import Served, load_runs


def glossary(*terms: tuple[str, str]) -> Glossary:
    """``|`` parts translations."""
    return Glossary(Path("terms.tsv"), tuple(Term(a, tuple(b.split("|")), f"terms.tsv:{n}") for n, (a, b) in enumerate(terms, 1)))  # fmt: skip


def sources(found: list[Term]) -> list[str]:
    return [term.source for term in found]


# What a line holds.


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Der Rat gab Rat.", ["Rat", "Rat"]),
        ("Der RAT, Rathaus, Beirat", ["Rat"]),
        ("der rat", []),
        ("Guter Rat ist teuer", ["guter Rat"]),
        ("GUTER RAT", ["guter Rat"]),
        ("ein guter  Rat", ["guter Rat"]),
        ("US, us, Us", ["US"]),
        ("l'US-Rat", ["US", "Rat"]),
        ("C++17 und .NET", ["C++", ".NET"]),
        ("Die Straße, die STRASSE", ["Straße", "Straße"]),
        ("我坐汽车去", ["汽车"]),
        ("कि किताब", ["कि"]),
        ("e\u0301cole, \u00e9cole", ["\u00e9cole", "\u00e9cole"]),
    ],
)
def test_where_terms_stand(line: str, found: list[str]) -> None:
    """As whole words: in Hindi a vowel sign belongs to the letter before it, in Chinese words begin anywhere."""
    terms = ["Rat", "guter Rat", "US", "C++", ".NET", "Straße", "汽车", "कि", "\u00e9cole"]
    assert sources(glossary(*((term, "x") for term in terms)).found_in(line)) == found


def test_of_terms_that_overlap_the_longest_holds() -> None:
    terms = glossary(("a b", "1"), ("b c d", "2"), ("d", "3"), ("a", "4"), ("e", "5"))
    assert sources(terms.found_in("a b c d e a")) == ["a", "b c d", "e", "a"]
    assert sources(terms.found_in("a b d")) == ["a b", "d"]


def test_what_is_written_most_alike_holds() -> None:
    terms = glossary(("us", "uns"), ("US", "USA"), ("Us", "Uns"))
    assert [term.targets[0] for term in terms.found_in("us Us US uS")] == ["uns", "Uns", "USA", "uns"]


words = st.text(st.sampled_from("aB-1 ا́"), min_size=1, max_size=4)


@given(words, words)
@example("a", "a\u0301")
def test_boundaries_part_a_text(first: str, second: str) -> None:
    text = first + second
    assert "".join(units(text)) == text
    ends = {sum(map(len, units(text)[:number])) for number in range(len(units(text)) + 1)}
    places = {at for at in range(len(text)) if text.startswith(second, at)}
    assert set(occurrences(second, text)) == {at for at in places if at in ends and at + len(second) in ends}


def test_what_stands_behind_a_letter() -> None:
    assert [joint(character) for character in "a1_\u0301 -▁汽"] == [
        Joint.CONTINUES, Joint.CONTINUES, Joint.CONTINUES, Joint.CLINGS,
        Joint.BREAKS, Joint.BREAKS, Joint.BREAKS, Joint.BREAKS,
    ]  # fmt: skip


def test_places_of_a_translation() -> None:
    either = Term("Hund", ("dog", "the dog", "dog house"), "")
    assert either.count_in("the dog, Dog, dogs, a dog house") == 2
    assert Term("a", ("b b",), "").count_in("b b b") == 2
    assert either.count_in("") == 0


lines_of_terms = st.lists(st.sampled_from(["a", "b", "c", "a b", "b c a", "c c"]), max_size=9).map(" ".join)


@given(st.sets(st.sampled_from(["a", "b", "a b", "b c", "c a b", "c c"]), min_size=1), lines_of_terms)
def test_overlaps_and_places_by_their_definition(texts: set[str], line: str) -> None:
    """Longest first, then leftmost, none that overlaps; and of places within each other the inner one."""
    every = sorted(((-len(one), at, one) for one in texts for at in occurrences(one, line)), key=lambda one: one[:2])
    taken: list[tuple[int, str]] = []
    for _, at, one in every:
        if all(at + len(one) <= start or start + len(other) <= at for start, other in taken):
            taken.append((at, one))
    assert sources(glossary(*((one, "x") for one in texts)).found_in(line)) == [one for _, one in sorted(taken)]
    inner = [
        not any(
            (at, one) != (start, other) and at <= start and start + len(other) <= at + len(one)
            for _, start, other in every
        )
        for _, at, one in every
    ]
    assert Term("", tuple(texts), "").count_in(line) == sum(inner)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("New York is big and Jork", 1),
        ("New York and York", 2),
        ("York is big", 1),
        ("York, New York, New York", 2),
        ("", 0),
    ],
)
def test_a_place_is_the_translation_of_one_term(text: str, kept: int) -> None:
    """As the search asks for it: a term within another once more."""
    terms = glossary(("New York", "New York"), ("York", "York"))
    assert terms.judge(["New York und York"], [text]) == (2, kept)


def test_terms_of_one_translation_each_have_a_place() -> None:
    terms = glossary(("Hund", "dog"), ("Rüde", "dog|male dog"))
    assert terms.judge(["Hund Rüde"] * 2, ["a dog", "a dog, a dog"]) == (4, 3)


def test_a_line_full_of_terms_takes_no_longer_a_word() -> None:
    """Compared with each other, 15,000 places would take most of a minute."""
    line, begin = "a " * 15_000, time.process_time()
    terms = glossary(("a", "b|b b"))
    assert len(terms.found_in(line)) == 15_000
    assert terms.terms[0].count_in("b " * 15_000) == 15_000
    assert time.process_time() - begin < 12


# The file.


def test_a_file_of_terms(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    write_lines(
        path, ["\ufeff# Tiere", "Hund\tdog|hound", "", "  ", "\\#1\tnumber  1", "a\\|b\tc\\|d", "Hund\tdog|hound"]
    )
    read = Glossary.read(path)
    assert [(term.source, term.targets) for term in read.terms] == [
        ("Hund", ("dog", "hound")), ("#1", ("number 1",)), ("a\\|b", ("c|d",)),
    ]  # fmt: skip
    assert read.terms[0].where == f"{path}:2"


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["# x", "Hund dog"], ":2: no tab in this line"),
        (["Hund\tdog\tx"], ":1: 2 tabs in this line"),
        (["Hund\t"], ":1: a translation is empty"),
        (["Hund\tdog|"], ":1: a translation is empty"),
        (["\tdog"], ":1: the source term is empty"),
        (["a\tb", "Hund\tdog", "Hund\tcat"], ":3: 'Hund' has other translations than in line 2."),
        (["# nothing", ""], ": there are no terms in this file."),
        (["x" * (LONGEST_TERM + 1) + "\ty"], ":1: 501 characters, more than a term may have"),
    ],
)
def test_what_is_no_glossary_is_refused(lines: list[str], what: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "terms.tsv", lines)
    with pytest.raises(DataError) as caught:
        Glossary.read(tmp_path / "terms.tsv")
    assert str(caught.value).startswith(f"{tmp_path / 'terms.tsv'}{what}")


def test_what_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "terms.tsv").write_bytes(b"a\tb\nStra\xdfe\tstreet\n")
    with pytest.raises(DataError, match=r"terms\.tsv:2: .*not UTF-8"):
        Glossary.read(tmp_path / "terms.tsv")


# The pieces.


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char", "word"])
def test_pieces_spell_the_term(kind: str) -> None:
    """Behind a space and directly behind a bracket; whatever cannot be spelled is said."""
    text = ["the cat (cats) sat in category one", "a cat, the (cat) or CAT", "cat category cats"] * 20
    subword = train_subword(text, SubwordConfig(type=kind, vocab_size=40))  # type: ignore[arg-type]
    terms = TermPieces(glossary(("Katze", "cat"), ("K", "the cat|ca€"), ("E", "10 €")), subword)
    for term, texts in zip(terms.glossary.terms, (["cat"], ["the cat"], []), strict=True):
        forms = [list(form) for one in terms.constraints(term.source) for form in one.forms]
        opening = subword.encode(["a ("])[0]
        assert {subword.decode(form) for form in forms} == set(texts)
        if texts and kind != "word":
            assert subword.decode(opening + forms[1]) == f"a ({texts[0]}"
    assert terms.unwritable == [terms.glossary.terms[2]]
    (remark,) = terms.remarks()
    assert remark.startswith("terms.tsv:3: '10 €' cannot be written in the pieces of this run")


def test_of_many_terms_that_cannot_be_written_few_are_named() -> None:
    subword = train_subword(["a b c"] * 9, SubwordConfig(type="char", vocab_size=8))
    terms = TermPieces(glossary(*((f"w{n}", f"€{n}") for n in range(9))), subword)
    assert [*terms.remarks()][-1] == "4 more terms cannot be written either."
    assert len(terms.remarks()) == 6


# Translations.


@pytest.fixture(scope="module")
def translator(trained_run: Run) -> Translator:
    return Translator.load(trained_run.directory, "cpu", "fp32")


TARGETS = [*WORDS.values(), "la ro", "ro la ro", "dai dai", "hal|vex", "genla", "fo ro|la"]
terms_of_the_language = st.dictionaries(
    st.sampled_from([*WORDS, "ta nu", "nu ki po", "TA"]), st.sampled_from(TARGETS), min_size=1, max_size=5
)
lines_of_the_language = st.lists(
    st.lists(st.sampled_from([*WORDS, "Ta"]), max_size=6).map(" ".join), min_size=1, max_size=4
)


@given(terms_of_the_language, lines_of_the_language, st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=25)
def test_every_term_is_obeyed(
    translator: Translator, terms: dict[str, str], lines: list[str], beam: int, longest: int
) -> None:
    """Whatever the beam, and even where the length limit has no room. What has no terms is translated as without them."""
    obeyed = translator.obeying(glossary(*terms.items()))
    decoding = {"beam": beam, "max_length": longest}
    found, free = obeyed.hypotheses(lines, decoding), translator.hypotheses(lines, decoding)
    for line, hypotheses, without in zip(lines, found, free, strict=True):
        assert obeyed.glossary is not None
        asked = Counter(obeyed.glossary.glossary.found_in(line))
        assert len(hypotheses) <= beam
        for one in hypotheses:
            assert all(term.count_in(one.text) >= times for term, times in asked.items()), (line, one.text)
        if not asked:
            assert [one.text for one in hypotheses] == [one.text for one in without]


def test_a_term_beside_another_of_which_it_is_a_part(translator: Translator) -> None:
    obeyed = translator.obeying(glossary(("ta", "ro"), ("nu", "ro la")))
    (text,) = obeyed.translate(["ta nu"])
    assert len(occurrences("ro", text)) >= 2
    (text,) = translator.obeying(glossary(("ta", "ro"), ("nu", "ro"))).translate(["ta nu ta"])
    assert len(occurrences("ro", text)) >= 3


def test_lines_without_terms_are_the_same_bit_for_bit(translator: Translator) -> None:
    """In the batches in which they would be without the others."""
    lines = sentences(30, seed=5)
    free = [line for line in lines if "ta" not in line.split()]
    assert 5 < len(free) < 30
    obeyed = translator.obeying(glossary(("ta", "vex vex")))
    by_line = dict(zip(lines, obeyed.hypotheses(lines), strict=True))
    for line, alone in zip(free, translator.hypotheses(free), strict=True):
        for one, other in zip(by_line[line], alone, strict=True):
            assert (one.text, one.log_prob, one.score) == (other.text, other.log_prob, other.score)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_scores_and_weights_are_those_of_the_translation(trained_run: Run, precision: str) -> None:
    """As forced decoding has them, from whatever rows of the beam they were read back."""
    obeyed = Translator.load(trained_run.directory, "cpu", precision).obeying(
        glossary(("ta", "vex"), ("nu", "dai la|la"))
    )
    lines = ["ta nu ki", "ki ta", "po", "nu nu ze"]
    close = 1e-4 if precision == "fp32" else 0.3
    for line, hypotheses in zip(lines, obeyed.hypotheses(lines), strict=True):
        for one in hypotheses:
            (scored,) = obeyed.score_pieces([line], [obeyed.subwords.tgt.ids(list(one.pieces))])
            assert one.log_prob == pytest.approx(scored.log_prob, abs=close * (1 + len(one.pieces)))
            assert one.alignment is not None
            assert scored.alignment is not None
            assert one.alignment.target_pieces == scored.alignment.target_pieces
            if precision == "fp32":
                assert one.alignment.weights_TS == pytest.approx(scored.alignment.weights_TS, abs=1e-4)


def test_a_shortlist_has_the_pieces_of_terms(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "COMMON", 2)
    monkeypatch.setattr(shortlist, "ROUND", 4)
    obeyed = Translator.load(trained_run.directory, "cpu", "fp32").obeying(glossary(("ta", "vex"), ("nu", "jun hal")))
    lines = ["ta ki", "nu ta", "ki ki", "nu"]
    for line, (best, *_) in zip(lines, obeyed.hypotheses(lines, {"shortlist": 1}), strict=True):
        assert obeyed.glossary is not None
        assert all(term.count_in(best.text) for term in obeyed.glossary.glossary.found_in(line))


def test_a_long_term_has_room(translator: Translator) -> None:
    long = " ".join(["vex", "jun"] * 30)
    (text,) = translator.obeying(glossary(("ta", long))).translate(["ta"])
    assert long in text
    assert len(translator.subwords.tgt.encode([long])[0]) > longest_translation(1)


def test_terms_are_not_drawn(translator: Translator) -> None:
    obeyed = translator.obeying(glossary(("ta", "la")))
    with pytest.raises(ConfigError, match="none are drawn"):
        obeyed.hypotheses(["ta"], sampling=Sampling())
    ((drawn,),) = obeyed.hypotheses(["ki"], sampling=Sampling())
    ((same,),) = translator.hypotheses(["ki"], sampling=Sampling())
    assert (drawn.text, drawn.log_prob) == (same.text, same.log_prob)


def test_unknown_words_and_all_details(translator: Translator) -> None:
    obeyed = translator.obeying(glossary(("ta", "vex")))
    details = Details(attentions=True, replace_unknown=True)
    ((best, *_),) = obeyed.search(obeyed.sentences(["ta qqq"], details))
    assert isinstance(best, Hypothesis)
    assert occurrences("vex", best.text)
    assert best.attentions is not None


def test_lines_that_are_not_searched_are_not_looked_through(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    obeyed = translator.obeying(glossary(("ta", "la")))
    looked: list[str] = []

    def look(_: Glossary, line: str) -> list[Term]:
        looked.append(line)
        return []

    monkeypatch.setattr(Glossary, "found_in", look)
    too_long, said = "ta " * (MOST_PIECES + 1), list[Remark]()
    found = translate_every_line(obeyed, LineGroup(0, [too_long, "ki"]), Wanted(DecodingConfig(beam=1)), said.append)
    assert (found[0][0].text, looked) == ("", ["ki"])
    assert [one.matter for one in said] == [Matter.LEFT_EMPTY]
    assert best_of_each(obeyed, [too_long]).too_long == 1
    obeyed.score(["ta"], ["la"])
    with servers.running([Served("one", obeyed, "xx", "yy")]) as server:
        assert servers.ask(server.address, question={"sentences": [too_long]}).status == 422
    assert looked == ["ki"]


# The commands.


@pytest.fixture
def terms_file(tmp_path: Path) -> Path:
    write_lines(tmp_path / "terms.tsv", ["# a comment", "ta\tvex vex", "nu\tЖ"])
    return tmp_path / "terms.tsv"


def test_translate_obeys(terminal: Terminal, trained_run: Run, terms_file: Path) -> None:
    run = ["translate", "--run", trained_run.directory]
    plain = terminal.ok(*run, stdin=b"ki po\nta ki\n\nnu\n").out.splitlines()
    answer = terminal.ok(*run, "--glossary", terms_file, stdin=b"ki po\nta ki\n\nnu\n")
    obeyed = answer.out.splitlines()
    assert "vex vex" in obeyed[1]
    assert [obeyed[0], *obeyed[2:]] == [plain[0], *plain[2:]]
    assert f"{terms_file}:3: 'Ж' cannot be written in the pieces of this run" in answer.err.replace("\n", " ")
    greedy = terminal.ok(*run, "--glossary", terms_file, "--beam", 1, stdin=b"ta ki\n").out
    assert "vex vex" in greedy
    numbered = terminal.ok(*run, "--glossary", terms_file, "--nbest", 3, stdin=b"ta ki\n").out.splitlines()
    assert len(numbered) == 3
    assert all("vex vex" in line for line in numbered)
    assert "is not for --sample" in terminal.refused(*run, "--glossary", terms_file, "--sample", stdin=b"ta\n")
    assert "cannot be read" in terminal.refused(*run, "--glossary", terms_file.parent / "no", stdin=b"ta\n")


def test_one_process_of_a_job_warns(
    translator: Translator, terms_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ranks, "first_of_its_job", lambda: False)
    assert opening.with_glossary(translator, terms_file).glossary_remarks
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(ranks, "first_of_its_job", lambda: True)
    opening.with_glossary(translator, terms_file)
    assert "cannot be written" in capsys.readouterr().err.replace("\n", " ")


def test_an_unfinished_translation_knows_its_glossary(terminal: Terminal, trained_run: Run, terms_file: Path) -> None:
    source, output = terms_file.parent / "in", terms_file.parent / "out"
    write_lines(source, ["ta ki"] * 3)
    words = ["translate", source, "-o", output, "--run", trained_run.directory, "--glossary", terms_file]
    terminal.ok(*words)
    whole = output.read_text()
    sidecar = terms_file.parent / "out.unfinished.json"
    from seq2seq_cli.decoding.files import Ends
    from seq2seq_cli.decoding.wanted import Wanted

    translator = Translator.load(trained_run.directory)
    wanted = Wanted(translator.config.decoding, glossary=Glossary.read(terms_file).digest)
    unfinished = Ends(source, output).unfinished(trained_run, translator.precision.name, wanted)
    assert unfinished is not None
    sidecar.write_text(json.dumps(unfinished.description))
    write_lines(terms_file, ["ta\tla la"])
    assert "was begun with another settings" in terminal.refused(*words, "--resume")
    write_lines(terms_file, ["# a comment", "ta\tvex vex", "nu\tЖ"])
    terminal.ok(*words, "--resume")
    assert output.read_text() == whole
    assert "glossary" not in Wanted(translator.config.decoding).to_json()


def test_eval_tells_how_many_terms_are_obeyed(
    terminal: Terminal, trained_run: Run, terms_file: Path, tiny_corpus: TinyCorpus
) -> None:
    before = trained_run.evaluation.read_bytes()
    answer = terminal.ok(
        "eval", trained_run.directory, "--glossary", terms_file, "--json", terms_file.parent / "e.json"
    )
    (told,) = json.loads((terms_file.parent / "e.json").read_text())
    lines = (tiny_corpus.folder / "test.xx").read_text().split()
    assert told["glossary"] == {"asked": lines.count("ta") + lines.count("nu"), "kept": lines.count("ta")}
    assert f"{lines.count('ta')} of {lines.count('ta') + lines.count('nu')} terms translated as" in answer.err
    assert trained_run.evaluation.read_bytes() == before
    (written,) = trained_run.decodes.glob("*-glossary-*.txt")
    written.unlink()
    written.with_suffix(".json").unlink()


def test_the_server_obeys(trained_run: Run, terms_file: Path) -> None:
    (served,) = load_runs([trained_run.directory], "cpu", "fp32", glossary=Glossary.read(terms_file))
    with servers.running([replace(served, name="one")]) as server:
        reply = servers.ask(server.address, question={"sentences": ["ta ki", "ki"], "nbest": 2, "alignment": True})
        first, second = reply.body["answers"][0]["sentences"]
        assert all("vex vex" in one["text"] for one in first["translations"])
        assert len(second["translations"]) == 2
        (described,) = servers.ask(server.address, "/runs").body["runs"]
        assert described["terms"] == 1
