"""From a fresh interpreter to the first answer, over a bare ``import numpy``.

python -m benchmarks.startup
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.machine import describe

ROUNDS = 21
PROGRAMS = ("import numpy", "import edgebert; edgebert.infer('a gripping film')")


def milliseconds(program: str) -> float:
    """Wall time of one interpreter that runs the program."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Print each program's median and the difference."""
    rounds = [[milliseconds(program) for program in PROGRAMS] for _ in range(ROUNDS)]
    numpy, edgebert = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(describe("numpy"))
    print(f"{ROUNDS} interpreters each, interleaved; median milliseconds")
    for program, median in zip(PROGRAMS, (numpy, edgebert), strict=True):
        print(f"  {program:<52} {median:7.1f}")
    print(f"  {'difference':<52} {edgebert - numpy:7.1f}")


if __name__ == "__main__":
    main()
