"""`guardgraph graph`: drawings of graphs."""

from __future__ import annotations

from typing import Any, Literal

import click
from langchain_core.runnables.graph import Graph
from langgraph.graph import StateGraph

from guardgraph.cli.graph_loader import graph_at
from guardgraph.cli.options import json_option
from guardgraph.cli.output import write_json
from guardgraph.research.graph import team_of
from guardgraph.research.library import Library

__all__ = ("graph_group",)

_EXAMPLE = "\b\nExample:\n  guardgraph graph show my_teams:vendors --format mermaid --xray"
_Format = Literal["mermaid", "text", "json"]


@click.group("graph", epilog=_EXAMPLE)
def graph_group() -> None:
    """Inspect graphs."""


@graph_group.command("show", epilog=_EXAMPLE)
@click.argument("graph", metavar="MODULE:GRAPH|research")
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "text", "json"]), default="text", show_default=True, help="How."
)
@click.option("--xray", is_flag=True, help="Show the inside of nested teams.")
@json_option
def _show(graph: str, *, form: _Format, xray: bool, as_json: bool) -> None:
    """Draw a graph with its guard nodes."""
    drawn = _built(graph).compile().get_graph(xray=xray)
    match "json" if as_json else form:
        case "mermaid":
            click.echo(drawn.draw_mermaid().rstrip())
        case "json":
            write_json(_data(drawn))
        case _:
            click.echo(_text(drawn))


def _built(name: str) -> StateGraph[Any, Any, Any, Any]:
    return team_of(Library.build([])) if name == "research" else graph_at(name)


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
