"""The progress of a run, by its events and its ledger, and how it is shown on stderr."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple, cast

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from guardgraph.state import Allowance, Amount, Balance, RunEvent
from guardgraph.state.text import one_line

__all__ = ("RunMonitor", "RunProgress", "budget_bar", "line_of", "shown", "watching")

_BAR = 40
_MARKS = (0.5, 0.8, 1.0)
_AGENTS = 8
"""At most this many agents at work are named."""
_NOTHING = Balance("", Allowance(), Amount(), Amount())
_WIDTH = 200


class RunProgress(NamedTuple):
    """The progress of a run at one moment."""

    at_work: tuple[tuple[str, str, float], ...]
    """Agent, goal, and seconds since it began; the oldest first."""
    finished: int
    tokens: int
    usd: Decimal | None
    """`None` when a price is unknown."""
    cap: Allowance
    """The allowance of the run, with what earlier attempts of it have spent."""
    spent: float | None
    """The part of the tightest limit on tokens, money or calls that is spent; `None` without one."""
    seconds: float


@dataclass(slots=True)
class RunMonitor:
    """Follows a run by its events; safe to use from many threads.

    `balances` returns the balances down to an account, as a ledger does; the first is that of the whole run, with what
    earlier attempts have spent. `finished` is how many agents had finished before.
    """

    balances: Callable[[str], Sequence[Balance]]
    finished: int = 0
    began: float = field(default_factory=monotonic)
    _at_work: dict[tuple[object, ...], tuple[str, str, float]] = field(
        default_factory=dict[tuple[object, ...], tuple[str, str, float]]
    )
    _balance: Balance = _NOTHING
    _lock: Lock = field(default_factory=Lock)

    def observe(self, event: RunEvent) -> None:
        """Take one event into account."""
        key = (event.path, event.data.get("goal"), event.data.get("attempt"))
        with self._lock:
            if event.kind == "agent_started":
                self._at_work[key] = (event.path[-1], str(event.data.get("goal", "")), monotonic())
            elif event.kind == "agent_finished":
                self._at_work.pop(key, None)
                self.finished += 1
            self._balance = next(iter(self.balances(event.run_id)), self._balance)

    def progress(self) -> RunProgress:
        """Return the progress now."""
        now = monotonic()
        with self._lock:
            at_work = tuple((agent, goal, now - since) for agent, goal, since in self._at_work.values())
            spent, cap = self._balance.spent, self._balance.cap
            pairs = ((spent.tokens, cap.tokens), (spent.usd, cap.usd), (spent.calls, cap.calls))
            parts = [float(used / limit) for used, limit in pairs if limit and used is not None]
            tightest = max(parts, default=None)
            return RunProgress(at_work, self.finished, spent.tokens, spent.usd, cap, tightest, now - self.began)


def line_of(event: RunEvent, seconds: float) -> str | None:
    """Return an event as one line for a log, or `None` for an event that is not logged."""
    data = cast("Mapping[str, Any]", event.data)
    agent = "/".join(event.path[1:]) or "team"
    counts = ", ".join(f"{name} {data[name]}" for name in ("round", "attempt") if data.get(name, 1) > 1)
    repeated = f" ({counts})" if counts else ""
    match event.kind:
        case "agent_started":
            text = f"{agent} starts{repeated}: {one_line(data.get('goal', ''), _WIDTH)}"
        case "agent_finished":
            error = f": {one_line(data['error'], _WIDTH)}" if data.get("error") else ""
            tokens = f", {data['tokens']:,} tokens" if data.get("tokens") else ""
            text = f"{agent} {data.get('status')}{repeated}{tokens}{error}"
        case "verdict":
            verb = "trips" if data.get("action") == "trip" else "alerts"
            reason = one_line(data.get("reason", ""), _WIDTH)
            text = f"guard {data.get('guard')} {verb} at {data.get('gate')}: {reason}"
        case "compensating":
            reason = one_line(data.get("reason", ""), _WIDTH)
            refused = f"{data.get('instead_of')}, refused by {data.get('guard')}"
            text = f"{data.get('agent')} compensates for {refused}: {reason}"
        case "routed":
            worker = data.get("worker", "no worker yet")
            text = f"{agent} routes to {worker} ({data.get('rung')}): {one_line(data.get('reason', ''), _WIDTH)}"
        case "board_written":
            text = f"{agent} writes {data.get('board')}/{data.get('key')}, version {data.get('version')}"
        case "agent_waiting":
            text = f"{agent} waits {data.get('seconds')} s: {data.get('reason')}"
        case "model_downgraded":
            text = f"{agent} uses its model {data.get('model')!r}: {data.get('reason')}"
        case "run_waiting":
            text = f"waits for an answer to {', '.join(map(str, data.get('questions', ())))}"
        case _:
            return None
    return f"[{seconds:6.1f} s] {text}"


@contextmanager
def watching(
    balances: Callable[[str], Sequence[Balance]],
    *,
    thread: str,
    quiet: bool,
    console: Console | None = None,
    finished: int = 0,
) -> Generator[Callable[[RunEvent], None] | None]:
    """Give the callback that is called with every event; the progress is shown until the block ends.

    On a terminal it is a display that changes, below the alerts, trips and failures so far; elsewhere it is one line
    for each event; `None`, and nothing, if `quiet`. The name of the thread comes first, so that a run that is cut off
    can be resumed. `balances` is that of a ledger, `finished` how many agents had finished before.
    """
    if quiet:
        yield None
        return
    monitor, screen = RunMonitor(balances, finished), console or Console(stderr=True)
    heads = iter([Text(f"thread {thread}", style="dim")])

    def log(event: RunEvent) -> None:
        monitor.observe(event)
        for head in heads:  # printed once, before the first event
            screen.print(head, soft_wrap=True)
        line = line_of(event, monitor.progress().seconds)
        style = _style(event)
        if line is not None and (style or not screen.is_terminal):
            screen.print(Text(line, style=style), soft_wrap=True)

    if not screen.is_terminal:
        yield log
        return
    with Live(console=screen, get_renderable=lambda: shown(monitor.progress()), refresh_per_second=8, transient=True):
        yield log


def shown(progress: RunProgress) -> Group:
    """Return the display: the agents at work, the spent amounts, and the bar of the budget."""
    named = progress.at_work[:_AGENTS]
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, style="bold cyan", min_width=min(max((len(one[0]) for one in named), default=0), 24))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right", style="dim", min_width=7)
    for agent, goal, seconds in named:
        table.add_row(agent, Text(" ".join(goal.split())), f"{seconds:.1f} s")
    more = len(progress.at_work) - _AGENTS
    if more > 0:
        table.add_row("", Text(f"and {more} more"), "")
    lines: list[Table | Text] = [table, Text(_counted(progress), style="dim")]
    if progress.spent is not None:
        lines.append(budget_bar(progress.spent))
    return Group(*lines)


def budget_bar(spent: float) -> Text:
    """Return a bar of the budget with marks at 50, 80 and 100 percent; `spent` is a part, 1 is all of it."""
    filled = min(round(spent * _BAR), _BAR)
    style = "red" if spent >= 1 else "yellow" if spent >= 0.8 else "green"
    cells = [("█", style)] * filled + [("░", "dim")] * (_BAR - filled)
    for mark in _MARKS:
        cells[round(mark * _BAR) - 1] = ("|", "bold")
    return Text.assemble("budget ", *cells, f" {spent:.0%}")


def _counted(progress: RunProgress) -> str:
    cap = progress.cap
    tokens = f"{progress.tokens:,}" + (f" of {cap.tokens:,}" if cap.tokens is not None else "")
    usd = "price unknown" if progress.usd is None else _dollars(progress.usd)
    limit = f" of {_dollars(cap.usd)}" if cap.usd is not None else ""
    agents = f"{len(progress.at_work)} at work, {progress.finished} done"
    return f"{agents} · {tokens} tokens · {usd}{limit} · {progress.seconds:.1f} s"


def _dollars(usd: Decimal) -> str:
    return f"${usd:.4f}" if usd % Decimal("0.01") else f"${usd:.2f}"


def _style(event: RunEvent) -> str:
    """Return the style of a verdict or an error; nothing for other events."""
    if event.kind == "verdict":
        return "bold red" if event.data.get("action") == "trip" else "yellow"
    return "red" if event.kind == "agent_finished" and event.data.get("error") else ""
