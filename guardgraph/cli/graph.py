"""`guardgraph graph`: pictures of graphs, faults in their design, and what they take."""

from __future__ import annotations

from dataclasses import asdict, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import click
from langgraph.graph import StateGraph

from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.graph_loader import graph_at
from guardgraph.cli.options import json_option
from guardgraph.cli.output import check_file, write_file, write_json
from guardgraph.graphs import Assumptions, Load, draw, estimate, lint
from guardgraph.graphs.draw.layout import Direction
from guardgraph.graphs.draw.picture import PictureFormat, format_of
from guardgraph.research.graph import team_of
from guardgraph.research.library import Library

__all__ = ("graph_group",)

_EXAMPLE = """\b
Example:
  guardgraph graph show my_teams:vendors --xray --output vendors.html"""


@click.group("graph", epilog=_EXAMPLE)
def graph_group() -> None:
    """Inspect graphs."""


@graph_group.command("show", epilog=_EXAMPLE)
@click.argument("graph", metavar="MODULE:GRAPH|research")
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(PictureFormat)),
    help="How; by default the suffix of FILE, else text. svg and html need the extra 'draw'.",
)
@click.option("--output", "--out", metavar="FILE", type=click.Path(path_type=Path), help="Write into this file.")
@click.option("--xray", is_flag=True, help="Show the inside of nested graphs.")
@click.option("--direction", type=click.Choice(get_args(Direction)), help="Where edges lead; else by the shape.")
@json_option
def _show(
    graph: str,
    *,
    form: PictureFormat | None,
    output: Path | None,
    xray: bool,
    direction: Direction | None,
    as_json: bool,
) -> None:
    """Draw a graph with its gates and their guards.

    Nothing of it is run.
    """
    if output is not None:
        check_file(output)
    form = form or ("json" if as_json else "text" if output is None else format_of(output))
    title = graph.rpartition(":")[2]
    drawn = draw(_graph(graph), xray=xray, title=title, direction=direction).render("json" if as_json else form)
    if output is None:
        click.echo(drawn.rstrip())
    else:
        write_file(output, drawn)


@graph_group.command("lint", epilog="\b\nExample:\n  guardgraph graph lint my_teams:vendors")
@click.argument("graph", metavar="MODULE:GRAPH|research")
@json_option
def _lint(graph: str, *, as_json: bool) -> int:
    """Name faults in the design of a graph.

    Nothing of it is run. The exit code is 1 if there is an error.
    """
    found = lint(_graph(graph, validate=False))
    if as_json:
        write_json([asdict(one) for one in found])
    else:
        for one in found:
            click.echo(f"{one.severity:<8} {one.code:<20} {', '.join(one.nodes)}: {one.message}")
        click.echo(f"{len(found)} finding{'s' if len(found) > 1 else ''}" if found else "no findings", err=True)
    return ExitCode.ERROR if any(one.severity == "error" for one in found) else ExitCode.OK


@graph_group.command("estimate", epilog="\b\nExample:\n  guardgraph graph estimate my_teams:vendors --subtasks 6")
@click.argument("graph", metavar="MODULE:GRAPH|research")
@click.option("--rounds", type=int, help="Passes of every loop; else those that the guards allow.")
@click.option("--subtasks", type=int, help="Subtasks of a planner in each round; else one for each worker.")
@click.option("--passes", type=int, help="Passes of a foreign loop, and model calls of an attempt with tools.")
@click.option("--calls-per-node", type=int, help="Model calls of a foreign node.")
@click.option("--calls-per-function", type=int, help="Model calls of an attempt of a function or a Runnable.")
@click.option("--input-tokens", type=int, help="Tokens that a model call reads.")
@click.option("--output-tokens", type=int, help="Tokens that a model call writes.")
@click.option("--seconds", type=float, help="Seconds of a model call that are expected.")
@click.option("--slowest-seconds", type=float, help="Seconds of a model call at worst.")
@click.option("--model", help="The model whose price holds where none is known, as openai:gpt-5-mini.")
@json_option
def _estimate(graph: str, *, as_json: bool, **given: Any) -> None:
    """Estimate calls, tokens, money and time of a graph.

    It reads the shape of the graph alone; nothing of it is run.
    """
    known = {name: value for name, value in given.items() if value is not None}
    found = estimate(_graph(graph), Assumptions(**known))
    if as_json:
        write_json(asdict(found))
        return
    click.echo(f"{'':<12} {'expected':>12} {'worst case':>12}")
    for part in fields(Load):
        texts = (_text(getattr(load, part.name)) for load in (found.expected, found.worst))
        click.echo(f"{part.name:<12} " + " ".join(f"{text:>12}" for text in texts))
    click.echo(f"{'depth':<12} {found.depth:>12} {found.depth:>12}\n\nassumed:")
    for line in found.assumptions:
        click.echo(f"- {line}")


def _text(value: Decimal | float | None) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _graph(name: str, *, validate: bool = True) -> StateGraph[Any, Any, Any, Any]:
    return team_of(Library([])) if name == "research" else graph_at(name, validate=validate)
