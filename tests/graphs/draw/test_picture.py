from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.graphs import Picture, draw
from guardgraph.graphs.draw import engine
from guardgraph.graphs.draw.text_width import shortened, text_width
from guardgraph.state import BadInput, MissingExtra
from tests.graphs.draw.drawn_graphs import a_supervisor, nodes_of, reviewed_chat
from tests.house.sources import PACKAGE


def bundle(picture: Picture) -> dict[str, str]:
    return picture._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage] - the name is IPython's


def test_a_picture_has_five_formats() -> None:
    picture = draw(a_supervisor(2), title="vendors")

    assert picture.render("svg") == picture.svg
    assert picture.svg.startswith("<svg ")
    assert picture.html.startswith("<!doctype html>")
    assert "guard_dispatch -.-> worker_1;" in picture.mermaid
    assert "◆ guard_exit" in picture.text
    assert {node["id"] for node in json.loads(picture.json)["nodes"]} == {node.id for node in picture.graph.nodes}


@pytest.mark.parametrize("suffix", ["svg", "html", "mmd", "txt", "json"])
def test_a_file_has_the_format_of_its_suffix(suffix: str, tmp_path: Path) -> None:
    file, picture = tmp_path / f"team.{suffix}", draw(a_supervisor(1))
    picture.save(file)
    forms = {"svg": "svg", "html": "html", "mmd": "mermaid", "txt": "text", "json": "json"}

    assert file.read_text(encoding="utf-8") == getattr(picture, forms[suffix])


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    picture = draw(a_supervisor(1))

    with pytest.raises(BadInput, match=r"saved as \.svg, .*; got 'team.png'"):
        picture.save(tmp_path / "team.png")
    with pytest.raises(BadInput, match="drawn as svg, html, mermaid, text, json; got 'png'"):
        picture.render("png")  # type: ignore[arg-type] - users may err
    with pytest.raises(BadInput, match="must be right or down, got 'up'"):
        draw(a_supervisor(1), direction="up")  # type: ignore[arg-type] - users may err


def test_the_page_loads_nothing() -> None:
    page = draw(reviewed_chat(), xray=True).html
    addresses = set(re.findall(r"\b\w+://[^\s\"'<>]+", page))

    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a namespace
    assert not re.search(r"<(link|img|iframe|object|embed)\b|\bsrc=|@import|\burl\((?!#)|fetch\(|import\(", page)


def test_without_the_extra_the_formats_without_a_layout_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quickjs", None)
    pictures: list[Any] = []

    def work() -> None:  # a thread of its own has no interpreter yet
        picture = draw(a_supervisor(2))
        pictures.extend([picture.text, picture.mermaid, picture.json, bundle(picture)])
        with pytest.raises(
            MissingExtra, match=r"needs 'quickjs-ng'; install it with `pip install 'guardgraph\[draw\]'"
        ):
            picture.svg  # noqa: B018 - drawing raises

    thread = Thread(target=work)
    thread.start()
    thread.join()

    assert len(pictures) == 4
    assert pictures[-1].keys() == {"text/plain"}


def test_a_graph_too_large_for_a_layout_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SECONDS", 0.2)
    picture = draw(a_supervisor(40), fold_above=1_000)

    with pytest.raises(
        BadInput, match=r"too large for a picture \(no layout within 0.2 s\); draw it as mermaid, text or json"
    ):
        picture.svg  # noqa: B018 - drawing raises
    assert bundle(picture).keys() == {"text/plain"}
    monkeypatch.undo()
    assert draw(a_supervisor(1)).svg  # the next one is drawn by a new interpreter


def test_a_graph_without_edges_is_drawn() -> None:
    assert "a" in draw(nodes_of("a")).svg


@dataclass
class Formatter:
    """What a notebook has: a table of types and of what shows them."""

    shown: dict[type, Any] = field(default_factory=dict[type, Any])

    def for_type(self, kind: type, show: Any) -> None:
        self.shown[kind] = show

    def pop(self, kind: type, default: Any) -> Any:
        return self.shown.pop(kind, default)


@dataclass
class Notebook:
    mimebundle_formatter: Formatter = field(default_factory=Formatter)

    @property
    def display_formatter(self) -> Notebook:
        return self


def test_a_notebook_shows_pictures_and_with_the_extension_graphs_by_themselves() -> None:
    assert bundle(draw(a_supervisor(1))).keys() == {"text/plain", "image/svg+xml"}
    extension, notebook = import_module("guardgraph.graphs.draw"), Notebook()
    shown = notebook.mimebundle_formatter.shown
    extension.load_ipython_extension(notebook)

    assert set(shown) == {StateGraph, CompiledStateGraph}
    by_itself = shown[CompiledStateGraph](a_supervisor(1).compile())
    assert by_itself["image/svg+xml"].startswith("<svg")
    extension.unload_ipython_extension(notebook)
    assert not shown


def test_the_same_graph_gives_the_same_picture() -> None:
    assert draw(a_supervisor(4)).svg == draw(a_supervisor(4)).svg
    assert isinstance(draw(a_supervisor(4)), Picture)


@pytest.mark.parametrize(("text", "width"), [("", 0), ("iii", 6.66), ("mmm", 24.99), ("é", 5.56), ("名", 10)])
def test_a_text_is_as_wide_as_its_characters(text: str, width: float) -> None:
    assert text_width(text, 10) == pytest.approx(width)


@pytest.mark.parametrize("limit", [5, 12, 40])
def test_a_long_text_keeps_its_two_ends(limit: int) -> None:
    short = shortened("guard_handoff_of_the_very_last_stage", limit)

    assert len(short) == min(limit, 36)
    assert short[0] + short[-1] == "ge"


def test_the_layout_engine_is_the_released_one_with_its_licence() -> None:
    folder = PACKAGE / "graphs" / "draw" / "elkjs"
    digest = hashlib.sha256((folder / "elk.bundled.js").read_bytes()).hexdigest()

    assert digest in (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "LICENSE.md").read_text(encoding="utf-8").startswith("# Eclipse Public License - v 2.0")
