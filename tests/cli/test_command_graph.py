"""`guardgraph graph`: pictures, faults and estimates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardgraph.cli import main

MODULE = """
import warnings

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor


def plain():
    graph = StateGraph(TypedDict("State", {"number": int}))
    for name in ("a", "lost"):
        graph.add_node(name, lambda state: {})
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: END, {"again": "gone", "done": END})
    return graph


inner = pipeline([Agent("step", model="offline:extractive")]).compile()
team = supervisor(planner=Agent("planner", run=str), workers=[Agent("worker", run=inner)])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    wide = supervisor(planner=Agent("planner", run=str), workers=[Agent(f"w{n}", run=str) for n in range(11)])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "drawn_teams.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("form", "begins"),
    [("svg", "<svg "), ("html", "<!doctype html>"), ("mermaid", "flowchart"), ("text", "◆ gate"), ("json", "{")],
)
def test_a_graph_is_drawn_in_every_format(
    form: str, begins: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", "show", "drawn_teams:team", "--format", form, "--xray"]) == 0

    out, err = capsys.readouterr()
    assert out.startswith(begins)
    assert "step" in out
    assert err == ""


def test_the_suffix_of_the_file_names_the_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("team.svg", "team.json"):
        assert main(["graph", "show", "drawn_teams:team", "--output", name]) == 0

    assert (folder / "team.svg").read_text().startswith("<svg ")
    assert json.loads((folder / "team.json").read_text())["clusters"] == []
    assert capsys.readouterr() == ("", "")
    assert main(["graph", "show", "drawn_teams:team", "--output", "team.png"]) == 2
    assert "saved as .svg" in capsys.readouterr().err


def test_lint_exits_with_1_on_errors_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "lint", "drawn_teams:plain"]) == 1
    out, err = capsys.readouterr()
    assert "error    unreachable          lost: nothing leads to it" in out
    assert "error    unknown-destination  gone: there is no such node" in out
    assert err == "2 findings\n"

    assert main(["graph", "lint", "drawn_teams:wide", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["code"], found["severity"], found["nodes"]) == ("wide-team", "warning", ["guard_dispatch"])

    assert main(["graph", "lint", "research"]) == 0
    assert capsys.readouterr() == ("", "no findings\n")


def test_an_estimate_has_its_assumptions_which_options_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "estimate", "drawn_teams:team", "--subtasks", "5", "--rounds", "3"]) == 0
    out = capsys.readouterr().out
    assert "calls                  15" in out
    assert "- rounds of planning: 3, subtasks in each: 5" in out

    assert main(["graph", "estimate", "drawn_teams:team", "--json", "--output-tokens", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["depth"] == 2
    assert found["expected"]["tokens"] == 2 * 2_001

    assert main(["graph", "estimate", "drawn_teams:team", "--passes", "0"]) == 2
    assert "`passes` must be at least 1, got 0" in capsys.readouterr().err
