"""`guardgraph graph`: pictures of graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click
from langgraph.graph import StateGraph

from guardgraph.cli.graph_loader import graph_at
from guardgraph.cli.options import json_option
from guardgraph.cli.output import check_file, write_file
from guardgraph.graphs import draw
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
    """Draw a graph with its gates and their guards; nothing of it is run."""
    if output is not None:
        check_file(output)
    form = form or ("json" if as_json else "text" if output is None else format_of(output))
    title = graph.rpartition(":")[2]
    drawn = draw(_graph(graph), xray=xray, title=title, direction=direction).render("json" if as_json else form)
    if output is None:
        click.echo(drawn.rstrip())
    else:
        write_file(output, drawn)


def _graph(name: str) -> StateGraph[Any, Any, Any, Any]:
    return team_of(Library([])) if name == "research" else graph_at(name)
