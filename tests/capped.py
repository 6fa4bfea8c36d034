"""Runs the tests that rest on how a processor computes with its instruction sets capped, one cap after another.

python tests/capped.py            # all caps that this processor has something above, and none
python tests/capped.py --quick    # the caps and files that take seconds, as .ci/run does
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
QUICK = (
    *("test_device", "test_int8", "test_loss", "test_maps", "test_processor", "test_products"),
    *("test_self_attention", "test_transformer"),
)
"""Files that train nothing."""
SLOW = ("test_repeat", "test_resume", "test_search", "test_stateful", "test_training", "test_translator")


class Cap(NamedTuple):
    """Of oneDNN's products or of torch's own loops; ``needs``: a flag of processors that it would take away from, or that
    it needs. ``quick``: whether it changes what the quick files see most."""

    variable: str
    value: str
    needs: str = ""
    quick: bool = False


CAPS = (
    Cap("ONEDNN_MAX_CPU_ISA", "AVX2", "avx2", quick=True),
    Cap("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", "avx512bw", quick=True),
    Cap("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", "avx512_bf16"),
    Cap("ONEDNN_MAX_CPU_ISA", "DEFAULT"),
    Cap("ATEN_CPU_CAPABILITY", "default", quick=True),
    Cap("ATEN_CPU_CAPABILITY", "avx2", "avx2"),
    Cap("ATEN_CPU_CAPABILITY", "avx512", "avx512bw"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the caps and files that take seconds")
    parser.add_argument("arguments", nargs="*", help="for pytest, behind --; without any, a process a core")
    chosen = parser.parse_args()
    files = [str(TESTS / f"{name}.py") for name in (QUICK if chosen.quick else QUICK + SLOW)]
    flags, red = processor_flags(), 0
    for cap in CAPS:
        name = f"{cap.variable}={cap.value}"
        if chosen.quick and not cap.quick:
            continue
        if cap.needs and cap.needs not in flags:
            print(f"{name:40} left out: this processor has no {cap.needs}", flush=True)
            continue
        began = time.monotonic()
        quiet = ["--durations=0", "--durations-min=1000", "-m", ""]
        command = [sys.executable, "-m", "pytest", *quiet, *files, *chosen.arguments]
        done = subprocess.run(
            command, env={**os.environ, cap.variable: cap.value}, cwd=TESTS.parent, capture_output=True, text=True
        )
        said = re.findall(r"^.*\b(?:passed|failed|error|skipped)\b.* in .*$", done.stdout, re.MULTILINE)
        summary = re.sub(r" in .*", "", said[-1]) if said else f"pytest ended with status {done.returncode}"
        print(f"{name:40} {summary}, {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode:
            red += 1
            print(done.stdout + done.stderr, flush=True)
    return 1 if red else 0


def processor_flags() -> set[str]:
    """What instructions it has, where Linux says so."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    return set(re.findall(r"\w+", "".join(re.findall(r"^flags\s*:(.*)$", text, re.MULTILINE)[:1])))


if __name__ == "__main__":
    sys.exit(main())
