"""A comparison as one self-contained page: tables, charts, and sentences to look into."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seq2seq_cli.errors import UserError
from seq2seq_cli.evaluation.lengths import FEW
from seq2seq_cli.evaluation.metrics import PValues
from seq2seq_cli.evaluation.seeds import summaries
from seq2seq_cli.evaluation.systems import Comparison, Evaluation
from seq2seq_cli.report.assets import asset
from seq2seq_cli.report.charts import MEASURES, Chart, diagnostic_charts, learning_charts, length_charts
from seq2seq_cli.report.history import History, read_history
from seq2seq_cli.report.provenance import Provenance, provenance
from seq2seq_cli.report.shown import HOW_CHOSEN, ShownSentences, shown_sentences
from seq2seq_cli.runs import versions, write_text
from seq2seq_cli.wording import counted

SCRIPTS, STYLES = ("theme.js", "alignment.js", "report.js"), ("page.css", "report.css")


@dataclass(frozen=True)
class Column:
    """Everything the page tells of one run; ``p`` is None for the first."""

    name: str
    evaluation: Evaluation
    p: PValues | None
    history: History
    made: Provenance


@dataclass(frozen=True)
class Charts:
    """The charts of each section."""

    lengths: list[Chart]
    learning: list[Chart]
    attention: list[Chart]


def write_report(comparison: Comparison, path: Path) -> None:
    """Write the page of ``comparison``, whose runs translate one source text, into ``path``. Nothing is decoded for it.

    The sentences to look into are those whose hypotheses were kept (``compare_runs(..., keep=...)`` with
    ``shown.chosen_rows``). The page loads nothing from anywhere: its policy forbids it. Raises UserError where the file
    cannot be written.
    """
    page = render(comparison)
    try:
        write_text(path, page)
    except OSError as problem:
        raise UserError(f"cannot be written: {problem.strerror}.", str(path)) from None


def render(comparison: Comparison) -> str:
    """The page of ``comparison`` as text."""
    columns = [
        Column(name, one, p, read_history(one.run), provenance(one))
        for name, one, p in zip(comparison.names, comparison.evaluations, comparison.significance, strict=True)
    ]
    histories = [column.history for column in columns]
    charts = Charts(
        length_charts(comparison),
        learning_charts(comparison.names, histories),
        diagnostic_charts(comparison.names, histories),
    )
    told = shown_sentences(comparison)
    scripts, styles = (
        [Markup(asset(name)) for name in names]
        for names in (SCRIPTS, STYLES)  # our own text, no user's
    )
    environment = Environment(
        loader=PackageLoader("seq2seq_cli.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        comparison=comparison,
        counted=counted,
        columns=columns,
        charts=charts,
        systems=summaries(comparison),
        told=told,
        data=_embedded(_sentence_data(comparison, columns[0].made, told)),
        measures=[(name, title) for name, title, _ in MEASURES],
        how_chosen=HOW_CHOSEN,
        few=FEW,
        versions=versions(),
        scripts=scripts,
        styles=styles,
        policy=_policy(scripts, styles),
    )


def _sentence_data(comparison: Comparison, made: Provenance, told: ShownSentences) -> dict[str, object]:
    layers = [evaluation.attention_layers for evaluation in comparison.evaluations]
    return {
        "runs": comparison.names,
        "layers": [None if one is None else one.to_json() for one in layers],
        "source_language": _language(made.source_language),
        "target_language": _language(made.target_language),
        "sentences": [sentence.to_json() for sentence in told.sentences],
    }


def _language(name: str) -> str:
    """A language code for HTML, or "": the languages of a run are suffixes of files, and may be any word."""
    return name if re.fullmatch("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", name) else ""


def _embedded(value: object) -> Markup:
    """``value`` as JSON within a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    escapes = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return Markup(re.sub("[<\u2028\u2029]", lambda found: escapes[found[0]], text))


def _policy(scripts: list[Markup], styles: list[Markup]) -> str:
    """The content security policy of a page that has these scripts and styles and no others."""
    allowed = [" ".join(f"'sha256-{_hash(text)}'" for text in texts) for texts in (scripts, styles)]
    return f"default-src 'none'; script-src {allowed[0]}; style-src {allowed[1]}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
