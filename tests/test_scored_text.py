"""Scores of text as people have it: any normal form, any invisible character, any script, any length of line."""

import json
import logging
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from commands import Terminal
from corpora import write_lines
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from resampling import USUAL, resamples

from seq2seq_cli.cli.relay import Relay, relay_warnings
from seq2seq_cli.config.loading import from_dict
from seq2seq_cli.config.sections import TokenizerName
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.text import CLEANING, clean
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.evaluation import tokenizers
from seq2seq_cli.evaluation.metrics import (
    RANDOMISATION,
    SentenceMetric,
    _bleu,
    bleu,
    bleu_and_chrf,
    paired,
    require_tokenizer,
    score_system,
    sentence_scores,
    shown_bounds,
)
from seq2seq_cli.evaluation.tokenizers import Tokenizer, choose_tokenizer, find_tokenizer
from seq2seq_cli.runs import Run

LINE = st.text(st.characters(exclude_categories=[]), max_size=30)
"""Of any code points, surrogates and unassigned ones among them."""
WORD = st.sampled_from(
    ["ja", "nein", "Haus", "é", "我", "ก็", "<skipped>", "&amp;amp;", "3.5", "-", "\u200b", ".", "<unk>"]
)
LINES = st.lists(LINE | st.lists(WORD, max_size=9).map(" ".join), min_size=1, max_size=6)
PLAIN = ("13a", "intl", "zh", "char", "none")

ACCENTED = ["Pə́ guŋ bə tá'á nə́ mə́", "Mî pə́ shʉ̂'ʉ́ ǹdə́m", "Wáb nə́ tyə́ wɔ́k pá'", "À lə́ gə̂ ntúm gʉ̀ŋ bɔ́"] * 3
"""In the manner of languages that write tones: most letters with an accent have no code point of their own with it."""
KHMER = ["ខ្ញុំ ចង់ ទៅ ផ្ទះ", "គាត់ មាន សៀវភៅ ពីរ", "ថ្ងៃនេះ មេឃ ភ្លៀង"] * 3
CHINESE = [
    "我昨天买了一本书，很便宜。",
    "她每天早上坐公共汽车去上班。",
    "这个问题我们以后再谈吧。",
    "河边有一只白色的小狗。",
] * 5
JAPANESE = ["きのう本を買いました。", "彼女は毎朝バスで会社へ行きます。", "川のそばに白い犬がいます。"] * 5
KOREAN = ["나는 어제 책을 샀습니다.", "그녀는 매일 아침 버스를 탑니다."] * 5
THAI = ["เมื่อวานฉันซื้อหนังสือ", "เธอขึ้นรถเมล์ไปทำงานทุกเช้า"] * 5
ENGLISH = ["I bought a book yesterday.", "She takes the bus every morning."] * 5


@pytest.mark.parametrize("tokenizer", PLAIN)
@settings(max_examples=40)
@given(lines=LINES)
@resamples(5)
def test_a_perfect_translation_is_perfect(tokenizer: str, lines: list[str]) -> None:
    """Whatever the text holds, in whatever normal form, provided that a token of it is left."""
    tokens = _bleu(tokenizer, effective_order=False).tokenizer
    assume(any(tokens(clean(line)).split() for line in lines))
    other = [unicodedata.normalize("NFD", line) for line in lines]
    scores = score_system(other, lines, tokenizer)
    assert scores.bleu.value == pytest.approx(100)
    assert scores.chrf.value == pytest.approx(100)
    assert scores.ter.value == 0
    assert bleu(lines, other, tokenizer) == scores.bleu.value
    for line, bleu_points, chrf_points in zip(
        lines, *(lambda one: (one.bleu, one.chrf))(sentence_scores(lines, other, tokenizer)), strict=True
    ):
        assert bleu_points == pytest.approx(100 if tokens(clean(line)).split() else 0)
        assert chrf_points == pytest.approx(100 if clean(line) else 0)


@pytest.mark.parametrize("tokenizer", PLAIN)
@settings(max_examples=40)
@given(data=st.data(), references=LINES)
@resamples(7)
def test_an_interval_holds_its_own_score(tokenizer: str, data: st.DataObject, references: list[str]) -> None:
    hypotheses = [data.draw(st.just(line) | LINE | st.just("")) for line in references]
    for score in score_system(hypotheses, references, tokenizer).all:
        assert 0 <= score.low <= score.value <= score.high
        for decimals in (1, 2):
            low, high = map(float, score.bounds(decimals))
            assert low <= float(f"{score.value:.{decimals}f}") <= high
    for score in bleu_and_chrf(hypotheses, references, tokenizer):
        assert score.high <= max(100, score.value)


@given(st.lists(st.floats(0, 200), min_size=3, max_size=3).map(sorted), st.sampled_from([1, 2]))
def test_ends_are_shown_around_the_score(ordered: list[float], decimals: int) -> None:
    low, value, high = ordered
    ends = shown_bounds(value, low, high, decimals)
    assert float(ends[0]) <= float(f"{value:.{decimals}f}") <= float(ends[1])


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (27.3, 25.44, 29.16, ("25.4", "29.2")),
        (0.03, 0.01, 0.048, ("0.01", "0.05")),
        (100.0, 99.87, 100.0, ("99.9", "100.0")),
        (27.34, 27.33, 27.342, ("27.33", "27.34")),
    ],
)
def test_ends_have_a_decimal_less_where_that_is_enough(
    value: float, low: float, high: float, shown: tuple[str, str]
) -> None:
    assert shown_bounds(value, low, high) == shown


@resamples(200)
def test_a_score_far_from_the_mean_of_its_resamples() -> None:
    """One line of four tokens among others of one: without it, a resample has no BLEU at all."""
    lines = ["so", "nun", "ja", "da steht ein Haus"]
    scores = score_system(lines, lines, "13a")
    assert scores.bleu.value == pytest.approx(100)
    assert scores.bleu.low < 60
    assert scores.bleu.high == pytest.approx(100)


@resamples(USUAL)
def test_a_score_that_nearly_every_resample_shares() -> None:
    """But for the few that hold the empty line alone, which pull their mean away from all the others."""
    ter = score_system(["x", "x", "x", ""], ["a", "a", "a", ""], "13a").ter
    assert (ter.value, ter.high) == (100, 100)
    assert 99 < ter.low < 100


@resamples(5)
def test_short_references_have_the_orders_that_they_have() -> None:
    lines = ["ja bitte", "nein", "so ist es"]
    scores = score_system(lines, lines, "13a")
    assert scores.bleu.value == pytest.approx(100)
    assert "|eff:yes|" in scores.bleu.signature
    longer = [*lines, "da steht ein Haus"]
    assert "|eff:no|" in score_system(longer, longer, "13a").bleu.signature
    # What the references have decides, not what a system says: one that says little gains nothing.
    assert score_system(["ja"] * 4, longer, "13a").bleu.value == 0


@pytest.mark.parametrize("lines", [ACCENTED, KHMER], ids=["accents", "zero-width spaces"])
@resamples(20)
def test_normal_forms_and_invisible_characters_change_no_score(lines: list[str]) -> None:
    apart = [unicodedata.normalize("NFD", line) for line in lines]
    sprinkled = ["\u200e" + "\u200b".join(line) + "\u00ad" for line in lines]
    worse = [line.replace(" ", " x ", 1) for line in lines]
    expected, few = score_system(worse, lines, "13a"), replace(RANDOMISATION, trials=20)
    for references in (apart, sprinkled):
        assert score_system(worse, references, "13a") == expected
        assert score_system(references, lines, "13a").bleu.value == pytest.approx(100)
        assert paired(references, [worse], lines, "13a", few) == paired(lines, [worse], lines, "13a", few)
        assert SentenceMetric.of("bleu", "13a").scores(references, lines) == pytest.approx([100] * len(lines))


@resamples(2)
def test_it_is_said_what_becomes_of_the_text() -> None:
    score = score_system(ENGLISH, ENGLISH, "13a").bleu
    assert score.how == f"{score.signature}; {CLEANING}"
    assert sentence_scores(ENGLISH, ENGLISH, "13a").signatures[-1] == f"text: {CLEANING}"


def changed(lines: list[str]) -> list[str]:
    """One character of each line, in its middle."""
    return [line[: len(line) // 2] + "口" + line[len(line) // 2 + 1 :] for line in lines]


@resamples(2)
def test_one_character_of_a_sentence_without_spaces_is_a_small_mistake() -> None:
    by_words = score_system(changed(CHINESE), CHINESE, "13a")
    by_characters = score_system(changed(CHINESE), CHINESE, "zh")
    assert by_words.bleu.value < 40 < 70 < by_characters.bleu.value < 95
    assert by_words.ter.value > 40 > 20 > by_characters.ter.value > 5
    assert "|tok:zh|" in by_characters.bleu.signature
    assert "|tok:zh+tercom|" in by_characters.ter.signature
    thai = score_system(changed(THAI), THAI, "char")
    assert thai.bleu.value > 70
    assert thai.ter.value < 10


@resamples(2)
def test_tokens_are_not_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a morphological analyser would be, which sees other words where spaces stand."""

    def threes(self: object, line: str) -> str:
        return " ".join(line[i : i + 3] for i in range(0, len(line), 3))

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_char.TokenizerChar.__call__", threes)
    perfect = score_system(THAI, THAI, "char")
    assert perfect.ter.value == 0
    assert perfect.bleu.value == pytest.approx(100)


@pytest.fixture
def without_mecab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "find_spec", lambda module: None)


@pytest.fixture
def with_mecab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "find_spec", ModuleType)


@pytest.mark.usefixtures("with_mecab")
@pytest.mark.parametrize(
    ("language", "lines", "name"),
    [
        ("en", ENGLISH, "13a"),
        ("zh", CHINESE, "zh"),
        ("zh-CN", CHINESE, "zh"),
        ("zho_Hans", CHINESE, "zh"),
        ("cmn", CHINESE, "zh"),
        ("yue", CHINESE, "zh"),
        ("txt", CHINESE, "zh"),
        ("target", JAPANESE, "ja-mecab"),
        ("jpn_Jpan", JAPANESE, "ja-mecab"),
        ("ja", ["東京都知事選挙"] * 3, "ja-mecab"),
        ("zh", ["東京都知事選挙"] * 3, "zh"),
        ("ko", KOREAN, "ko-mecab"),
        ("t", KOREAN, "ko-mecab"),
        ("th", THAI, "char"),
        ("x", THAI, "char"),
        ("km", KHMER, "char"),
        ("lo", ["ຂ້ອຍຊື້ປຶ້ມ"], "char"),
        ("my", ["ကျွန်တော်စာအုပ်ဝယ်တယ်"], "char"),
        ("bo", ["ངས་དེབ་ཉོས་པ་ཡིན"], "char"),
        ("zh", ["Wo zuotian mai le yi ben shu."] * 3, "13a"),  # written in Latin letters
        ("zh", [*ENGLISH, *CHINESE[:4]], "zh"),  # much of another language in it
        ("en", [*ENGLISH, CHINESE[0]], "13a"),
        ("zh", ["12 : 30", "…"], "zh"),  # no letter tells
        ("en", ["12 : 30", "…"], "13a"),
        ("zh", ["12", ""], "zh"),
        ("de", [""], "13a"),
        ("ru", ["Вчера я купил книгу."], "13a"),
        ("ar", ["اشتريت كتابا أمس"], "13a"),
    ],
)
def test_the_tokenizer_for_a_language_and_its_script(language: str, lines: list[str], name: str) -> None:
    chosen = choose_tokenizer("auto", language, lines)
    assert chosen.name == name
    assert chosen.why.startswith("" if name == "13a" else name)
    assert bool(chosen.why) is (name != "13a")
    assert choose_tokenizer("intl", language, lines) == Tokenizer("intl")


@pytest.mark.usefixtures("without_mecab")
@pytest.mark.parametrize(("language", "lines", "extra"), [("ja", JAPANESE, "ja"), ("ko", KOREAN, "ko")])
def test_characters_stand_in_where_words_need_a_package(language: str, lines: list[str], extra: str) -> None:
    chosen = choose_tokenizer("auto", language, lines)
    assert chosen.name == "char"
    assert f"pip install 'sacrebleu[{extra}]'" in chosen.why


def test_what_a_tokenizer_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, extra in tokenizers.EXTRAS.items():
        module = f"sacrebleu.tokenizers.tokenizer_{name.replace('-', '_')}.MeCab"
        monkeypatch.setattr(module, None)
        with pytest.raises(
            ConfigError, match=f'evaluation.tokenizer: the tokenizer "{name}" needs a package'
        ) as caught:
            require_tokenizer(name)
        assert extra in str(caught.value.hint)


def test_a_model_that_cannot_be_downloaded_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.download_file", fails)
    with pytest.raises(ConfigError, match="cannot be had: no route to host"):
        require_tokenizer("flores200")


def test_another_tokenizer_is_refused() -> None:
    assert find_tokenizer("zh") == "zh"
    with pytest.raises(ConfigError, match='"flores20" is unknown') as caught:
        find_tokenizer("flores20")
    assert caught.value.hint == 'Did you mean "flores200"?'
    with pytest.raises(ConfigError, match=r"evaluation\.tokenizer"):
        from_dict({"evaluation": {"tokenizer": "moses"}})
    assert Config().evaluation.tokenizer == "auto"


@pytest.fixture
def relayed() -> Iterator[None]:
    before = list(logging.getLogger("sacrebleu").handlers)
    yield
    logging.getLogger("sacrebleu").handlers[:] = before


@pytest.mark.usefixtures("relayed")
def test_warnings_are_passed_on_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # a second command in the same process says it again
        relay_warnings()
        for _ in range(3):
            bleu(["The dog sleeps ."] * 120, ["The dog sleeps ."] * 120, "13a")
        told = capsys.readouterr().err
        assert told.count("warning: sacreBLEU: That's 100 lines that end in a tokenized period ('.')") == 1
        assert told.count("sacreBLEU:") == 3
    assert sum(isinstance(handler, Relay) for handler in logging.getLogger("sacrebleu").handlers) == 1


@pytest.fixture
def own_run(trained_run: Run, tmp_path: Path) -> Run:
    """A copy of a trained run: evaluations are kept in it."""
    return Run(Path(shutil.copytree(trained_run.directory, tmp_path / "own")))


def test_eval_by_another_tokenizer(
    terminal: Terminal, own_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = own_run.evaluation.read_bytes()
    told = terminal.ok("eval", own_run.directory, "--tokenizer", "char", "--json", "r.json").err
    [record] = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert "tok:char" in record["signature"]["bleu"]
    assert "tok:char+tercom" in record["signature"]["ter"]
    assert all("tok:char" in bin_["signature"]["bleu"] for bin_ in record["by_length"])
    assert record["text"] == CLEANING
    assert f"text: {CLEANING}" in told
    assert own_run.evaluation.read_bytes() == own
    assert '"chars" is unknown' in terminal.refused("eval", own_run.directory, "--tokenizer", "chars")


def test_runs_are_compared_by_one_tokenizer(terminal: Terminal, trained_run: Run, tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(trained_run.directory, tmp_path / name)) for name in ("one", "two")]
    config = copies[1] / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace('tokenizer = "auto"', 'tokenizer = "intl"'))
    told = terminal.refused("eval", *copies)
    assert "scored with the tokenizer intl" in told
    assert "--tokenizer" in told
    terminal.ok("eval", *copies, "--tokenizer", "13a")


def test_a_test_set_in_another_normal_form(terminal: Terminal, own_run: Run, tmp_path: Path) -> None:
    """The same figures for an NFC copy and an NFD copy, whatever is sprinkled over it."""
    source, target = ["ta nu", "ki po ta", "ho"] * 4, ["là rö é", "sé mu", "mü lô"] * 4
    records = []
    for form, odd in (("NFC", ""), ("NFD", "\u200b\u200e\ufeff")):
        write_lines(tmp_path / f"{form}.xx", source)
        write_lines(tmp_path / f"{form}.yy", [unicodedata.normalize(form, line) + odd for line in target])  # type: ignore[arg-type]
        terminal.ok("eval", own_run.directory, "--test", tmp_path / form, "--json", tmp_path / "r.json")
        [record] = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
        records.append({name: record[name] for name in ("bleu", "chrf", "ter", "interval_95", "by_length")})
    assert records[0] == records[1]


def test_the_names_of_tokenizers_are_sacrebleus() -> None:
    from typing import get_args

    from sacrebleu.metrics.bleu import BLEU

    assert set(get_args(TokenizerName)) - {"auto"} <= set(BLEU.TOKENIZERS)
