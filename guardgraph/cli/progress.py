"""Showing on stderr what a run does, while it does it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from decimal import Decimal

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from guardgraph.cli.run_monitor import RunMonitor, RunProgress, line_of
from guardgraph.state import Balance, RunEvent

__all__ = ("budget_bar", "shown", "watching")

_BAR = 40
_MARKS = (0.5, 0.8, 1.0)
_AGENTS = 8
"""So many agents at work are named."""


@contextmanager
def watching(
    books: Callable[[str], Sequence[Balance]],
    *,
    thread: str,
    quiet: bool,
    console: Console | None = None,
    finished: int = 0,
) -> Generator[Callable[[RunEvent], None] | None]:
    """Give what is to be told every event; it is shown until the block ends.

    On a terminal it is a display that changes, below the alerts, trips and failures so far; elsewhere it is one line
    for each event; `None`, and nothing, if `quiet`. The name of the thread comes first, so that a run that is cut off
    can be resumed. `books` tells what was spent, `finished` how many agents had finished before.
    """
    if quiet:
        yield None
        return
    board, screen = RunMonitor(books, finished), console or Console(stderr=True)
    heads = iter([Text(f"thread {thread}", style="dim")])

    def log(event: RunEvent) -> None:
        board.tell(event)
        for head in heads:
            screen.print(head, soft_wrap=True)
        line = line_of(event, board.standing().seconds)
        style = _style(event)
        if line is not None and (style or not screen.is_terminal):
            screen.print(Text(line, style=style), soft_wrap=True)

    if not screen.is_terminal:
        yield log
        return
    with Live(console=screen, get_renderable=lambda: shown(board.standing()), refresh_per_second=8, transient=True):
        yield log


def shown(standing: RunProgress) -> Group:
    """Return the display: the agents at work, what was spent, and how much of the budget that is."""
    named = standing.at_work[:_AGENTS]
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, style="bold cyan", min_width=min(max((len(one[0]) for one in named), default=0), 24))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right", style="dim", min_width=7)
    for agent, goal, seconds in named:
        table.add_row(agent, Text(" ".join(goal.split())), f"{seconds:.1f} s")
    more = len(standing.at_work) - _AGENTS
    if more > 0:
        table.add_row("", Text(f"and {more} more"), "")
    lines: list[Table | Text] = [table, Text(_counted(standing), style="dim")]
    if standing.spent is not None:
        lines.append(budget_bar(standing.spent))
    return Group(*lines)


def budget_bar(spent: float) -> Text:
    """Return a bar of the budget with marks at 50, 80 and 100 percent; `spent` is a part, 1 is all of it."""
    filled = min(round(spent * _BAR), _BAR)
    style = "red" if spent >= 1 else "yellow" if spent >= 0.8 else "green"
    bar = Text("budget ")
    marks = {round(mark * _BAR) for mark in _MARKS}
    for place in range(1, _BAR + 1):
        sign = "|" if place in marks else "█" if place <= filled else "░"
        bar.append(sign, style="bold" if place in marks else style if place <= filled else "dim")
    return bar.append(f" {spent:.0%}")


def _counted(standing: RunProgress) -> str:
    cap = standing.cap
    tokens = f"{standing.tokens:,}" + (f" of {cap.tokens:,}" if cap.tokens is not None else "")
    usd = "price unknown" if standing.usd is None else _dollars(standing.usd)
    limit = f" of {_dollars(cap.usd)}" if cap.usd is not None else ""
    agents = f"{len(standing.at_work)} at work, {standing.finished} done"
    return f"{agents} · {tokens} tokens · {usd}{limit} · {standing.seconds:.1f} s"


def _dollars(usd: Decimal) -> str:
    return f"${usd:.4f}" if usd % Decimal("0.01") else f"${usd:.2f}"


def _style(event: RunEvent) -> str:
    """Return how news is shown; nothing for what is none."""
    match event.kind, event.data:
        case "verdict", {"action": "trip"}:
            return "bold red"
        case "verdict", _:
            return "yellow"
        case "agent_finished", {"error": str()}:
            return "red"
        case _:
            return ""
