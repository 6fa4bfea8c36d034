"""Where to compute and in which numbers: what was asked for, or the quickest there is, with its reason."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seq2seq_cli.cores import available_cores
from seq2seq_cli.device import Precision, choose_device, choose_precision, choose_search_precision, set_threads
from seq2seq_cli.errors import ConfigError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without any accelerator, for a test to add what it needs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_auto_takes_a_gpu_where_there_is_one(machine: pytest.MonkeyPatch) -> None:
    assert choose_device("auto") == CPU
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("mps")
    machine.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == CUDA
    assert choose_device("cpu") == CPU
    assert choose_device("mps") == torch.device("mps")


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f'training.device: device "{name}" is not available here.*\nUse "auto" or "cpu"'
    ):
        choose_device(name)


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_asked_for_is_given(name: str) -> None:
    assert choose_precision(name, CPU) == Precision(name, "as asked")


@pytest.mark.parametrize(
    ("avx512", "amx", "chosen"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_a_processor_that_computes_bf16_does(machine: pytest.MonkeyPatch, avx512: bool, amx: bool, chosen: str) -> None:
    machine.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    machine.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert choose_precision("auto", CPU).name == chosen


@pytest.mark.parametrize(
    ("cap", "training", "search"),
    [
        ("AVX2", "fp32", "fp32"),
        ("AVX2_VNNI", "fp32", "fp32"),
        ("AVX512_CORE", "fp32", "fp32"),
        ("avx512_core_vnni", "fp32", "int8"),
        ("AVX512_CORE_BF16", "bf16", "int8"),
        ("AVX512_CORE_AMX", "bf16", "int8"),
        ("DEFAULT", "bf16", "int8"),
    ],
)
@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_formats_are_those_that_onednn_may_use(
    machine: pytest.MonkeyPatch, name: str, cap: str, training: str, search: str
) -> None:
    """Kept to less than the processor has, it emulates bf16, and gets sums of 8-bit integers wrong."""
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_vnni_supported"):
        machine.setattr(torch.cpu, check, lambda: True, raising=False)
    machine.setattr(torch.ops.onednn, "qlinear_pointwise", None, raising=False)
    machine.setenv(name, cap)
    assert choose_precision("auto", CPU).name == training
    assert choose_search_precision("auto", CPU).name == search


def test_a_torch_that_cannot_say_computes_in_fp32(machine: pytest.MonkeyPatch) -> None:
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        machine.delattr(torch.cpu, check, raising=False)
    assert choose_precision("auto", CPU).name == "fp32"


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_old_gpus_get_fp16(machine: pytest.MonkeyPatch, capability: tuple[int, int], chosen: str) -> None:
    machine.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", CUDA).name == chosen


def test_autocast_multiplies_in_its_precision_and_leaves_parameters_alone() -> None:
    layer = torch.nn.Linear(2, 2)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with Precision(name, "").autocast(CPU):
            assert layer(torch.ones(1, 2)).dtype == dtype
        assert layer.weight.dtype == torch.float32
    assert isinstance(Precision("fp32", "").autocast(CPU), contextlib.nullcontext)


def test_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []
    monkeypatch.setattr("seq2seq_cli.device.available_cores", available_cores)
    monkeypatch.setattr("seq2seq_cli.cores.QUOTA", tmp_path / "none")
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(32)), raising=False)
    assert set_threads(3) == 3
    assert set_threads(0) == 8  # no more than 8 of 32 cores: more are slower on models this small
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 5}, raising=False)
    assert set_threads(0) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert set_threads(0) == 6
    assert asked == [3, 8, 2, 6]


@pytest.mark.parametrize(("quota", "cores"), [("200000 100000", 2), ("max 100000", 4), ("50000 100000", 1), ("", 4)])
def test_a_container_may_use_as_many_cores_as_its_quota_pays_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    monkeypatch.setattr("seq2seq_cli.cores.QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert available_cores() == cores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "turns"),
    [({}, "700"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_spin_for_a_moment_only_unless_the_user_says_otherwise(given: dict[str, str], turns: str) -> None:
    """Before torch is loaded, by the commands and by the benchmarks."""
    own = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in own} | given
    for package in ("seq2seq_cli.cli.app", "benchmarks"):
        code = f"import os, sys, {package}; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
        root = Path(__file__).parents[1]
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{turns} False\n"
