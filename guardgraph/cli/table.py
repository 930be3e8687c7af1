"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from guardgraph.state import printable

__all__ = ("print_table", "size_text")

_STEP = 1000


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows on stdout; elsewhere than on a terminal no cell is cut or wrapped."""
    console = Console()
    if not console.is_terminal:
        for row in (heads, *rows):
            click.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def size_text(size: float) -> str:
    """Return a number of bytes for a reader: `812 B`, `4.1 kB`, `2.5 MB`."""
    for unit in ("B", "kB", "MB"):
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} GB"
