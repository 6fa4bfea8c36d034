"""The charts of a page: Vega-Lite specifications made with Altair, rendered as SVG when the page is made.

So the page needs no script for its charts: it is small, can be printed, satisfies a content security policy that
forbids evaluation, and shows its charts where scripts are off. What a point stands for is in its label. Colours are
names from ``page.css``, so that light and dark are left to the style sheet.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt
from markupsafe import Markup

from seq2seq_cli.evaluation.lengths import LengthScores
from seq2seq_cli.evaluation.metrics import Score, shown_bounds
from seq2seq_cli.evaluation.systems import Comparison
from seq2seq_cli.report.history import History

COLOURS = 7
"""Number of colours, ``--run-0`` to ``--run-6`` in page.css. The eighth run has the first colour again, with another
dash."""
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (10, 2), (4, 1), (1, 3), (3, 3))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
FONT = "Arial, Liberation Sans, Helvetica, sans-serif"
"""The font by which Vega measures its labels."""
SHORT_NAME = 16
"""Most characters of a run's name that leave room for another name beside it."""
WIDTH, LONG, HEIGHT = 300, 500, 190
"""Sizes of the axes in CSS pixels: three charts (or two of the long ones) stand side by side on a wide page, one on a
phone."""


@dataclass(frozen=True)
class Chart:
    """A title as text, and the picture."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Point:
    """One point of a run's line. ``x`` is a number or a category; ``low`` to ``high`` is the band, if there is one."""

    run: str
    x: float | str
    y: float
    low: float | None = None
    high: float | None = None
    few: bool = False

    def in_words(self, axes: Axes) -> str:
        """The point in words, for people who cannot see it or who point at it."""
        x = self.x.replace("|", " ") if isinstance(self.x, str) else f"{round(self.x, 1):,}"
        band = ""
        if self.low is not None and self.high is not None:
            band = f" [{'–'.join(shown_bounds(self.y, self.low, self.high))}]"
        return f"{self.run}, {axes.x} {x}: {axes.y} {self.y:.2f}{band}"


@dataclass(frozen=True)
class Axes:
    """The titles of both axes, the ends of the vertical axis if they are fixed, and the categories in their order."""

    x: str
    y: str
    ends: tuple[float, float] | None = None
    categories: tuple[str, ...] = ()


def learning_charts(names: list[str], histories: list[History]) -> list[Chart]:
    """Losses on training text and dev, and BLEU on dev, against steps and against minutes."""
    charts = []
    for x, title in (("step", "steps"), ("minutes", "minutes of training")):
        train = [
            Point(name, getattr(one, x), one.loss)
            for name, history in zip(names, histories, strict=True)
            for one in history.train
        ]
        charts.append(_chart(f"Training loss by {x}", names, train, Axes(title, "nats a piece, smoothed"), dots=False))
        for what, measure, unit in (("Dev loss", "loss", "nats a piece"), ("Dev BLEU", "bleu", "BLEU, greedy")):
            dev = [
                Point(name, getattr(one, x), getattr(one, measure))
                for name, history in zip(names, histories, strict=True)
                for one in history.dev
            ]
            charts.append(_chart(f"{what} by {x}", names, dev, Axes(title, unit)))
    return charts


MEASURES = (
    ("moving_share", "Weight that moves with the target", (0.0, 1.0)),
    ("largest_weight", "Largest weight of a step", (0.0, 1.0)),
    ("end_share", "Weight on </s>", (0.0, 1.0)),
    ("unattended_share", "Source words hardly attended", (0.0, 1.0)),
    ("entropy_bits", "Entropy of a step", None),
    ("order_tau", "Order: tau", (-1.0, 1.0)),
)
"""Figures of ``evaluation.diagnostics``: name, title, and the ends of the scale if it has any."""


def diagnostic_charts(names: list[str], histories: list[History]) -> list[Chart]:
    """How attention formed, evaluation by evaluation; no charts where no run has recorded it."""
    if not any(one.attention for history in histories for one in history.dev):
        return []
    charts = []
    for measure, title, ends in MEASURES:
        points = [
            Point(name, one.step, one.attention[measure])
            for name, history in zip(names, histories, strict=True)
            for one in history.dev
            if measure in one.attention
        ]
        unit = "bits" if measure == "entropy_bits" else "tau" if measure == "order_tau" else "share"
        charts.append(_chart(title, names, points, Axes("steps", unit, ends)))
    return charts


def length_charts(comparison: Comparison) -> list[Chart]:
    """BLEU and chrF by source length, with bootstrap bands and the number of sentences under each range."""
    bins = tuple(_category(scores) for scores in comparison.evaluations[0].by_length)
    charts = []
    for metric in ("bleu", "chrf"):
        points = [
            _banded(name, scores, getattr(scores, metric))
            for name, evaluation in zip(comparison.names, comparison.evaluations, strict=True)
            for scores in evaluation.by_length
        ]
        title = getattr(comparison.evaluations[0].by_length[0], metric).name
        axes = Axes("words of the source sentence (sentences)", f"{title} (points)", categories=bins)
        charts.append(_chart(f"{title} by source length", comparison.names, points, axes, width=LONG))
    return charts


def _category(scores: LengthScores) -> str:
    return f"{scores.bin.words}|({scores.bin.count})"


def _banded(name: str, scores: LengthScores, score: Score) -> Point:
    return Point(name, _category(scores), score.value, score.low, score.high, scores.bin.few)


def _chart(
    title: str, names: list[str], points: Sequence[Point], axes: Axes, dots: bool = True, width: int = WIDTH
) -> Chart:
    key = _key(names, dots)
    colour = alt.Color(
        "run:N", scale=_scale(names, [f"var(--run-{i % COLOURS})" for i in range(len(names))]), legend=key
    )
    dash_scale = _scale(names, [list(DASHES[i % len(DASHES)]) for i in range(len(names))])
    dash = alt.StrokeDash("run:N", scale=dash_scale, legend=None if dots else key)
    shape_scale = _scale(names, [SHAPES[i % len(SHAPES)] for i in range(len(names))])
    shape = alt.Shape("run:N", scale=shape_scale, legend=key)
    line = _placed(points, axes).mark_line(strokeWidth=1.6, aria=False).encode(color=colour, strokeDash=dash)
    layers = [line]
    if axes.categories:
        band = _placed(points, axes, "low:Q").mark_area(opacity=0.13, aria=False)
        layers.insert(0, band.encode(y2=alt.Y2("high:Q"), color=colour))
    if dots:
        many, few = ([point for point in points if point.few is wanted] for wanted in (False, True))
        told = alt.Description("told:N")
        marked = [_placed(many, axes).mark_point(size=34, filled=True, opacity=1)]
        if few:
            marked.append(_placed(few, axes).mark_point(size=34, fill="var(--paper)", opacity=1))
        layers += [layer.encode(color=colour, shape=shape, description=told) for layer in marked]
    return Chart(title, _svg(alt.LayerChart(layer=layers).properties(width=width, height=HEIGHT)))


def _key(names: list[str], dots: bool) -> alt.Legend | None:
    # A single run needs no key. Several are told apart by their shapes or, without dots, by their dashes.
    if len(names) == 1:
        return None
    # A shape in the key would have the line's dashes around it.
    marks: dict[str, Any] = {"symbolStrokeWidth": 0, "symbolSize": 60}
    if not dots:
        marks = {"symbolType": "stroke", "symbolStrokeWidth": 2, "symbolSize": 600}
    columns = 2 if max(map(len, names)) <= SHORT_NAME else 1
    place: dict[str, Any] = {"orient": "bottom", "columns": columns, "columnPadding": 28, "labelLimit": 280}
    return alt.Legend(title=None, symbolOpacity=1, **place, **marks)


def _scale(names: list[str], looks: list[Any]) -> alt.Scale:
    return alt.Scale(domain=names, range=looks)


def _placed(points: Sequence[Point], axes: Axes, y: str = "y:Q") -> alt.Chart:
    if axes.categories:
        # A label's second line is the number of sentences.
        labels = alt.Axis(labelAngle=0, labelExpr="split(datum.label, '|')")
        places = alt.Scale(type="point", padding=0.4)
        across = alt.X("x:N", title=axes.x, axis=labels, scale=places, sort=list(axes.categories))
    else:
        across = alt.X("x:Q", title=axes.x, axis=alt.Axis(tickCount=5), scale=alt.Scale(nice=False))
    ends = alt.Scale(zero=bool(axes.categories)) if axes.ends is None else alt.Scale(domain=list(axes.ends))
    up = alt.Y(y, title=axes.y, scale=ends, axis=alt.Axis(tickCount=5))
    values = [asdict(point) | {"told": point.in_words(axes)} for point in points]
    return alt.Chart(alt.InlineData(values)).encode(x=across, y=up)


def _svg(chart: alt.LayerChart) -> Markup:
    ink, quiet, rule = "var(--ink)", "var(--quiet)", "var(--rule)"
    styled = (
        chart.configure(background="transparent", padding=2, font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=quiet, titleColor=quiet, domainColor=rule, tickColor=rule, gridColor=rule, gridOpacity=0.6,
            titleFontWeight="normal", labelFontSize=11, titleFontSize=11,
        )
        .configure_axisX(grid=False)
        .configure_legend(labelColor=ink, labelFontSize=11)
    )  # fmt: skip
    written = io.StringIO()
    styled.save(written, format="svg")
    # Vega writes labels and names escaped.
    return Markup(written.getvalue())
