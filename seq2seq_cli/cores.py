"""How many processor cores there are to use."""

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""The quota of a container's control group (Linux): microseconds of processor time, or "max", and the period in
microseconds that they are for."""


def available_cores() -> int:
    """How many cores this process may use, at least one: those it may run on, at most what its container's quota pays
    for, and only its part of those that it shares with other processes started by ``torchrun``."""
    return max(1, _cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group, or one without a quota
        return allowed
