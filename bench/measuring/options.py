"""The options that every benchmark has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ("common_options",)

F = TypeVar("F", bound=Callable[..., Any])


def common_options(rounds: int) -> Callable[[F], F]:
    """Give a command `--rounds`, with this default, and `--json`."""

    def decorate(command: F) -> F:
        as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
        repeats = click.option("--rounds", type=click.IntRange(min=1), default=rounds, show_default=True)
        return repeats(as_json(command))

    return decorate
