"""What the benchmarks make of measurements: facts of a machine, files of results, tables, and turns. Nothing is measured."""

import importlib
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import against, children, compiling, heads, opennmt, results, tables, train_speed, training_command
from benchmarks import all as everything
from benchmarks.common import Texts
from benchmarks.processor import Processor, facts_of, libraries_of
from benchmarks.results import Figure, Measured, Results
from seq2seq_cli.cli.blocks import with_blocks
from seq2seq_cli.decoding.hypothesis import Alignment, Role
from seq2seq_cli.errors import ConfigError, DataError, RunError
from seq2seq_cli.evaluation.alignment import Grid
from seq2seq_cli.training.progress import Stepped

DOCS = Path(__file__).parents[1] / "docs" / "performance.md"


def cpuinfo(vendor: str, family: int, model: int, name: str, flags: str) -> str:
    one = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: {name}\n"
    return f"{one}flags\t\t: fpu {flags}\n\nprocessor\t: 1\nmodel name\t: another\n"


@pytest.mark.parametrize(
    ("vendor", "family", "model", "name"),
    [
        ("AuthenticAMD", 25, 1, "AMD Zen 3"),
        ("AuthenticAMD", 25, 17, "AMD Zen 4"),
        ("AuthenticAMD", 26, 2, "AMD Zen 5"),
        ("GenuineIntel", 6, 143, "Intel Sapphire Rapids"),
        ("GenuineIntel", 6, 3, "some processor"),
        ("Another", 25, 1, "some processor"),
    ],
)
def test_a_processor_is_called_by_its_generation(vendor: str, family: int, model: int, name: str) -> None:
    found = facts_of(cpuinfo(vendor, family, model, "some processor", "avx2 amx_bf16 sse2"))
    assert (found.name, found.model, found.family, found.model_number) == (name, "some processor", family, model)
    assert found.instructions == ("avx2", "amx_bf16")


def test_a_system_without_cpuinfo_has_a_processor_all_the_same() -> None:
    found = facts_of("")
    assert found.name
    assert found.instructions is None


def test_a_processor_names_its_file() -> None:
    assert Processor(name="AMD Zen 5").file_name == "amd-zen-5"
    assert (
        Processor(name="AMD Zen 5", limits={"ONEDNN_MAX_CPU_ISA": "AVX2"}).file_name
        == "amd-zen-5-onednn-max-cpu-isa-avx2"
    )
    assert Processor(name="../..").file_name == "unknown"


def test_the_libraries_are_those_that_torch_names() -> None:
    told = "  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build\n  - Intel(R) MKL-DNN v3.12.0 (Git Hash x)"
    assert libraries_of(told) == {"onednn": "3.12.0", "mkl": "2024.2"}
    assert libraries_of("PyTorch built with: clang") == {"onednn": None, "mkl": None}


def step(speed: float, share: float, precision: str = "bf16", threads: int = 1) -> dict[str, object]:
    record = {"attention": "bahdanau", "input_feeding": "-", "precision": precision, "threads": threads, "steps": 40}
    return record | {"target_tokens_per_second": speed, "utilisation_percent": share, "matrix_gflop_per_second": 400.0,
                     "peak_memory_mib": 990.0}  # fmt: skip


def test_repetitions_of_one_thing_become_one_figure() -> None:
    found = results.gathered(results.TRAINING, [step(4000, 50), step(1000, 40, "fp32"), step(5000, 52), step(4100, 51)])
    assert [it.of["precision"] for it in found] == ["bf16", "fp32"]
    assert found[0].figures["target_tokens_per_second"] == Figure(median=4100, lowest=4000, highest=5000, times=3)
    assert set(found[0].figures) == set(results.TRAINING.figures)
    assert found[1].figures["utilisation_percent"].times == 1


def test_what_a_record_does_not_know_is_no_figure() -> None:
    record = {
        "attention": "none",
        "precision": "int8",
        "threads": 1,
        "beam": 5,
        "batch": "many",
        "sentences_per_second": 100.0,
    }
    rest = {"median_milliseconds": None, "target_tokens_per_second": 900.0, "bleu": 30.0, "peak_memory_mib": 400.0}
    (found,) = results.gathered(results.DECODING, [record | rest])
    assert "median_milliseconds" not in found.figures


def machine(name: str, records: list[dict[str, object]]) -> Results:
    return Results(processor=Processor(name=name), measured=tuple(results.gathered(results.TRAINING, records)))


def test_machines_stand_side_by_side() -> None:
    one = machine("One", [step(4000, 50), step(5000, 52)])
    other = machine("Other", [step(2000, 60), step(900, 44, "fp32", threads=2)])
    lines = tables.markdown([one, other]).splitlines()
    assert "|  | One | Other |" in lines
    first = "4,500 (4,000 to 5,000), 51%, 990 MiB"
    assert f"| `bahdanau`, bf16, 1 thread | {first} | 2,000, 60%, 990 MiB |" in lines
    assert "| `bahdanau`, fp32, 2 threads | - | 900, 44%, 990 MiB |" in lines


def test_rates_of_all_shapes_stand_in_one_cell() -> None:
    record = {"precision": "bf16", "library": "oneDNN", "weights": "packed", "threads": 2, "inputs": 8, "outputs": 8}
    rows = [record | {"rows": rows, "gflop_per_second": rate} for rows, rate in ((2048, 900.0), (16, 300.4))]
    found = Results(processor=Processor(name="One"), measured=tuple(results.gathered(results.RATES, rows)))
    assert "| bf16, oneDNN, packed, 2 threads | 900 / 300 |" in tables.markdown([found]).splitlines()


def test_what_is_not_measured_again_stays_with_its_commit() -> None:
    old = machine("One", [step(4000, 50), step(1000, 40, "fp32")]).model_copy(
        update={"processor": Processor(name="One", commit="aaaaaaa")}
    )
    new = machine("One", [step(6000, 70)]).model_copy(update={"processor": Processor(name="One", commit="bbbbbbb")})
    found = results.merged(new, old)
    assert found.measured[:1] == new.measured
    assert [(it.of["precision"], it.commit) for it in found.measured] == [("bf16", None), ("fp32", "aaaaaaa")]
    assert "| `bahdanau`, fp32, 1 thread | 1,000, 40%, 990 MiB, at aaaaaaa |" in tables.markdown([found])
    assert results.merged(found, old) == found
    assert results.merged(old, old) == old


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5))
def test_a_file_of_results_holds_what_was_measured(values: list[float]) -> None:
    measured = Measured(section="start-up", of={"command": "x"}, figures={"seconds": Figure.of(values)})
    found = Results(processor=Processor(name="Größe"), measured=(measured,))
    assert Results.model_validate_json(results.written(found)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "EOF"),
        ("[1, 2", "EOF"),
        ("{}", "processor"),
        ('{"processor": {"name": "x", "colour": "red"}, "measured": []}', "processor.colour"),
        (
            '{"processor": {"name": "x"}, "measured": [{"section": "speeds", "of": {}, "figures": {}}]}',
            "known are rates",
        ),
        (
            '{"processor": {"name": "x"}, "measured": [{"section": "rates", "of": {}, "figures": {"a": {"median": 1}}}]}',
            "measured.0.figures.a.lowest",
        ),
    ],
)
def test_a_broken_file_of_results_says_where(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as problem:
        results.read(path)
    assert problem.value.where == str(path)
    assert said in str(problem.value)


def test_results_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        results.read(tmp_path / "x.json")


def test_tables_go_between_the_marks_alone() -> None:
    document = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"
    new = tables.with_tables(document, "new", "x.md")
    assert new == f"before\n{tables.BEGIN}\n\nnew\n\n{tables.END}\nafter\n"
    assert tables.with_tables(new, "new", "x.md") == new


@pytest.mark.parametrize("document", ["", tables.BEGIN, f"{tables.END} {tables.BEGIN}"])
def test_tables_without_a_place_are_an_error(document: str) -> None:
    with pytest.raises(DataError, match="no place"):
        tables.with_tables(document, "new", "x.md")


def test_the_tables_of_the_documents_are_those_of_the_files() -> None:
    text = DOCS.read_text(encoding="utf-8")
    made = tables.markdown([results.read(path) for path in tables.kept()])
    assert tables.with_tables(text, made, str(DOCS)) == text, "python -m benchmarks.tables --write docs/performance.md"


def test_every_kept_file_has_the_name_of_its_processor() -> None:
    assert tables.kept()
    for path in tables.kept():
        assert results.read(path).processor.file_name == path.stem


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("trained", [True, False])
def test_every_measurement_is_one_that_its_command_can_make(cores: int, trained: bool, tmp_path: Path) -> None:
    jobs = list(everything.plan(["--corpus=tatoeba-de-en"], ["--test=x"], tmp_path, trained, cores))
    jobs.append(everything.beside_opennmt(tmp_path, ["--corpus=tatoeba-de-en"]))
    assert {job.section.name for job in jobs} >= {"rates", "training", "decoding", "start-up", "compiling"}
    assert max(job.cores for job in jobs) == cores
    for job in jobs:
        app = typer.Typer()
        app.command()(with_blocks(importlib.import_module(f"benchmarks.{job.module}").main))
        # Reads the options, and does nothing.
        typer.main.get_command(app).make_context(job.module, [*job.arguments, "--json"])


class Told:
    """A clock, and a command that takes ``seconds`` of it and prints one record."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.now, self.seconds, self.called = 0.0, seconds, list[str]()

    def module(self, name: str, *arguments: str, **_: Any) -> str:
        self.called.append(name.removeprefix("benchmarks."))
        self.now += self.seconds[self.called[-1]]
        if self.called[-1] == "broken":
            raise children.FailedError("ended with status 1.")
        return "[{}]"


def turns(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], deadline: float) -> tuple[Told, list[Any]]:
    told = Told(seconds)
    monkeypatch.setattr(everything, "module", told.module)
    monkeypatch.setattr(time, "monotonic", lambda: told.now)
    jobs = [everything.Job(results.RATES, name, (), 1, again=name != "once") for name in seconds]
    return told, everything.Sitting(jobs, deadline, (), (0,)).measure()


def test_all_have_a_turn_and_then_again_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    told, done = turns(monkeypatch, {"once": 10, "long": 30, "short": 5}, 100)
    assert told.called == ["once", "long", "short", "long", *["short"] * 4]
    assert [len(it.records) for it in done] == [1, 2, 5]
    assert told.now <= 100


def test_what_fails_is_left_out_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    told, done = turns(monkeypatch, {"broken": 10, "long": 30}, 80)
    assert told.called == ["broken", "long", "long"]
    assert [it.failed for it in done] == [True, False]
    assert "left out: ended with status 1." in capsys.readouterr().err


def test_what_comes_after_the_deadline_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    told, done = turns(monkeypatch, {"long": 30, "short": 5}, 30)
    assert told.called == ["long"]
    assert [it.failed for it in done] == [False, True]
    assert "rates: left out, the time is over" in capsys.readouterr().err


def test_a_process_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(children.FailedError, match="status 3") as problem:
        children.python(["-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"])
    assert problem.value.hint == "why"


def test_a_process_that_takes_too_long_is_ended() -> None:
    begin = time.monotonic()
    with pytest.raises(children.FailedError, match="took more than"):
        children.python(["-c", "import time; time.sleep(60)"], most_seconds=0.2)
    assert time.monotonic() - begin < 30


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system does not say")
def test_what_a_process_has_started_ends_with_it(tmp_path: Path) -> None:
    started = tmp_path / "started"
    for seconds in (0.5, 2, 8, 32):  # a busy machine may not have come to it in the first
        with pytest.raises(children.FailedError, match="took more than"):
            children.program(["sh", "-c", f"sleep 60 & echo $! > {started}; wait"], most_seconds=seconds)
        if started.exists() and started.read_text(encoding="ascii"):
            break
    number = int(started.read_text(encoding="ascii"))
    deadline = time.monotonic() + 30
    while lives(number) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lives(number)


def lives(number: int) -> bool:
    """Whether there is such a process, and not just the trace that one leaves until it is waited for."""
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_process_has_its_place() -> None:
    program = "import os; print(os.environ['PLACED'], *(sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else [0]))"
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    core = max(before)
    place = children.Place((core,), ("env", "PLACED=here"))
    assert children.python(["-c", program], place).split()[0] == "here"
    if hasattr(os, "sched_getaffinity"):
        assert children.python(["-c", program], place).split() == ["here", str(core)]
        assert os.sched_getaffinity(0) == before


def test_compiling_counts_between_the_marks() -> None:
    marked = compiling.Marked("bf16", 100, train_speed.Timed(2, 3000, 0.5))
    lines = [
        f"{compiling.COMPILED}cpu,matmul,jit,mb8,100",
        compiling.BEGIN,
        f"{compiling.COMPILED}cpu,matmul,jit,mb8,4.5",
        "onednn_verbose,v1,primitive,create:cache_hit,cpu,matmul,jit,mb8,0.1",
        f"{compiling.COMPILED}cpu,rnn,jit,mb8,5.5",
        compiling.end_mark(marked),
        f"{compiling.COMPILED}cpu,rnn,jit,mb8,100",
    ]
    assert compiling.compiled_milliseconds(lines) == ([4.5, 5.5], marked)
    with pytest.raises(ValueError, match="last mark"):
        compiling.compiled_milliseconds(lines[:3])


def test_the_first_interval_of_a_training_does_not_count() -> None:
    first = {"event": "train", "target_tokens": 1000, "tokens_per_second": 10.0}
    later = [first | {"tokens_per_second": speed} for speed in (100.0, 200.0)]
    assert training_command.speed_after_first([first, {"event": "evaluation"}, *later]) == pytest.approx(2000 / 15)
    with pytest.raises(DataError, match="too short"):
        training_command.speed_after_first([first])


def test_updates_are_taken_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told({})

    def updates() -> Any:
        while True:
            told.now += 2
            yield stepped

    stepped = type("Update", (), {"target_tokens": 10})()
    monkeypatch.setattr(time, "perf_counter", lambda: told.now)
    assert Stepped.__annotations__["target_tokens"]
    assert train_speed.take(updates(), 3) == (3, 30, 6.0)
    assert train_speed.take(updates(), 100, 5) == (3, 30, 6.0)
    assert train_speed.take(updates(), 100, 0) == (1, 10, 2.0)
    assert train_speed.take(updates(), 3).tokens_per_second == 5


def test_a_section_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match='"start_up" is unknown') as problem:
        everything.main(Texts(), only=["rates", "start_up"])
    assert problem.value.hint == 'Did you mean "start-up"?'


def test_their_log_tells_their_speed() -> None:
    log = "[x INFO] Step {}/   50; acc: 17.8; ppl: 471.3; bsz: 1659/1666/97; 1270/{} tok/s;     65 sec;"
    assert opennmt.speed_in(["Building model...", log.format(25, 1338), log.format(50, "1275.5")]) == 1275.5
    with pytest.raises(DataError, match="update 50"):
        opennmt.speed_in([log.format(25, 1338)])


def test_an_environment_without_their_command_is_an_error(tmp_path: Path) -> None:
    for command in (partial(opennmt.main, tmp_path), partial(everything.main, opennmt=tmp_path)):
        with pytest.raises(RunError, match="no bin/onmt_train"):
            command(texts=Texts())


def test_a_run_that_is_none_is_an_error_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="run"):
        everything.main(Texts(), run=tmp_path)


def test_texts_are_given_on_as_they_were() -> None:
    assert Texts(train_text="a b", src="de").options == ["--train=a b", "--src=de"]
    assert Texts().options == []


def test_caps_are_those_of_both_libraries() -> None:
    assert against.capped(None) == {}
    assert against.capped("AVX2") == {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    assert against.capped("AVX512_CORE") == {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}


def test_a_checkout_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkout"):
        against.main(tmp_path)


def test_a_checkout_whose_process_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "true")
    with against.opened(tmp_path, {}) as checkout, pytest.raises(RunError, match="ended"):
        checkout.begin([])


def looked(role: Role, weights: list[list[float]]) -> Alignment:
    pieces = tuple("abcdef"[: len(weights)])
    return Alignment(pieces, pieces, np.array(weights, np.float32), role=role)


def test_heads_have_habits() -> None:
    # Of six pieces the two in the middle have two others on either side.
    before = np.eye(6, k=-1) * 0.75 + np.eye(6, k=1) * 0.25
    habit = heads.Habit.of(Role.ITSELF, 3, 2, [looked(Role.ITSELF, before.tolist())] * 2)
    assert (habit.role, habit.layer, habit.head) == ("self_attention", 3, 2)
    assert (habit.before, habit.itself, habit.after, habit.mark, habit.largest) == (0.75, 0, 0.25, 0, 0.75)
    assert habit.entropy == pytest.approx(0.811, abs=1e-3)
    at_the_beginning = [[1.0, 0, 0, 0, 0, 0]] * 6
    masked = heads.Habit.of(Role.MASKED, 1, 1, [looked(Role.MASKED, at_the_beginning)])
    assert (masked.before, masked.itself, masked.after, masked.mark) == (0, 0, None, 1)
    crossed = heads.Habit.of(Role.CROSS, 1, 1, [looked(Role.CROSS, at_the_beginning)])
    assert (crossed.before, crossed.itself, crossed.after, crossed.mark, crossed.entropy) == (None, None, None, 0, 0)


def test_pronouns_agree_with_one_of_their_nouns() -> None:
    said = list(heads.sayings())
    assert [one.text for one in said[:2]] == [
        f"Der Hund jagt die Katze, weil {pronoun} hungrig ist." for pronoun in ("er", "sie")
    ]
    assert len({one.text for one in said}) == len(said) == 216
    for one in said:
        words = one.text.replace(",", "").split()
        assert words[one.agreeing] in ((*heads.MASCULINE, "Jungen") if one.pronoun == "er" else heads.FEMININE)
        assert words[one.other] in (heads.FEMININE if one.pronoun == "er" else (*heads.MASCULINE, "Jungen"))
        assert "den Junge " not in one.text
    # A head that always looks at the nearer noun, and a little at the other: it agrees in half of them.
    grids = []
    for one in said:
        source = tuple(one.text.split())
        weights = np.zeros((len(source), len(source)), np.float32)
        weights[source.index(one.pronoun), [1, 4]] = 0.125, 0.5
        grids.append(Grid(source, source, weights))
    found = heads.Reference.of(4, 1, said, grids)
    assert (found.both, found.agrees) == (0.625, 0.5)
    assert (found.er_hund, found.er_katze, found.sie_hund, found.sie_katze) == (0.125, 0.5, 0.125, 0.5)
    assert heads.Told.of("er", ["He and she.", "it is", "the"]) == heads.Told("er", he=1, she=1, it=1, none=1)
