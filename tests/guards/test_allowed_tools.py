"""Tools that an agent may call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.tools import tool

from guardgraph.guards import AllowedTools
from guardgraph.state import AgentInfo, BadGraph
from tests.guards.call_views import model_call, tool_call, view_of_call


@pytest.mark.parametrize(("name", "action"), [("search", "pass"), ("delete", "trip"), ("Search", "trip"), ("", "trip")])
def test_lets_pass_what_is_named_alone(name: str, action: str) -> None:
    assert AllowedTools({"search", "read"})(view_of_call(tool_call(name))).action == action


def test_names_what_is_allowed() -> None:
    verdict = AllowedTools({"worker": ["search", "read"]})(view_of_call(tool_call("delete")))

    assert verdict.reason == "'worker' may not call the tool 'delete'; allowed: 'read', 'search'"


def test_a_node_is_not_named_where_the_agent_has_no_name() -> None:
    call = replace(view_of_call(tool_call("delete", agent="tools")), agent=AgentInfo(""))

    assert AllowedTools({"search"})(call).reason == "the agent may not call the tool 'delete'; allowed: 'search'"


@pytest.mark.parametrize(
    ("allowed", "agent", "action"),
    [
        ({"worker": {"search"}}, "", "pass"),
        ({"worker": {"search"}, "inner": set[str]()}, "inner", "trip"),
        ({"inner": {"search"}}, "inner", "pass"),
        ({"inner": {"search"}}, "other", "trip"),
        ({"worker": {"search"}}, "inner", "pass"),
        ({}, "", "trip"),
    ],
)
def test_an_agent_inside_the_graph_goes_first(allowed: Any, agent: str, action: str) -> None:
    assert AllowedTools(allowed)(view_of_call(tool_call(agent=agent))).action == action


def test_judges_no_models() -> None:
    assert AllowedTools(set[str]())(view_of_call(model_call())).action == "pass"


@pytest.mark.parametrize("allowed", ["search", None, 3, {"worker": "search"}, {"worker": None}, [1], [""]])
def test_refuses_what_is_no_set_of_names(allowed: Any) -> None:
    with pytest.raises(BadGraph, match=r"AllowedTools: `allowed`.* must be a set of names of tools"):
        AllowedTools(allowed)


def test_does_not_change_with_what_it_was_given() -> None:
    given = {"worker": {"search"}}
    guard = AllowedTools(given)
    given["worker"].add("delete")

    assert guard(view_of_call(tool_call("delete"))).action == "trip"
    assert hash(guard) == hash(AllowedTools({"worker": {"search"}}))


def test_refuses_a_tool_in_place_of_its_name() -> None:
    @tool
    def search(query: str) -> str:
        """Search."""
        return query

    with pytest.raises(
        BadGraph, match=r"`allowed` must be a set of names of tools, such as 'search'; got a Str.*Tool$"
    ):
        AllowedTools([search])  # type: ignore[list-item]
