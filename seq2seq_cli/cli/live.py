"""What ``seq2seq train`` shows: a live line on a terminal, plain lines in a log or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.cells import cell_len
from rich.progress import BarColumn, Progress, TextColumn

from seq2seq_cli import console
from seq2seq_cli.config.whole import Config
from seq2seq_cli.data.prepare import Report
from seq2seq_cli.evaluation.systems import Evaluation
from seq2seq_cli.report.pictures import Pictures
from seq2seq_cli.runs import Run
from seq2seq_cli.training.change import Change
from seq2seq_cli.training.experiment import Averaged, Begun, Following, Happening, LeftOut
from seq2seq_cli.training.progress import Ended, Evaluated, Event, Intervals, Skipped, Stepped, Unjudged, WentBack
from seq2seq_cli.wording import counted

LONGEST_LEFT = 1e9
"""Longest remaining time that is shown, in seconds: thirty years. With endless epochs, larger numbers could not be
formatted."""
LIVE_STEPS, PLAIN_STEPS = 5, 100
"""Steps between two refreshes of the live line, and between two plain lines."""
LIVE_SECONDS, PLAIN_SECONDS = 2.0, 15.0
"""Most seconds between them (not counting the update under way)."""
TRAINING = "training"
SHORTEST_BAR, LONGEST_BAR = 5, 40
"""Columns of the bar: in a narrow terminal, figures are more useful."""


def follow(start: Callable[[Report], Iterator[Happening]], config: Config, go_on: Callable[[Run], str]) -> Run:
    """Run the experiment that ``start`` begins and show what happens; returns its run. If it is interrupted, ``go_on``
    gives the command to resume it."""
    begun: Happening | None = None
    listening: list[Report] = []
    try:
        with console.stages() as stages:
            listening.append(stages)
            events = start(lambda *told: listening[-1](*told))
            begun = next(events)
        assert isinstance(begun, Begun)
        _announce(begun, config)
        _show(events, begun, config, listening)
    except KeyboardInterrupt:
        if isinstance(begun, Begun):
            console.notice(f"Stopped. Go on with: {go_on(begun.run)}")
        else:
            console.notice("Stopped before training began. Give the same command again to go on.")
        raise
    return begun.run


def _show(events: Iterator[Happening], begun: Begun, config: Config, listening: list[Report]) -> None:
    best_bleu = begun.best or 0.0 if config.training.stop_on == "bleu" else 0.0
    display = _Live(best_bleu) if console.err().is_terminal else _Plain()
    trouble = _Trouble()
    listening.append(display.report)
    with display:
        for event in events:
            if isinstance(event, Stepped | Skipped | Evaluated | Unjudged | WentBack | Ended):
                display.show(event)
                for warning in trouble.about(event):
                    with display.aside():
                        console.warn(warning)
            else:
                with display.aside():
                    _conclude(event)


class _Trouble:
    """Warnings of problems that training mends by itself: each kind once, but every time that it goes back."""

    def __init__(self) -> None:
        self.told: set[type] = set()

    def about(self, event: Event) -> Iterator[str]:
        if isinstance(event, WentBack):
            yield f"{event}."
        if isinstance(event, Skipped) and Skipped not in self.told:
            self.told.add(Skipped)
            yield f"{event}. Others that are skipped are counted in the log."
        if isinstance(event, Stepped) and event.split_into is not None and Stepped not in self.told:
            self.told.add(Stepped)
            yield (
                f"step {event.step} had to be computed in {event.split_into} parts for want of memory; the gradient is the "
                "same. A smaller training.batch_tokens would be quicker."
            )


def _announce(begun: Begun, config: Config) -> None:
    for note in begun.notes:
        console.notice(note)
    console.notice(
        f"{config.system}: {counted(begun.train_pairs, 'training pair')}, {counted(begun.dev_pairs, 'dev pair')}, "
        f"{counted(begun.vocabulary, 'piece')}, {counted(begun.parameters, 'parameter')}"
    )
    console.notice(f"{begun.device}, {_workers(begun)}, {begun.precision}; run directory {begun.run.directory}")
    if begun.resumed_at:
        console.notice(f"resumed after step {begun.resumed_at}")


def _workers(begun: Begun) -> str:
    threads = counted(begun.threads, "thread")
    return threads if begun.processes == 1 else f"{begun.processes} processes of {threads} each"


def _conclude(event: Happening) -> None:
    if isinstance(event, Following):
        console.notice(str(event))
    elif isinstance(event, LeftOut):
        console.warn(str(event))
    elif isinstance(event, Averaged):
        console.notice(str(event))
    elif isinstance(event, Evaluation):
        bleu, chrf, ter = event.scores.bleu, event.scores.chrf, event.scores.ter
        console.result(
            f"test BLEU {bleu.value:.2f} (95% interval {' to '.join(bleu.bounds())}), "
            f"chrF {chrf.value:.2f}, TER {ter.value:.2f}; beam {event.decoding.beam}, "
            f"{event.sentences_per_second:.0f} sentences/s"
        )
        for line in (*event.notes, bleu.how):
            console.notice(line)
    elif isinstance(event, Change):
        console.result(str(event))
    elif isinstance(event, Pictures):
        for warning in event.warnings:
            console.warn(warning)
        console.notice(str(event))


class _Plain:
    """For logs and pipes: a line for each evaluation and one every hundred steps; more where these are far apart in
    time."""

    def __init__(self) -> None:
        self.intervals = Intervals(PLAIN_STEPS, PLAIN_SECONDS)
        self.heartbeat = console.Heartbeat(TRAINING)

    def __enter__(self) -> None:
        self.heartbeat.__enter__()

    def __exit__(self, *_: object) -> None:
        self.heartbeat.__exit__()

    def report(self, doing: str, done: int, total: int) -> None:
        self.heartbeat.report(doing, done, total)

    def show(self, event: Event) -> None:
        self.heartbeat.report(TRAINING, 0, 0)
        interval = self.intervals.add(event)
        if interval is not None and isinstance(event, Stepped):
            self._say(f"{interval}, {memory()}, {_left(event)} left")
        if isinstance(event, Evaluated | Unjudged | Ended):
            self._say(str(event))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within, other lines may be printed."""
        yield
        self.heartbeat.heard()

    def _say(self, text: str) -> None:
        console.notice(text)
        self.heartbeat.heard()


class _Live:
    """One line that is kept up to date, and a lasting line for each evaluation."""

    def __init__(self, best_bleu: float) -> None:
        self.console, self.bar = console.err(), BarColumn()
        doing, figures = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[figures]"))
        columns = (doing, self.bar, figures)
        self.progress = Progress(
            *columns, console=self.console, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self.task = self.progress.add_task(TRAINING, total=1.0, figures="")
        self.intervals = Intervals(LIVE_STEPS, LIVE_SECONDS)
        self.bleu = best_bleu
        self.started = time.monotonic()

    def __enter__(self) -> None:
        self.progress.start()

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def report(self, doing: str, done: int, total: int) -> None:
        self._update(doing, done / total if total else 0, [f"{done:,} of {total:,}"] if total else [])

    def _update(self, doing: str, share: float, figures: Sequence[str]) -> None:
        """Show as many of the ``figures`` as there is room for; the most important ones come first."""
        room = self.console.width - cell_len(doing) - 2
        shown = _fitting(figures, room - SHORTEST_BAR)
        self.bar.bar_width = max(1, min(LONGEST_BAR, room - cell_len(shown)))
        self.progress.update(self.task, description=doing, completed=share, figures=shown)

    def show(self, event: Event) -> None:
        interval = self.intervals.add(event)
        if isinstance(event, Evaluated):
            self.bleu = max(self.bleu, event.bleu)
        if isinstance(event, Evaluated | Unjudged | Ended):
            with self.aside():
                console.notice(str(event))
        if interval is not None and isinstance(event, Stepped):
            losses = (f"loss {interval.loss:.3f}", *interval.besides)
            speed = f"{interval.tokens_per_second:,.0f} tok/s"
            figures = (f"{_left(event)} left", *losses, f"best dev BLEU {self.bleu:.2f}", speed, memory())
            self._update(f"epoch {event.epoch + 1} step {event.step}", event.share, figures)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within, other lines may be printed."""
        self.progress.stop()
        yield
        self.progress.start()


def _fitting(parts: Sequence[str], room: int) -> str:
    """As many of the ``parts`` as fit into ``room`` columns, but always the first one."""
    shown = ""
    for part in parts:
        longer = f"{shown} · {part}" if shown else part
        if shown and cell_len(longer) > room:
            break
        shown = longer
    return shown


def _left(event: Stepped) -> str:
    """Time to the end of the epochs or minutes. (Early stopping may come sooner.)"""
    remaining = event.seconds * (1 - event.share) / event.share if event.share > 0 else 0
    return str(timedelta(seconds=round(min(remaining, LONGEST_LEFT))))


def memory() -> str:
    """The most memory that this process has used so far."""
    try:
        import resource
    except ImportError:  # Windows
        return "memory unknown"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak / (2**30 if sys.platform == 'darwin' else 2**20):.1f} GiB"
