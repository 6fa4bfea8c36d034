"""What a machine is, as far as it matters for speed: the processor, the libraries that multiply, and the commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from seq2seq_cli.cores import available_cores

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = (
    "avx2", "avx512f", "avx512bw", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8",
    "asimd", "bf16", "i8mm", "sve",
)  # fmt: skip
"""Instruction sets that decide how fast matrices are multiplied, as Linux calls them."""

GENERATIONS: dict[tuple[str, int], tuple[tuple[range, str], ...]] = {
    ("AuthenticAMD", 0x17): ((range(0x30), "AMD Zen 1"), (range(0x30, 0x100), "AMD Zen 2")),
    ("AuthenticAMD", 0x19): (
        (range(0x10), "AMD Zen 3"),
        (range(0x10, 0x20), "AMD Zen 4"),
        (range(0x20, 0x60), "AMD Zen 3"),
        (range(0x60, 0x100), "AMD Zen 4"),
    ),
    ("AuthenticAMD", 0x1A): ((range(0x50), "AMD Zen 5"), (range(0x60, 0x80), "AMD Zen 5")),
    ("GenuineIntel", 6): (
        (range(0x55, 0x56), "Intel Skylake"),  # and Cascade Lake
        (range(0x6A, 0x6D), "Intel Ice Lake"),
        (range(0x8F, 0x90), "Intel Sapphire Rapids"),
        (range(0xCF, 0xD0), "Intel Emerald Rapids"),
        (range(0xAD, 0xAF), "Intel Granite Rapids"),
    ),
}
"""By vendor and family, the generation of each range of models. Hypervisors often hide the name, but not these."""

LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


class Processor(BaseModel):
    """``name``: the generation, or what the system calls it; ``limits``: instruction sets that the environment takes away.
    What is not known is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    model: str | None = None
    family: int | None = None
    model_number: int | None = None
    cores: int | None = None
    instructions: tuple[str, ...] | None = None
    limits: dict[str, str] = {}
    torch: str | None = None
    onednn: str | None = None
    mkl: str | None = None
    python: str | None = None
    sentencepiece: str | None = None
    commit: str | None = None
    date: str | None = None
    note: str | None = None

    @property
    def full_name(self) -> str:
        """The name with what limits it."""
        limits = ", ".join(f"{name}={value}" for name, value in self.limits.items())
        return f"{self.name} ({limits})" if limits else self.name

    @property
    def file_name(self) -> str:
        """The full name, as that of a file: "AMD Zen 5" is amd-zen-5."""
        return re.sub(r"[^a-z0-9]+", "-", self.full_name.lower()).strip("-") or "unknown"


def this_processor() -> Processor:
    """This machine's, now, with the commit of this checkout."""
    facts = facts_of(CPUINFO.read_text(encoding="utf-8") if CPUINFO.is_file() else "")
    limits = {name: os.environ[name] for name in LIMITS if name in os.environ}
    return facts.model_copy(
        update={
            "cores": available_cores(),
            "limits": limits,
            "torch": torch.__version__,
            **libraries_of(torch.__config__.show()),
            "python": platform.python_version(),
            "sentencepiece": version("sentencepiece"),
            "commit": commit(Path(__file__).parent),
            "date": datetime.now(UTC).date().isoformat(),
        }
    )


def facts_of(cpuinfo: str) -> Processor:
    """What the text of /proc/cpuinfo says of the first processor. Without such a text, what Python knows."""
    facts = {
        key.strip(): value.strip() for key, value in re.findall(r"^([^:\n]+):(.*)$", cpuinfo.split("\n\n")[0], re.M)
    }
    family, number = (int(facts[key]) if facts.get(key, "").isdigit() else None for key in ("cpu family", "model"))
    model = facts.get("model name") or platform.processor() or platform.machine() or "unknown"
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return Processor(
        name=_generation(facts.get("vendor_id", ""), family, number) or model,
        model=model,
        family=family,
        model_number=number,
        instructions=tuple(name for name in INSTRUCTIONS if name in flags) or None,
    )


def _generation(vendor: str, family: int | None, number: int | None) -> str | None:
    if family is None or number is None:
        return None
    return next((name for numbers, name in GENERATIONS.get((vendor, family), ()) if number in numbers), None)


def libraries_of(built_with: str) -> dict[str, str | None]:
    """The versions of oneDNN and MKL in what ``torch.__config__.show()`` says."""
    onednn = re.search(r"MKL-DNN v([\d.]+)", built_with)
    mkl = re.search(r"Math Kernel Library Version ([\d.]+)", built_with)
    return {name: found and found.group(1) for name, found in (("onednn", onednn), ("mkl", mkl))}


def commit(folder: Path) -> str | None:
    """That of the checkout which ``folder`` is in, with a + where files have changed since; None outside of one."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=+"],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
