"""Writes csrc/tanh_table.h, the table of the int8 models' pooler (docs/numerics.md)."""

from __future__ import annotations

import math
from pathlib import Path

HEADER = """\
/* 2^11 tanh((i - 128) / 16), rounded; written by tools/make_tanh_table.py. */
#ifndef EB_TANH_TABLE_H
#define EB_TANH_TABLE_H

#include <stdint.h>

static const int16_t eb_tanh_table[257] = {
"""

values = [round(2048 * math.tanh((i - 128) / 16)) for i in range(257)]
lines = ["    " + ", ".join(map(str, values[i : i + 14])) + ",\n" for i in range(0, 257, 14)]
path = Path(__file__).resolve().parent.parent / "csrc" / "tanh_table.h"
path.write_text(HEADER + "".join(lines) + "};\n\n#endif\n")
