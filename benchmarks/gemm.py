"""Peak of the int8 matrix product: each C kernel on large matrices, one thread.

python -m benchmarks.gemm
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.machine import build_c, describe


def peaks() -> dict[str, float]:
    """Multiply-accumulates a second that each kernel reaches, by the instruction set's name."""
    with tempfile.TemporaryDirectory() as folder:
        program = build_c("gemm_kernels", Path(folder))
        output = subprocess.run([program], stdout=subprocess.PIPE, check=True, text=True).stdout
    lines = (line.split() for line in output.splitlines())
    return {name: float(speed) * 1e9 for name, speed in lines}


def main() -> None:
    """Print a line for each kernel."""
    print(describe())
    print("int8 matrix product: 10^9 multiply-accumulates a second")
    for name, speed in peaks().items():
        print(f"  {name:<16}{speed / 1e9:8.1f}")


if __name__ == "__main__":
    main()
