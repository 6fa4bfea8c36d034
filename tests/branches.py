"""How many of the branches of the inner rooms the tests take, as .ci/run asks: a line a room. Fails where too few are.

python -m pytest -m '' --cov --cov-report=json && python tests/branches.py coverage.json
"""

import json
import sys
from collections import Counter
from pathlib import Path

LEAST = 95.0
"""Percent of a room's branches."""
ROOMS = ("model", "decoding", "training")


def branches(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> dict[str, tuple[int, int]]:
    """Of each room, how many are taken and how many there are; ``report``: as coverage.py writes it in JSON."""
    taken, there_are = Counter[str](), Counter[str]()
    for path, told in report["files"].items():
        room = Path(path.replace("\\", "/")).parts[1]
        taken[room] += told["summary"]["covered_branches"]
        there_are[room] += told["summary"]["num_branches"]
    return {room: (taken[room], there_are[room]) for room in ROOMS}


def main(path: str) -> int:
    found = branches(json.loads(Path(path).read_text(encoding="utf-8")))
    shares = {room: 100 * taken / max(1, there_are) for room, (taken, there_are) in found.items()}
    for room, (taken, there_are) in found.items():
        print(f"{room + '/':12}{shares[room]:6.1f}% of {there_are:4} branches, {there_are - taken} not taken")
    low = [room for room, share in shares.items() if share < LEAST]
    if low:
        print(f"Fewer than {LEAST:g}% in {', '.join(low)}. Which: python -m coverage report --show-missing")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
