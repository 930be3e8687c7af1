"""What agents are given as context: background, the accepted results and gaps of others, and the roster of workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.nodes.accepted import accepted_of, open_gaps, subtasks_by_id
from guardgraph.state import ContextItem, Gap, Result, Subtask

__all__ = ("can_do", "context_of", "result_item", "skills_of", "worker_roster")


def context_of(state: Mapping[str, Any], subtask: Subtask | None = None) -> tuple[ContextItem, ...]:
    """Return background, accepted results and gaps as context for an agent.

    For a `subtask`, of results and gaps only those of the team's own subtasks that it depends on.
    """
    given, needed = tuple(state.get("context") or ()), None if subtask is None else set(subtask.depends_on)
    if needed is not None and not needed:
        return given
    planned = subtasks_by_id(state)
    results = [result for result in accepted_of(state) if needed is None or result.subtask in needed]
    gaps = [gap for gap in open_gaps(state) if needed is None or (not gap.path and gap.subtask in needed)]
    trusted = frozenset(state.get("trusted_subtasks") or ())
    items = [result_item(r, _title(r, planned), in_plan=_is_trusted(r, planned, trusted)) for r in results]
    return (*given, *items, *(_gap_item(gap, planned) for gap in gaps))


def worker_roster(workers: Iterable[Agent]) -> tuple[ContextItem, ...]:
    """Return the workers, their skills and what an attempt of them costs where that is declared, for a planner."""
    return tuple(
        ContextItem(kind="worker", title=worker.name, value=_offer(worker), sender="team", origin="code", trusted=True)
        for worker in workers
    )


def can_do(agent: Agent, skill: str | None) -> bool:
    """Return whether an agent can do what needs `skill`: a skill of its own, or its name."""
    return skill is None or skill in agent.skills or skill == agent.name


def skills_of(workers: Iterable[Agent]) -> list[str]:
    """Return all that a subtask may name as its skill: the skills and names of the workers, sorted."""
    return sorted({skill for agent in workers for skill in (*agent.skills, agent.name)})


def _offer(worker: Agent) -> dict[str, JsonValue]:
    cost = worker.expected_amount
    amounts: dict[str, JsonValue] = (
        {} if cost is None else {"tokens": cost.tokens, "usd": str(cost.usd or ""), "calls": cost.calls}
    )
    declared: dict[str, JsonValue] = {name: amount for name, amount in amounts.items() if amount}
    skills: dict[str, JsonValue] = {"skills": list[JsonValue](sorted(worker.skills))}
    return {**skills, "expected_cost": declared} if declared else skills


def _is_trusted(result: Result, planned: Mapping[str, Subtask], trusted: Collection[str]) -> bool:
    subtask = planned.get(result.subtask or "")
    return subtask is None or subtask.id in trusted


def result_item(result: Result, title: str, *, in_plan: bool = True) -> ContextItem:
    """Return a result as context for others: with all that it rests on, and how sure its agent is.

    It is trusted where its agent is, and what it was to do (`in_plan`).
    """
    return ContextItem(
        kind="result",
        title=title,
        sender=result.agent,
        value=result.value,
        evidence=result.evidence,
        confidence=result.confidence,
        reasoning=result.reasoning,
        subtask=result.subtask,
        origin="agent",
        trusted=result.trusted and in_plan,
    )


def _title(result: Result, planned: Mapping[str, Subtask]) -> str:
    subtask = planned.get(result.subtask or "")
    return subtask.goal if subtask else result.subtask or result.agent


def _gap_item(gap: Gap, planned: Mapping[str, Subtask]) -> ContextItem:
    subtask = None if gap.path else planned.get(gap.subtask)
    title = subtask.goal if subtask else gap.subtask
    return ContextItem(
        kind="gap", title=title, sender=gap.agent or "", value=gap.reason, subtask=gap.subtask, origin="agent"
    )
