"""The position of one attempt in the tree of delegation: its account, its allowance, and its deadline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import chain
from time import monotonic
from typing import Any
from urllib.parse import quote

from guardgraph.agents.agent import Agent
from guardgraph.nodes.chain import agent_link
from guardgraph.runtime.services import Services
from guardgraph.state import AgentInfo, Allowance, Balance, DelegationScope, Request, Result, remaining_allowance

__all__ = ("COUNTS", "agent_info", "allowance_of", "attempt_scope", "attempts_of", "cost_key", "until_of", "work_until")

COUNTS = ("tokens", "usd", "calls", "subtasks", "messages")
"""What an account counts; depth and deadline belong to a scope."""
_CONCLUDING = 0.5
"""Seconds after the deadline in which an agent that concludes may still finish."""


def attempt_scope(
    agent: Agent, request: Request, team: DelegationScope, services: Services, *, attempt: str, concluding: bool
) -> DelegationScope:
    """Return the position of one attempt of `agent` in `team`; its allowance is at most its share.

    `attempt` is the id of its result, which names its account.
    """
    drawn = team.account if concluding else team.spending_account
    _, _, name = attempt.partition("/")
    account = f"{drawn}/{quote(agent.name, safe='')}:{quote(name, safe='#')}"
    deadline = team.allowance.deadline
    until = deadline + timedelta(seconds=_CONCLUDING) if concluding and deadline is not None else work_until(team)
    allowance = team.allowance
    if until != allowance.deadline:
        allowance = allowance.model_copy(update={"deadline": until})
    share = min(
        [part for part in (agent.budget_share, request.subtask.share if request.subtask else None) if part] or [1]
    )
    if share < 1:
        counts = remaining_allowance(services.ledger.balances(drawn)).share(share)
        allowance = allowance.narrow(counts.model_copy(update={"depth": None, "deadline": None}))
    return team.model_copy(
        update={
            "account": account,
            "spending_account": account,
            "path": (*team.path, agent.name),
            "chain": (*team.chain, str(agent_link(agent, request, team))),
            "depth": team.depth + 1,
            "allowance": allowance,
            "reserve": 0,
            "trusted": team.trusted and request.trusted,
        }
    )


def work_until(team: DelegationScope) -> datetime | None:
    """Return when agents have to finish: a tenth (at most 10 s) before the deadline, so that the team can conclude."""
    deadline = team.allowance.deadline
    return None if deadline is None else deadline - min(timedelta(seconds=10), (deadline - team.started) / 10)


def cost_key(team: DelegationScope, agent: str) -> str:
    """Return the key of the learned costs of `agent`: the names of all agents above it, and its own.

    It is the same in every round, attempt and run.
    """
    parts = [part for part in team.account.split("/")[1:] if part != "work"]
    above = [part.partition(":")[0] if ":" in part else part.rpartition("-")[0] for part in parts]
    return "/".join([*team.path[:1], *above, quote(agent, safe="")])


def until_of(me: DelegationScope, services: Services) -> float | None:
    """Return when an attempt has to be over, on the monotonic clock; `None` sets no limit."""
    if me.allowance.deadline is None:
        return None
    return monotonic() + (me.allowance.deadline - services.clock()).total_seconds()


def agent_info(agent: Agent, path: tuple[str, ...], *, fallback_for: str | None = None) -> AgentInfo:
    """Return what a guard knows of an agent below the teams of `path`."""
    return AgentInfo(
        name=agent.name,
        version=agent.version,
        skills=frozenset(agent.skills),
        tools=agent.tool_names,
        chain=(*path, agent.name),
        fallback_for=fallback_for,
    )


def attempts_of(state: Mapping[str, Any]) -> tuple[Result, ...]:
    """Return all attempts of a run, those of reviewers included."""
    draft: Result | None = state.get("draft")
    lists = (state.get(name) or () for name in ("results", "plans", "reviews"))
    return (*chain.from_iterable(lists), *(() if draft is None else (draft,)))


def allowance_of(position: DelegationScope, balances: tuple[Balance, ...]) -> Allowance:
    """Return the team's allowance with the caps of its account, which may have been raised since admission."""
    mine = next((balance.cap for balance in balances if balance.account == position.account), None)
    if mine is None:
        return position.allowance
    known = position.allowance
    raised = {name: cap for name in COUNTS if (cap := getattr(mine, name)) != getattr(known, name)}
    return known.model_copy(update=raised) if raised else known
