"""How commands print: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> None:
    """Print a table; the first columns are texts, the others right-aligned figures."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:  # of the extras; the figures are what matters
        for row in (columns, *rows):
            print(*row, sep="\t")
        return
    table = Table(box=box.SIMPLE_HEAD)  # Text: names may hold what rich takes for markup
    for i, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if i < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    if not console.is_terminal:  # a pipe or a file has no width to fit into
        console = Console(width=max(200, *(len("".join(row)) * 2 for row in rows)))
    console.print(table)


def thousands(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"
