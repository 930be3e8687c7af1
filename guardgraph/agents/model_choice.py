"""Which of its models an agent uses for a request. Pure: no model is made or called."""

from __future__ import annotations

from typing import Any, cast

from guardgraph.agents.agent import Agent
from guardgraph.state import BadInput, Request

__all__ = ("by_stakes", "chosen_model", "model_names")


def by_stakes(agent: Agent, request: Request) -> str:
    """Return the last of the agent's models where stakes are high or an attempt was refused, else the first."""
    names = list(agent.models)
    return names[-1] if request.task.stakes == "high" or request.feedback is not None else names[0]


def model_names(agent: Agent) -> tuple[str | None, str | None]:
    """Return provider and name of an agent's model, as its calls report them; `None` where it may have several."""
    if isinstance(agent.model, str):
        provider, _, name = agent.model.strip().partition(":")
        return provider, name
    if agent.model is None:
        return None, None
    origin = agent.model._get_ls_params()  # pyright: ignore[reportPrivateUsage] - no public method returns them
    return origin.get("ls_provider"), origin.get("ls_model_name")


def chosen_model(agent: Agent, request: Request) -> str:
    """Return the name of the model that the agent's `choose` names for a request; without one, that of `by_stakes`.

    Raises `BadInput` for a name that none of the models has, and whatever `choose` raises.
    """
    name = cast("Any", by_stakes(agent, request) if agent.choose is None else agent.choose(request))
    if not isinstance(name, str) or name not in agent.models:
        known = ", ".join(map(repr, agent.models))
        raise BadInput(f"`choose` of agent {agent.name!r} returned {name!r:.80}; its models are {known}")
    return name
