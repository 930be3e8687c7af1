"""Draws graphs."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

from guardgraph.graphs.draw.data import data_of
from guardgraph.graphs.draw.description import GraphDescription
from guardgraph.graphs.draw.folding import FOLD_ABOVE, folded
from guardgraph.graphs.draw.html import html_of
from guardgraph.graphs.draw.layout import Direction, layout
from guardgraph.graphs.draw.mermaid import mermaid_of
from guardgraph.graphs.draw.plain_text import text_of
from guardgraph.graphs.draw.reading import describe
from guardgraph.graphs.draw.svg import svg_of
from guardgraph.state import BadInput, MissingExtra

__all__ = ("Picture", "PictureFormat", "draw", "format_of")

PictureFormat = Literal["svg", "html", "mermaid", "text", "json"]
"""The formats of a picture; svg and html need the extra `draw`."""
_SUFFIXES: dict[str, PictureFormat] = {
    ".svg": "svg", ".html": "html", ".htm": "html", ".mmd": "mermaid", ".txt": "text", ".json": "json",
}  # fmt: skip


class Picture:
    """A picture of a graph, made by `draw`; notebooks show it as SVG."""

    def __init__(self, graph: GraphDescription, *, title: str, direction: Direction | None) -> None:
        self.graph: GraphDescription = graph
        """What is drawn, folded."""
        self.title: str = title
        self._direction: Direction | None = direction

    @cached_property
    def svg(self) -> str:
        """One SVG document. Raises `MissingExtra` without the extra `draw`, `BadInput` for a graph too large."""
        return svg_of(self.graph, layout(self.graph, self._direction), title=self.title)

    @property
    def html(self) -> str:
        """One HTML page without any network, to be moved and zoomed. Raises what `svg` raises."""
        return html_of(self.svg, title=self.title)

    @property
    def mermaid(self) -> str:
        """A Mermaid flow chart."""
        return mermaid_of(self.graph)

    @property
    def text(self) -> str:
        """A line for each node."""
        return text_of(self.graph)

    @property
    def json(self) -> str:
        """Nodes, edges and clusters as a JSON document."""
        return json.dumps(data_of(self.graph), indent=2) + "\n"

    def render(self, form: PictureFormat) -> str:
        """Return the picture in this format. Raises `BadInput` for another one, and what `svg` raises."""
        if form not in get_args(PictureFormat):
            raise BadInput(f"a picture is drawn as {', '.join(get_args(PictureFormat))}; got {form!r}")
        return cast("str", getattr(self, form))

    def save(self, path: str | Path) -> None:
        """Write the picture into a file, in the format of its suffix: .svg, .html, .mmd, .txt or .json.

        Raises `BadInput` for another suffix, and what `svg` raises.
        """
        Path(path).write_text(self.render(format_of(path)), encoding="utf-8")

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the picture for a notebook: as SVG where the extra `draw` is installed, and as text."""
        try:
            return {"text/plain": self.text, "image/svg+xml": self.svg}
        except (MissingExtra, BadInput):
            return {"text/plain": self.text}


def format_of(path: str | Path) -> PictureFormat:
    """Return the format of a file by its suffix. Raises `BadInput` for another one."""
    file = Path(path)
    form = _SUFFIXES.get(file.suffix.lower())
    if form is None:
        raise BadInput(f"a picture is saved as {', '.join(_SUFFIXES)}; got {file.name!r}")
    return form


def draw(
    graph: Any,
    *,
    xray: bool | int = False,
    title: str = "",
    direction: Direction | None = None,
    fold_above: int = FOLD_ABOVE,
) -> Picture:
    """Return a picture of any LangGraph graph, compiled or not, of guardgraph or another; nothing of it is run.

    `xray` shows the inside of nested graphs, to this depth if it is a number. In a graph with more than `fold_above`
    nodes, alike ones are drawn as one. `direction` is `right` or `down`; by default the one that suits a page better.

    Raises:
        BadInput: `graph` is no graph, or `direction` is another one.
    """
    if direction not in (None, *get_args(Direction)):
        raise BadInput(f"`direction` must be right or down, got {direction!r}")
    described = folded(describe(graph, xray=xray), above=fold_above)
    return Picture(described, title=title or str(getattr(graph, "name", "") or "graph"), direction=direction)
