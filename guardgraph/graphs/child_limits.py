"""Limits of teams below that are wider than those of the team above: they would never hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.guards import AllowanceLimiter, Guard, GuardContext, applying
from guardgraph.nodes.team_spec import TeamSpec, nested_team
from guardgraph.state import Allowance, BadGraph, Task

__all__ = ("check_child_limits", "limits_of")

_START = datetime(2000, 1, 1, tzinfo=UTC)
_FIELDS = {"usd": "`usd` of the Budget", "tokens": "`tokens` of the Budget", "calls": "`calls` of the limits"}
_SHARE = "or give its agent a `budget_share`"
_Limits = Mapping[str, Decimal | int | timedelta]


def check_child_limits(team: TeamSpec) -> None:
    """Raise `BadGraph` where a team below may spend more, or take longer, than a team above it that limits the same.

    An agent with a `budget_share` narrows its team by intent, and so does one with a `timeout` for the time. `Depth`
    and the other limits of `Limits` are not compared: patterns have them by default, and they are narrowed.
    """
    _check(team, {}, team.name)


def _check(team: TeamSpec, above: _Limits, top: str) -> None:
    limits = {**above, **limits_of(team.guards)}
    for agent in team.agents.values():
        inner = nested_team(agent)
        if inner is not None:
            whole = {name: limit for name, limit in limits.items() if not _is_narrowed(agent, name)}
            _compare(agent, inner, whole, top)
            _check(inner, whole, top)


def _is_narrowed(agent: Agent, name: str) -> bool:
    return agent.timeout is not None if name == "seconds" else agent.budget_share is not None


def _compare(agent: Agent, inner: TeamSpec, above: _Limits, top: str) -> None:
    for name, own in limits_of(inner.guards).items():
        whole: Any = above.get(name)
        if whole is not None and own > whole:
            field = _FIELDS.get(name, "`seconds` of the Deadline")
            remedy = "or give its agent a `timeout`" if name == "seconds" else _SHARE
            raise BadGraph(
                f"{top}: {field} of the team of agent {agent.name!r} is {_shown(own)}, more than the {_shown(whole)} "
                f"of the team above, of which it is a part; lower the first, raise the second, {remedy}"
            )


def limits_of(guards: Sequence[Guard]) -> dict[str, Any]:
    """Return what guards limit in every run of a team, as far as that is known without a task.

    Those are `usd`, `tokens`, `calls`, and `seconds` as a timedelta. What is counted beside the tree of a run, as by
    agent or by window, is no limit of the run.
    """
    context = GuardContext(gate="admission", subject=Task(goal="any", id="any"), now=_START)
    found = Allowance()
    for guard in applying(guards, categories=()):
        if isinstance(guard, AllowanceLimiter):
            try:
                found = found.narrow(guard.narrow(context))
            except Exception:  # one of the user's own that needs a task
                continue
    limits = {"usd": found.usd, "tokens": found.tokens, "calls": found.calls}
    seconds = None if found.deadline is None else found.deadline - _START
    return {name: limit for name, limit in {**limits, "seconds": seconds}.items() if limit is not None}


def _shown(limit: Any) -> str:
    return f"{limit.total_seconds():g}" if isinstance(limit, timedelta) else str(limit)
