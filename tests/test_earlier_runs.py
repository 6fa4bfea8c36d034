"""Runs that earlier versions trained go on translating as they did.

``tests/earlier/`` has a run of each format that there was, of the language of `corpora`, what that version said about a text
it had not seen, and how it came to be: that version's ``seq2seq train --attention bahdanau`` with the settings in its
config.toml, on ``TinyCorpus.write(Path("text"), train=400)``.
"""

from pathlib import Path

import pytest
from commands import Terminal

EARLIER = sorted(path for path in (Path(__file__).parent / "earlier").iterdir() if path.is_dir())


@pytest.fixture(params=EARLIER, ids=lambda path: path.name)
def earlier(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_it_translates_the_same(terminal: Terminal, earlier: Path) -> None:
    answer = terminal.ok("translate", earlier / "source.xx", "--run", earlier / "run", "--precision", "fp32")
    assert answer.out == (earlier / "translations.yy").read_text(encoding="utf-8")


def test_it_scores_the_same(terminal: Terminal, earlier: Path) -> None:
    answer = terminal.ok("score", earlier / "source.xx", earlier / "translations.yy", "--run", earlier / "run")
    before = (earlier / "scores.tsv").read_text(encoding="utf-8")
    for now, then in zip(answer.out.splitlines(), before.splitlines(), strict=True):
        assert list(map(float, now.split("\t"))) == pytest.approx(list(map(float, then.split("\t"))), abs=2e-5)


def test_it_aligns_the_same(terminal: Terminal, earlier: Path, tmp_path: Path) -> None:
    texts = ("--source", earlier / "source.xx", "--target", earlier / "translations.yy")
    terminal.ok("align", "--run", earlier / "run", *texts, "-o", tmp_path / "links")
    assert (tmp_path / "links").read_text() == (earlier / "links.pharaoh").read_text()
