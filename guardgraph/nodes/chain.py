"""The chain of delegation: what identifies a team or an agent in it, and the work that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.nodes.team_spec import TeamSpec
from guardgraph.state import ContextItem, Delegation, DelegationScope, Request, Task, work_digest

__all__ = ("agent_link", "team_link")


def team_link(team: TeamSpec, task: Task, background: Sequence[ContextItem]) -> Delegation:
    """Return the link of a team that is given a task: its goal, inputs and attachments, with this background.

    Teams of one name are the same where their agents are.
    """
    given = [(item.kind, item.title, item.value) for item in background]
    members = [(name, _identity(agent)) for name, agent in sorted(team.agents.items())]
    work = work_digest(task.goal, task.inputs, task.attachments, given)
    return Delegation(team.name, work_digest("team", members, size=4), work)


def agent_link(agent: Agent, request: Request, team: DelegationScope) -> Delegation:
    """Return the link of an agent that is sent a request: the task of its team, with goal and inputs of its subtask.

    Agents of one name are the same where they have the same version and run the same code.
    """
    base = Delegation.of(team.chain[-1]).work if team.chain else ""
    subtask = request.subtask
    work = base if subtask is None else work_digest(base, subtask.goal, subtask.inputs)
    return Delegation(agent.name, _identity(agent), work)


def _identity(agent: Agent) -> str:
    """Return a digest of the kind, the version and the code of an agent, which is the same in every process."""
    code: Any = agent.run
    while isinstance(code, partial):
        code = code.func
    named = code if hasattr(code, "__qualname__") else type(code)
    names = str(getattr(named, "__module__", "")), named.__qualname__, str(getattr(code, "name", ""))
    return _digest(agent.kind, agent.version, names)


@lru_cache(maxsize=1_024)
def _digest(kind: str, version: str, names: tuple[str, ...]) -> str:
    return work_digest(kind, version, names, size=4)
