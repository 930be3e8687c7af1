"""Every saver of guardgraph beside LangGraph's for the same database, each on a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from bench.measuring.contest import Comparison, Contestant, Figures, compete
from bench.measuring.peers import Missing
from bench.measuring.savers import our_postgres, our_sqlite, stock_postgres, stock_sqlite

Pair: TypeAlias = tuple[str, str]
"""The names of ours and of its peer."""

__all__ = ("FULL", "HELD", "NORMAL", "POSTGRES", "VERSIONS", "Pair", "contest_of_savers")

FULL: Pair = ("SQLSaver, SQLite FULL", "SqliteSaver, FULL")
HELD: Pair = ("SQLSaver, SQLite FULL, write_behind", "SqliteSaver, FULL")
NORMAL: Pair = ("SQLSaver, SQLite NORMAL", "SqliteSaver, NORMAL")
POSTGRES: Pair = ("SQLSaver, PostgreSQL", "PostgresSaver")
VERSIONS = (
    "guardgraph",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres",
    "sqlalchemy",
    "psycopg",
)


def contest_of_savers(
    contestant: Callable[[str, Any], Contestant],
    goals: Mapping[Pair, float | None],
    quantities: Sequence[str],
    *,
    folder: Path | None,
    rounds: int,
) -> tuple[Figures, list[Comparison], list[str]]:
    """Return figures, comparisons, and why some took no part.

    `goals` names the pairs, as `FULL`, with the goal for the first of the `quantities`.
    """
    comparisons = [
        Comparison(ours, theirs, quantity, at_most=goal if quantity == quantities[0] else None)
        for (ours, theirs), goal in goals.items()
        for quantity in quantities
    ]
    contestants: list[Contestant] = []
    missing: list[str] = []
    with ExitStack() as stack:
        files = Path(stack.enter_context(TemporaryDirectory(dir=folder)))
        opened = _savers(stack, files)
        for name in dict.fromkeys(name for pair in goals for name in pair):
            try:
                contestants.append(contestant(name, opened[name]()))
            except Missing as reason:
                missing.append(f"{name}: {reason}")
        return compete(contestants, rounds=rounds), comparisons, missing


def _savers(stack: ExitStack, files: Path) -> Mapping[str, Callable[[], Any]]:
    return {
        FULL[0]: partial(our_sqlite, stack, files, "FULL"),
        FULL[1]: partial(stock_sqlite, stack, files, "FULL"),
        HELD[0]: partial(our_sqlite, stack, files, "FULL", write_behind=0.5),
        NORMAL[0]: partial(our_sqlite, stack, files, "NORMAL"),
        NORMAL[1]: partial(stock_sqlite, stack, files, "NORMAL"),
        POSTGRES[0]: partial(our_postgres, stack),
        POSTGRES[1]: partial(stock_postgres, stack),
    }
