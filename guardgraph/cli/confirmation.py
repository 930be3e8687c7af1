"""Asking before something is removed, and showing how far long work is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import track

from guardgraph.state import BadInput

__all__ = ("confirm", "is_interactive", "tracked", "yes_option")

_T = TypeVar("_T")

yes_option = click.option("--yes", "-y", is_flag=True, help="Do it without a question.")
"""Lets a command take `--yes`, as `yes`."""


def is_interactive(*, as_json: bool) -> bool:
    """Return whether a question can be answered here: on a terminal, and where stderr is not to stay empty."""
    return not as_json and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool, as_json: bool) -> bool:
    """Return whether to go on: with `--yes`, or where that is answered on the terminal.

    Raises:
        BadInput: there is no terminal, and no `--yes`.
    """
    if yes:
        return True
    if not is_interactive(as_json=as_json):
        raise BadInput(f"{question}? Nothing was changed: repeat the command with --yes, or see --dry-run")
    if click.confirm(f"{question}?", err=True):
        return True
    click.echo("nothing was changed", err=True)
    return False


def tracked(items: Iterable[_T], total: int, what: str, *, as_json: bool) -> Iterator[_T]:
    """Yield items, and show on a terminal how many of the `total` are done."""
    console = Console(stderr=True, quiet=as_json)
    shown = console.is_terminal and not as_json and total > 1
    yield from track(items, what, total=total, console=console, transient=True, disable=not shown)
