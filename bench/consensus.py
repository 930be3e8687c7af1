"""How accuracy falls with the number of wrong agents, by voting rule; what a panel costs: `python -m bench.consensus`.

The first tables are simulations by the voting rules alone, with a fixed seed: of seven agents and four answers so many
are wrong, each with an error of its own or all with the same one. The third runs a small part of them through the real
graph, which has to decide as the rules do. Then the CPU of one job of a panel of five is measured beside a fan-out with
a `Counter` on plain LangGraph, without guards, accounts, reviews and a typed outcome.
"""

from __future__ import annotations

import operator
import time
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from statistics import mean
from typing import Annotated, Any

import click
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from rich import box
from rich.console import Console
from rich.table import Table
from typing_extensions import TypedDict

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from bench.teams.panels import RIGHT, RULES, Errors, ballot_of, panel_of
from guardgraph.agents import Agent
from guardgraph.graphs import consensus, plurality
from guardgraph.state import Reply

_AGENTS = 7
_CPU = "CPU ms a job"
_PANEL = 5
_ERRORS: tuple[Errors, ...] = ("independent", "common")

Accuracy = dict[str, dict[int, tuple[float, float]]]
"""By rule and by the number of wrong agents: the part of trials that is right, and the part that is undecided."""


class _State(TypedDict, total=False):
    task: str
    answers: Annotated[list[str], operator.add]
    value: str


def simulated(errors: Errors, trials: int, *, seed: int = 1) -> Accuracy:
    """Return how accurate each rule is with 0 to 7 wrong agents."""
    found: Accuracy = {}
    for name, rule in RULES.items():
        for wrong in range(_AGENTS + 1):
            random = Random(f"{seed} {errors} {wrong}")
            counts = Counter[str]()
            for _ in range(trials):
                panel = panel_of(random, agents=_AGENTS, wrong=wrong, errors=errors)
                winners = rule([ballot_of(voter, name) for voter in panel]).winners
                counts["right" if winners == (f'"{RIGHT}"',) else "open" if len(winners) != 1 else "wrong"] += 1
            found.setdefault(name, {})[wrong] = (counts["right"] / trials, counts["open"] / trials)
    return found


def through_the_graph(trials: int, *, seed: int = 1) -> dict[int, dict[str, float]]:
    """Return accuracy and mean confidence of plurality in the real graph, and how often it decides as the rule does."""
    found: dict[int, dict[str, float]] = {}
    for wrong in range(_AGENTS + 1):
        random, right, same, confidence = Random(f"{seed} independent {wrong}"), 0, 0, list[float]()
        for _ in range(trials):
            voters = panel_of(random, agents=_AGENTS, wrong=wrong, errors="independent")
            panel = [_agent(f"p{number}", voter.ranking[0]) for number, voter in enumerate(voters)]
            outcome = consensus(panel, vote=plurality).compile().invoke({"task": "Which one?"})["outcome"]
            count = plurality([voter.ranking[0] for voter in voters])
            decided = outcome.status == "completed"
            right += decided and outcome.value == RIGHT
            same += (outcome.value if decided else None) == count.winner
            confidence.extend([outcome.confidence] if decided else [])
        found[wrong] = {"right": right / trials, "as the rule": same / trials, "confidence": mean(confidence or [0])}
    return found


def _agent(name: str, answer: str) -> Agent:
    return Agent(name, run=lambda request: Reply(value=answer))


def _guarded() -> Callable[[], str]:
    """Return a run of a panel of five with a vote."""
    panel = [_agent(f"p{number}", "yes" if number % 2 == 0 else "no") for number in range(_PANEL)]
    team: Any = consensus(panel, vote=plurality).compile()
    return lambda: team.invoke({"task": "Is it acceptable?"})["outcome"].value


def _plain() -> Callable[[], str]:
    """Return a run of a graph that sends the task to five nodes and counts their answers."""
    graph: Any = StateGraph(_State)
    names = [f"p{number}" for number in range(_PANEL)]

    def answering(answer: str) -> Callable[[_State], dict[str, Any]]:
        return lambda state: {"answers": [answer]}

    def count(state: _State) -> dict[str, Any]:
        return {"value": Counter(state.get("answers", [])).most_common(1)[0][0]}

    for number, name in enumerate(names):
        graph.add_node(name, answering("yes" if number % 2 == 0 else "no"))
        graph.add_edge(name, "count")
    graph.add_node("count", count)
    graph.add_conditional_edges(START, lambda state: [Send(name, state) for name in names], names)
    graph.add_edge("count", END)
    team = graph.compile()
    return lambda: team.invoke({"task": "Is it acceptable?"})["value"]


@click.command(help=__doc__)
@click.option("--trials", type=click.IntRange(min=1), default=2_000, show_default=True, help="Simulated votes a cell.")
@click.option("--jobs", type=click.IntRange(min=1), default=20, show_default=True, help="Jobs in one measurement.")
@common_options(rounds=9)
def main(trials: int, jobs: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    tables: dict[Errors, Accuracy] = {errors: simulated(errors, trials) for errors in _ERRORS}
    graph = through_the_graph(max(trials // 50, 1))
    if not as_json:
        console = Console(width=140, highlight=False)
        for errors, accuracy in tables.items():
            console.print(
                _accuracy_table(f"{errors} errors, {trials:,} votes a cell: right (undecided), in %", accuracy)
            )
        console.print(_graph_table(graph))
    contestants = [_contestant("guardgraph", _guarded(), jobs), _contestant("plain LangGraph", _plain(), jobs)]
    comparisons = (Comparison("guardgraph", "plain LangGraph", _CPU),)
    report = Report(f"A panel of {_PANEL} and a vote", compete(contestants, rounds=rounds), comparisons)
    simulations = [_as_report(errors, accuracy) for errors, accuracy in tables.items()] if as_json else []
    show([*simulations, report], versions=("guardgraph", "langgraph", "langchain-core"), as_json=as_json)


def _contestant(name: str, run: Callable[[], str], jobs: int) -> Contestant:
    def measure() -> Mapping[str, float]:
        begun = time.process_time()
        for _ in range(jobs):
            if run() != "yes":
                raise RuntimeError(f"{name} has not elected what most have answered")
        return {_CPU: (time.process_time() - begun) / jobs * 1000}

    return Contestant(name, measure)


def _as_report(errors: Errors, accuracy: Accuracy) -> Report:
    """Return a table of the simulation in the form of the other benchmarks."""
    figures = {
        rule: {f"right, {wrong} wrong": [right] for wrong, (right, _) in by_wrong.items()}
        | {f"undecided, {wrong} wrong": [undecided] for wrong, (_, undecided) in by_wrong.items()}
        for rule, by_wrong in accuracy.items()
    }
    return Report(f"{errors} errors", figures, ())


def _accuracy_table(title: str, accuracy: Accuracy) -> Table:
    table = Table("rule", *(f"{wrong} wrong" for wrong in range(_AGENTS + 1)), title=title, box=box.MARKDOWN)
    for name, by_wrong in accuracy.items():
        table.add_row(
            name, *(f"{right:.0%} ({undecided:.0%})".replace("%", "") for right, undecided in by_wrong.values())
        )
    return table


def _graph_table(graph: Mapping[int, Mapping[str, float]]) -> Table:
    table = Table("plurality in the graph", *(f"{wrong} wrong" for wrong in graph), box=box.MARKDOWN)
    for quantity in ("right", "as the rule", "confidence"):
        table.add_row(quantity, *(f"{figures[quantity]:.2f}" for figures in graph.values()))
    return table


if __name__ == "__main__":
    main()
