from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from guardgraph.cli.entry import main
from guardgraph.storage import SQLSaver

SHAPES = """
from dataclasses import dataclass

@dataclass
class Point:
    x: int
"""
CONFIG: Any = {"configurable": {"thread_id": "monday"}}


class State(TypedDict):
    point: Any


@pytest.fixture
def stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Store a thread with an object of a class in a module of the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("GUARDGRAPH_DB", "sqlite:///ours.db")
    (tmp_path / "shapes_to_import.py").write_text(SHAPES)
    sys.path.insert(0, str(tmp_path))
    from shapes_to_import import Point  # pyright: ignore  # written just now

    graph: Any = StateGraph(State)
    graph.add_node("a", lambda state: {"point": Point(7)})
    graph.add_edge(START, "a")
    with SqliteSaver.from_conn_string("stock.db") as saver:
        graph.compile(checkpointer=saver).invoke({"point": None}, CONFIG)
    yield "sqlite:///stock.db"
    del sys.modules["shapes_to_import"]


def test_threads_are_imported(stock: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["threads", "import", stock]) == 1
    shown = capsys.readouterr()
    assert shown.out == "refused\tmonday\n"
    assert "cannot store point: shapes_to_import.Point is not a type that is stored; register it" in shown.err
    assert shown.err.endswith("a class of your own is registered by --type MODULE:CLASS\n")

    known = ["--type", "shapes_to_import:Point"]
    assert main(["threads", "import", stock, *known, "--dry-run"]) == 0
    assert capsys.readouterr().out == "importable\tmonday (3 checkpoints, 3 writes)\n"
    assert main(["threads", "import", stock, *known, "--into", "sqlite:///other.db", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["thread_id"], one["result"], one["checkpoints"], one["faults"]) == ("monday", "imported", 3, [])
    with SQLSaver.from_url("sqlite:///other.db") as saver:
        assert saver.verify("monday") == []
        assert len([*saver.reading_plain(print).list(CONFIG)]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--thread", "nobody"], "has no thread 'nobody'"),
        (["--type", "shapes_to_import"], "a class is named as MODULE:CLASS"),
        (["--type", "shapes_to_import:Line"], "its classes are Point"),
        (["--type", "shapes_to_import:__name__"], "is no class, but of type str"),
    ],
)
def test_bad_input(stock: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["threads", "import", stock, *options]) == 2
    assert message in capsys.readouterr().err
