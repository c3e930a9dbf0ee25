"""Runs a .tflite file in TensorFlow Lite Micro, whose package lives in an environment of its own.

``python tflite_micro_runner.py MODEL INPUTS.npz OUTPUTS.npz NAME...`` takes one array for each
input, in their order, a row for each text; it writes each output under its NAME as float32, and
what the arena was used for to standard error. It needs NumPy alone beside that package.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

ARENA = 64 << 20  # of which as much is used as is needed


def stored(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Values as a tensor holds them."""
    parameters = detail["quantization_parameters"]
    if values.dtype == np.float32 and len(parameters["scales"]):
        steps = np.rint(values / parameters["scales"][0]) + parameters["zero_points"][0]
        values = np.clip(steps, -128, 127)
    return values.astype(detail["dtype"])


def real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """The numbers that a tensor means."""
    parameters = detail["quantization_parameters"]
    if values.dtype == np.float32:
        return values
    return (values - np.float32(parameters["zero_points"][0])) * parameters["scales"][0]


def main(model: str, inputs: str, outputs: str, *names: str) -> None:
    """Run all rows, one after the other."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(model, arena_size=ARENA)
    found: list[list[np.ndarray]] = [[] for _ in names]
    with np.load(inputs) as arrays:
        feeds = [
            stored(array, interpreter.get_input_details(i))
            for i, array in enumerate(arrays.values())
        ]
    details = [interpreter.get_output_details(i) for i in range(len(found))]
    for row in range(len(feeds[0])):
        for i, array in enumerate(feeds):  # each time: their memory is used for others meanwhile
            interpreter.set_input(array[row : row + 1], i)
        interpreter.invoke()
        for i, rows in enumerate(found):
            rows.append(real(interpreter.get_output(i)[0], details[i]))
    arrays_out: dict[str, Any] = dict(zip(names, map(np.array, found), strict=True))
    np.savez(outputs, **arrays_out)
    interpreter.print_allocations()


if __name__ == "__main__":
    main(*sys.argv[1:])
