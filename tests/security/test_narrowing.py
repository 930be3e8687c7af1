"""Delegation only narrows: allowance, deadline, depth, tools and integrity label, in random trees of teams (S7).

Some 100 trees are tried by default; as many as GUARDGRAPH_SECURITY names, beside.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from guardgraph.state import DelegationScope, Outcome, Result, error_text
from tests.security.trees import Tree, random_tree

NUMBER = int(os.environ.get("GUARDGRAPH_SECURITY", "0"))
CONCLUDING = timedelta(seconds=0.5)
"""By how much the agent that concludes may exceed the deadline of its team."""


def run_tree(seed: int) -> tuple[Tree, list[str]]:
    """Run the tree of a seed; return it, and what is wrong."""
    tree = random_tree(Random(seed))
    graph = tree.graph.compile()
    try:
        state = asyncio.run(_alast(graph, tree.given)) if seed % 2 else _last(graph, tree.given)
    except Exception as error:
        return tree, [f"it raised {error_text(error)}"]
    problems = [*_wider(tree), *_more_trusted(tree), *_more_tools(tree), *_tainted(tree, state.get("results") or ())]
    return tree, problems if isinstance(state["outcome"], Outcome) else ["no outcome", *problems]


def _last(graph: Any, given: Any) -> Any:
    return [*graph.stream(given, stream_mode="values")][-1]


async def _alast(graph: Any, given: Any) -> Any:
    return [one async for one in graph.astream(given, stream_mode="values")][-1]


def parent_of(tree: Tree, position: DelegationScope) -> DelegationScope | None:
    """Return the nearest position above one, by the accounts of the ledger."""
    parts = position.account.split("/")
    above = ("/".join(parts[:number]) for number in range(len(parts) - 1, 0, -1))
    return next((tree.positions[one] for one in above if one in tree.positions), None)


def _wider(tree: Tree) -> Iterator[str]:
    for account, child in tree.positions.items():
        parent = parent_of(tree, child)
        if parent is None:
            if child.account != child.run_id:
                yield f"{account} has nobody above it"
            continue
        late = child.allowance.model_copy(update={"deadline": None})
        if not late.within(parent.allowance.model_copy(update={"deadline": None})):
            yield f"{account} may spend {child.allowance}, and {parent.account} {parent.allowance}"
        limit = parent.allowance.deadline
        if limit is not None and (child.allowance.deadline is None or child.allowance.deadline > limit + CONCLUDING):
            yield f"{account} ends {child.allowance.deadline}, after {parent.account} at {limit}"
        if child.trusted and not parent.trusted:
            yield f"{account} is trusted, and {parent.account} is not"
        if child.run_id != parent.run_id or child.depth < parent.depth or child.path[: len(parent.path)] != parent.path:
            yield f"{account} is not below {parent.account}: {child.path}, {parent.path}"


def _more_trusted(tree: Tree) -> Iterator[str]:
    for name, request, position in tree.requests:
        if request.trusted and not all(item.trusted for item in (*request.context, *request.messages)):
            yield f"{name} is given a trusted request with untrusted context"
        if position.trusted and not request.trusted:
            yield f"{name} is trusted, and its request is not"
        if not request.allowance.within(position.allowance):
            yield f"{name} is given {request.allowance}, and may spend {position.allowance}"
        endorsed = [item.sender for item in request.context if item.kind == "result" and item.trusted]
        yield from (
            f"{name} is given a trusted result of {one}, which is untrusted"
            for one in endorsed
            if tree.rules.get(one) == "untrusted" or one.startswith("model")
        )


def _more_tools(tree: Tree) -> Iterator[str]:
    for name, offered in tree.offered.items():
        if not offered <= tree.tools[name]:
            yield f"{name} was offered {offered}, declared are {tree.tools[name]}"


def test_every_delegation_of_random_trees_is_within_that_above_it() -> None:
    delegations, labels = 0, set[bool]()
    for seed in range(100):
        tree, problems = run_tree(seed)

        assert problems == [], f"seed {seed}"
        delegations += len(tree.positions)
        labels |= {request.trusted for _, request, _ in tree.requests}
    assert delegations > 500
    assert labels == {True, False}


def _tainted(tree: Tree, results: Sequence[Result]) -> Iterator[str]:
    """Yield what is trusted, though the background was not, and no agent endorses anything."""
    if all(item.trusted for item in tree.given["background"]) or "endorses" in tree.rules.values():
        return
    yield from (f"{result.agent} has a trusted answer to untrusted background" for result in results if result.trusted)


@pytest.mark.timeout(0)
@pytest.mark.skipif(not NUMBER, reason="set GUARDGRAPH_SECURITY to a number of trees")
def test_many_trees() -> None:
    delegations, found = 0, list[str]()
    for seed in range(1_000, 1_000 + NUMBER):
        tree, problems = run_tree(seed)
        delegations += len(tree.positions)
        found += [f"seed {seed}: {one}" for one in problems]

    print(f"{NUMBER} trees, {delegations} delegations, {len(found)} problems")
    assert found == []
