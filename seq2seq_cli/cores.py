"""How many processor cores there are to use."""

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container's control group (Linux): microseconds of processor time, or "max", in each period of so many."""


def available_cores() -> int:
    """Cores this process may run on, no more than its container's quota pays for, and its part of those that it shares
    with others that ``torchrun`` has started; at least one."""
    return max(1, _cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group, or one without a quota
        return allowed
