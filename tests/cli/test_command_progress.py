from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from guardgraph.cli.entry import main
from guardgraph.cli.progress import RunMonitor, RunProgress, budget_bar, line_of, shown, watching
from guardgraph.state import Allowance, Amount, Balance, EventKind, RunEvent


def event(kind: EventKind, *path: str, **data: Any) -> RunEvent:
    return RunEvent(kind=kind, run_id="run", at=datetime.now(UTC), path=path, data=data)


def plain(renderable: Any, *, width: int = 60) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined] - it is the StringIO above


def no_balances(account: str) -> tuple[Balance, ...]:
    return ()


def balances_of(spent: Amount, **caps: Any) -> Any:
    """Return the balances of a run that has a nested account too."""

    def balances(account: str) -> tuple[Balance, ...]:
        assert account == "run"
        return (
            Balance("run", Allowance(**caps), spent, Amount()),
            Balance("run/work", Allowance(), Amount(tokens=1), Amount()),
        )

    return balances


STARTED = event("agent_started", "team", "worker", goal="look", attempt=1)
FINISHED = event("agent_finished", "team", "worker", status="ok", goal="look", attempt=1, tokens=40, usd="0.25")
CALLED = event("model_called", "team", "worker", tokens=30, usd="0.01")


def test_an_agent_is_at_work_from_its_start_to_its_end() -> None:
    monitor = RunMonitor(no_balances)

    monitor.observe(STARTED)
    assert [one[:2] for one in monitor.progress().at_work] == [("worker", "look")]
    monitor.observe(FINISHED)
    progress = monitor.progress()
    assert (progress.at_work, progress.finished) == ((), 1)


def test_of_two_attempts_at_once_the_one_that_ended_is_gone() -> None:
    monitor = RunMonitor(no_balances)

    monitor.observe(STARTED)
    monitor.observe(event("agent_started", "team", "worker", goal="dig", attempt=1))
    monitor.observe(event("agent_finished", "team", "worker", status="ok", goal="dig", attempt=1))

    assert [one[:2] for one in monitor.progress().at_work] == [("worker", "look")]


def test_tokens_and_money_are_updated_with_every_model_call() -> None:
    spent = [Amount(tokens=30, usd=Decimal("0.01")), Amount(tokens=70, usd=Decimal("0.03"))]
    monitor = RunMonitor(lambda account: balances_of(spent.pop(0))(account))

    monitor.observe(CALLED)
    first = monitor.progress()
    monitor.observe(CALLED)
    second = monitor.progress()

    assert (first.tokens, first.usd) == (30, Decimal("0.01"))
    assert (second.tokens, second.usd) == (70, Decimal("0.03"))


def test_what_was_done_before_a_run_was_resumed_counts_too() -> None:
    monitor = RunMonitor(no_balances, finished=3)

    monitor.observe(STARTED)
    assert monitor.progress().finished == 3
    monitor.observe(FINISHED)
    assert monitor.progress().finished == 4


def test_before_a_run_has_balances_nothing_is_spent() -> None:
    monitor = RunMonitor(no_balances)

    monitor.observe(STARTED)

    progress = monitor.progress()
    assert (progress.tokens, progress.usd, progress.spent) == (0, Decimal(0), None)


@pytest.mark.parametrize(
    ("spent", "caps", "part"),
    [
        (Amount(tokens=30), {}, None),
        (Amount(tokens=30), {"tokens": 100}, 0.3),
        (Amount(tokens=30, usd=Decimal("0.25")), {"tokens": 100, "usd": Decimal("0.50")}, 0.5),
        (Amount(tokens=30, usd=None), {"tokens": 100, "usd": Decimal("0.50")}, 0.3),
        (Amount(usd=None), {"usd": Decimal("0.50")}, None),
        (Amount(calls=3), {"calls": 3, "tokens": 10}, 1.0),
    ],
)
def test_the_tightest_limit_is_shown(spent: Amount, caps: dict[str, Any], part: float | None) -> None:
    monitor = RunMonitor(balances_of(spent, **caps))

    monitor.observe(STARTED)

    assert monitor.progress().spent == part


@pytest.mark.parametrize(
    ("logged", "line"),
    [
        (STARTED, "[   1.5 s] worker starts: look"),
        (FINISHED, "[   1.5 s] worker ok, 40 tokens"),
        (
            event("agent_finished", "team", "worker", status="failed", attempt=2, error="a\nb"),
            "[   1.5 s] worker failed (attempt 2): a b",
        ),
        (event("agent_started", "team", "planner", goal="look", round=1, attempt=1), "[   1.5 s] planner starts: look"),
        (
            event("agent_started", "team", "planner", goal="look", round=2, attempt=3),
            "[   1.5 s] planner starts (round 2, attempt 3): look",
        ),
        (
            event("verdict", "team", guard="Budget", gate="round", action="alert", reason="80% of it is spent"),
            "[   1.5 s] guard Budget alerts at round: 80% of it is spent",
        ),
        (
            event("verdict", "team", guard="Depth", gate="dispatch", action="trip", reason="too deep"),
            "[   1.5 s] guard Depth trips at dispatch: too deep",
        ),
        (
            event("routed", "desk", worker="billing", rung="rule", reason="rule 'r' matched"),
            "[   1.5 s] team routes to billing (rule): rule 'r' matched",
        ),
        (
            event("routed", "desk", "inner", rung="classifier"),
            "[   1.5 s] inner routes to no worker yet (classifier): ",
        ),
        (
            event("compensating", "team", agent="fixer", instead_of="clerk", guard="Schema", reason="too dear"),
            "[   1.5 s] fixer compensates for clerk, refused by Schema: too dear",
        ),
        (
            event("board_written", "team", "worker", board="plan", key="route", version=2, entry_kind="decision"),
            "[   1.5 s] worker writes plan/route, version 2",
        ),
        (CALLED, None),
    ],
)
def test_an_event_is_one_line(logged: RunEvent, line: str | None) -> None:
    assert line_of(logged, 1.5) == line


def test_control_characters_of_a_goal_never_reach_the_terminal() -> None:
    line = line_of(event("agent_started", "team", "worker", goal="a\x1b[2Jb", attempt=1), 0)

    assert line is not None
    assert "\x1b" not in line


@pytest.mark.parametrize(("spent", "filled"), [(0.0, 0), (0.49, 19), (0.5, 19), (0.8, 30), (1.0, 37), (7.0, 37)])
def test_the_bar_has_marks_at_50_80_and_100_percent(spent: float, filled: int) -> None:
    bar = budget_bar(spent).plain.removeprefix("budget ")

    assert [place for place, sign in enumerate(bar, 1) if sign == "|"] == [20, 32, 40]
    assert bar.count("█") == filled
    assert bar.endswith(f" {spent:.0%}")


def test_the_display_names_at_most_eight_agents() -> None:
    at_work = tuple((f"worker-{number}", "x" * 200, 1.0) for number in range(11))

    text = plain(shown(RunProgress(at_work, 2, 1_500, None, Allowance(), 0.5, 3.0)))

    assert "worker-7" in text
    assert "worker-8" not in text
    assert "and 3 more" in text
    assert "11 at work, 2 done · 1,500 tokens · price unknown · 3.0 s" in text
    assert "budget" in text


@pytest.mark.parametrize(
    ("usd", "cap", "message"),
    [
        (Decimal(0), Allowance(), "0 at work, 1 done · 1,500 tokens · $0.00 · 2.0 s"),
        (Decimal("0.0012345"), Allowance(tokens=9_000), "1,500 of 9,000 tokens · $0.0012 · 2.0 s"),
        (Decimal("0.30"), Allowance(usd=Decimal(2)), "1,500 tokens · $0.30 of $2.00 · 2.0 s"),
        (None, Allowance(usd=Decimal(2)), "price unknown of $2.00"),
    ],
)
def test_spent_amounts_are_shown_beside_their_limits(usd: Decimal | None, cap: Allowance, message: str) -> None:
    assert message in plain(shown(RunProgress((), 1, 1_500, usd, cap, None, 2.0)))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_thread_trips_and_failures_are_logged_as_they_happen_on_a_terminal_and_elsewhere(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=80)
    with watching(no_balances, thread="t", quiet=False, console=console) as on_event:
        assert on_event is not None
        on_event(STARTED)
        on_event(event("verdict", "team", guard="Depth", gate="dispatch", action="trip", reason="too deep"))
        on_event(event("agent_finished", "team", "worker", status="failed", goal="look", attempt=1, error="no luck"))
    written = console.file.getvalue()  # type: ignore[attr-defined] - it is the StringIO above

    assert written.count("thread t") == 1
    assert "worker failed: no luck" in written
    assert "guard Depth trips at dispatch: too deep" in written
    assert ("worker starts: look" in written) is not is_terminal


def test_nothing_is_shown_when_it_is_to_be_quiet() -> None:
    console = Console(file=io.StringIO())
    with watching(no_balances, thread="t", quiet=True, console=console) as on_event:
        assert on_event is None

    assert console.file.getvalue() == ""  # type: ignore[attr-defined] - it is the StringIO above


@pytest.mark.parametrize(
    ("pictures", "note"),
    [
        (1, "1 file not read in full: docs/0.svg is no document (a .svg file)"),
        (4, " is no document (a .svg file) (and 1 more)"),
    ],
)
def test_files_that_are_no_documents_are_noted_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pictures: int,
    note: str,
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Goats eat grass.")
    for number in range(pictures):
        (tmp_path / "docs" / f"{number}.svg").write_text("<svg/>")
    monkeypatch.chdir(tmp_path)

    main(["research", "What do goats eat?", "docs", "--thread", "t"])

    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"{pictures} file")
    assert first.endswith(note)
