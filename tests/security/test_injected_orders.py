"""Agents that obey injected orders reach no route, tool or key outside of what was declared (S4).

A few texts are tried by default; all 500, in every pattern, sync and async, where GUARDGRAPH_SECURITY names a number.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from guardgraph.runs import Runner
from guardgraph.state import ContextItem, Outcome, Task
from tests.public_data import found_data
from tests.security.injected import MARK, Injected, injected_texts
from tests.security.obedient import INSTRUCTIONS, PATTERNS, WAYS_TO_OBEY, Obedience, team_of

TEXTS = int(os.environ.get("GUARDGRAPH_SECURITY", "0"))
"""How many texts the whole test tries in each pattern; 0 leaves it out."""
ALL_WAYS = (*WAYS_TO_OBEY, "model", "graph")
PROTECTED = ("admitted", "position", "trusted_subtasks", "accepted", "refused", "passed", "visits", "round", "seen")
"""Channels that hold no text of agents: ids that gates write, the task, the position."""


async def _parts(graph: Any, given: Any) -> list[Any]:
    return [one async for one in graph.astream(given, stream_mode=["tasks", "values"], subgraphs=True)]


def attacked(pattern: str, injected: Injected, way: str, *, is_async: bool) -> tuple[Obedience, list[str]]:
    """Run a team of obedient agents on a text; return what was done, and what is wrong."""
    seen = Obedience(way)
    graph = team_of(pattern, seen).compile()
    page = ContextItem(kind="background", title="a page", value=injected.text, sender="web")
    given = {"task": Task(goal="summarize the page", id="t"), "background": [page]}
    if is_async:
        parts = asyncio.run(_parts(graph, given))
    else:
        parts = [*graph.stream(given, stream_mode=["tasks", "values"], subgraphs=True)]
    return seen, [*_problems(pattern, graph, seen, parts)]


def _problems(pattern: str, graph: Any, seen: Obedience, parts: list[Any]) -> Iterator[str]:
    nodes, last = _nodes_of(graph) | {"guard_dispatch"}, dict[tuple[str, ...], Any]()
    for namespace, mode, part in parts:
        if mode == "values":
            last[namespace] = part
        elif part["name"] not in nodes:
            yield f"{pattern}: an undeclared node ran: {part['name']}"
    if seen.paid:
        yield f"{pattern}: the reserved agent was given {seen.paid}"
    if set(seen.tools) - {"lookup"}:
        yield f"{pattern}: tools outside of the grant were called: {set(seen.tools)}"
    if seen.system - {INSTRUCTIONS}:
        yield f"{pattern}: system messages are not those that were declared: {seen.system}"
    for state in last.values():
        yield from (f"{pattern}: {one}" for one in _problems_of_state(state, nodes))
    top = last[()]
    if not isinstance(top.get("outcome"), Outcome) or top["outcome"].trusted:
        yield f"{pattern}: no outcome, or a trusted one: {top.get('outcome')!r:.200}"
    if (top["admitted"].goal, top["admitted"].id, top["position"].depth) != ("summarize the page", "t", 0):
        yield f"{pattern}: the task or the position was changed"


def _problems_of_state(state: Any, nodes: set[str]) -> Iterator[str]:
    for message in state.get("log") or ():
        if not {message.sender, *message.recipients} <= nodes | {"team"}:
            yield f"a message went where none may: {message!r:.200}"
    if {"evil", "__pregel_tasks"} & set(state):
        yield f"an undeclared channel was written: {[*state]}"
    for name in PROTECTED:
        if MARK in str(state.get(name)):
            yield f"{name} holds what an agent has written: {state[name]!r:.200}"


def _nodes_of(graph: Any) -> set[str]:
    names = set(graph.nodes)
    for _, nested in graph.get_subgraphs(recurse=True):
        names |= set(nested.nodes)
    return names | {"model", "tools", "work"}


@pytest.mark.parametrize("way", ALL_WAYS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_order_in_a_text_reaches_nothing_that_was_not_declared(pattern: str, way: str) -> None:
    texts = injected_texts(len(ALL_WAYS) * 2)
    number = ALL_WAYS.index(way)
    for injected, is_async in ((texts[number], False), (texts[number + len(ALL_WAYS)], True)):
        seen, problems = attacked(pattern, injected, way, is_async=is_async)

        assert problems == []
        assert seen.obeyed, "an agent has read the orders, and obeyed"


@pytest.mark.timeout(0)
@pytest.mark.skipif(not TEXTS, reason="set GUARDGRAPH_SECURITY to a number of texts")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_order_of_many_texts_reaches_anything(pattern: str) -> None:
    texts = injected_texts(TEXTS, found_data("bipia"))
    found, obeyed, runs = list[str](), Counter[str](), 0
    for number, injected in enumerate(texts):
        for is_async in (False, True):
            seen, problems = attacked(pattern, injected, ALL_WAYS[number % len(ALL_WAYS)], is_async=is_async)
            found += [f"text {number}: {one}" for one in problems]
            obeyed[seen.way] += sum(seen.obeyed.values())
            runs += 1

    print(f"{pattern}: {runs} runs, {sum(obeyed.values())} orders obeyed, {len(found)} reached something")
    assert found == []
    assert all(obeyed[way] for way in ALL_WAYS)


def test_the_key_of_a_board_is_bounded_by_its_grant(tmp_path: Any) -> None:
    """An agent that writes where a text tells it to writes on no other key than its grant has."""
    seen = Obedience("board")
    text = injected_texts(1)[0]
    with Runner(f"sqlite:///{tmp_path / 'r.db'}", graphs={"g": lambda: team_of("pipeline", seen)}) as runner:
        runner.run("g", {"task": "summarize", "messages": [AIMessage(text.text)]}, thread_id="t")

        assert seen.obeyed
        assert runner.board("plan", thread_id="t").entries() == []
