"""`guardgraph graph`: drawings of graphs."""

from __future__ import annotations

from typing import Any

import click
from langchain_core.runnables.graph import Graph

from guardgraph.cli.graph_loader import graph_at
from guardgraph.cli.options import json_option
from guardgraph.cli.output import write_json
from guardgraph.research.graph import team_of
from guardgraph.research.library import Library

__all__ = ("graph_group",)

_EXAMPLE = "\b\nExample:\n  guardgraph graph show my_teams:vendors --format mermaid --xray"


@click.group("graph", epilog=_EXAMPLE)
def graph_group() -> None:
    """Inspect graphs."""


@graph_group.command("show", epilog=_EXAMPLE)
@click.argument("graph", metavar="MODULE:GRAPH|research")
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "text"]), default="text", show_default=True, help="How."
)
@click.option("--xray", is_flag=True, help="Show the inside of nested teams.")
@json_option
def _show(graph: str, *, form: str, xray: bool, as_json: bool) -> None:
    """Draw a graph with its guard nodes."""
    built = team_of(Library([])) if graph == "research" else graph_at(graph)
    drawn = built.compile().get_graph(xray=xray)
    if as_json:
        write_json(_data(drawn))
    else:
        click.echo(drawn.draw_mermaid().rstrip() if form == "mermaid" else _text(drawn))


def _data(drawn: Graph) -> dict[str, Any]:
    edges = [
        {"source": edge.source, "target": edge.target, "conditional": edge.conditional, "label": edge.data}
        for edge in drawn.edges
    ]
    return {"nodes": [{"id": name, "guard": _is_guard(name)} for name in drawn.nodes], "edges": edges}


def _text(drawn: Graph) -> str:
    """Return one line for each node: a diamond for guards, and the nodes to which it leads."""
    lines = ["◆ guard   ○ other   → always   ⇢ by a decision", ""]
    width = max(map(len, drawn.nodes), default=0)
    for name in drawn.nodes:
        edges = (edge for edge in drawn.edges if edge.source == name)
        targets = "  ".join(f"{'⇢' if edge.conditional else '→'} {edge.target}" for edge in edges)
        lines.append(f"{'◆' if _is_guard(name) else '○'} {name.ljust(width)}  {targets}".rstrip())
    return "\n".join(lines)


def _is_guard(name: str) -> bool:
    return name.rpartition(":")[2].startswith("guard_")
