"""Models whose price is unknown, in teams that limit money: no call of them would be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from langgraph.graph.state import CompiledStateGraph

from guardgraph.guards import AnyOf, Budget, Guard, applying, prices_of
from guardgraph.models.prices import price_key, price_of
from guardgraph.nodes.agent_node import model_origins
from guardgraph.nodes.team_spec import TeamSpec
from guardgraph.state import BadGraph, Price

__all__ = ("check_unpriced",)


def check_unpriced(graph: Any) -> None:
    """Raise `BadGraph` where a team limits money, and one of its model agents, or of those below, has no price.

    A limit that holds only for tasks of some categories is none here. Models that other code calls are not known.
    """
    team: TeamSpec = graph.team
    if not _limits_money(applying(team.guards, categories=())):
        return
    for agent, provider, model in _unpriced(graph, "", {}):
        key = price_key(provider, model)
        known = f"has no price in the table of `genai-prices`: declare it by `Budget(prices={{{key!r}: Price(…)}})`"
        raise BadGraph(
            f"{team.name}: `Budget(usd=…)` limits money, and the model {key!r} of agent {agent!r} {known}, with "
            "`Price(0, 0)` for a model that costs nothing, or limit `tokens` instead of `usd`"
        )


def _limits_money(guards: Sequence[Guard]) -> bool:
    return any(
        guard.usd is not None
        if isinstance(guard, Budget)
        else isinstance(guard, AnyOf) and all(_limits_money([part]) for part in guard.parts)
        for guard in guards
    )


def _unpriced(graph: Any, path: str, above: Mapping[str, Price]) -> Iterable[tuple[str, str | None, str | None]]:
    """Yield agent, provider and name of each model whose price is unknown, here and in the teams below."""
    team = cast("object", getattr(graph, "team", None))
    prices = {**(prices_of(team.guards) if isinstance(team, TeamSpec) else {}), **above}
    for name, node in graph.nodes.items():
        for provider, model in model_origins(node.runnable):
            if price_of(provider, model, prices) is None:
                yield f"{path}{name}", provider, model
        nested = team.agents[name].run if isinstance(team, TeamSpec) and name in team.agents else None
        if isinstance(nested, CompiledStateGraph):
            yield from _unpriced(cast("Any", nested).builder, f"{path}{name}/", prices)
